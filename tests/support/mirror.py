"""A mirror on this machine, for the tests of data/source.py: an HTTP server that behaves as it is told to."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Behaviour = Callable[["Mirror", BaseHTTPRequestHandler, bytes], None]


@dataclass
class Mirror:
    """A folder of files over HTTP. requests: (file name, Range header or "") of each request so far."""

    folder: Path
    behaviour: Behaviour
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    half_sent: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(folder: Path, behaviour: Behaviour) -> Iterator[Mirror]:
    mirror = Mirror(folder, behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            mirror.requests.append((name, self.headers.get("Range", "")))
            mirror.behaviour(mirror, self, (mirror.folder / name).read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def good(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Answers as it should, a Range too."""
    start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    if start >= len(body):
        _head(request, 416, 0, {"Content-Range": f"bytes */{len(body)}"})
        return
    _head(request, 206 if start else 200, len(body) - start)
    request.wfile.write(body[start:])


def slow(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Good, after half a second."""
    mirror.closing.wait(0.5)
    good(mirror, request, body)


def without_ranges(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Sends everything, whatever Range is asked for."""
    _head(request, 200, len(body))
    request.wfile.write(body)


def cut(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Announces all, sends a part, and closes the connection; three parts make a file."""
    start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    _head(request, 206 if start else 200, len(body) - start)
    request.wfile.write(body[start:][: len(body) // 3 + 1])


def always_cut(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Never gets beyond the middle."""
    _head(request, 200, len(body))
    request.wfile.write(body[: len(body) // 2])


def truncated(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Gives the first half as if it were all."""
    half = body[: len(body) // 2]
    _head(request, 200, len(half))
    request.wfile.write(half)


def altered(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Gives a sound file of the right size, with one byte that is another."""
    content = gzip.decompress(body)
    without_ranges(mirror, request, gzip.compress(content[:-1] + bytes([content[-1] ^ 1]), 1))


def other_file(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Gives a sound file of the right kind: the labels of the test images, always."""
    without_ranges(mirror, request, (mirror.folder / "t10k-labels-idx1-ubyte.gz").read_bytes())


def web_page(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Gives a page to log in with."""
    without_ranges(mirror, request, b"<!DOCTYPE html><title>Log in</title>")


def endless(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Goes on for ever."""
    request.send_response(200)
    request.end_headers()
    try:
        while not mirror.closing.is_set():
            request.wfile.write(bytes(1 << 20))
    except OSError:
        pass  # the other side has had enough


def wordy(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Says its length in a word."""
    request.send_response(200)
    request.send_header("Content-Length", "plenty")
    request.end_headers()
    request.wfile.write(body)


def dripping(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Sends a byte at a time, each well before anybody loses patience with it."""
    _head(request, 200, len(body))
    for byte in body:
        if mirror.closing.wait(0.01):
            return
        request.wfile.write(bytes([byte]))


def missing(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Has no such file."""
    _head(request, 404, 0)


def hanging(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Takes the request and never answers."""
    mirror.closing.wait()
    request.close_connection = True


def stuck_half_way(mirror: Mirror, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Sends half of a file, then nothing, and keeps the connection."""
    _head(request, 200, len(body))
    request.wfile.write(body[: len(body) // 2])
    request.wfile.flush()
    mirror.half_sent.set()
    mirror.closing.wait()


def _head(request: BaseHTTPRequestHandler, status: int, length: int, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(length), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
