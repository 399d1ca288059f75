"""``make fuzz MINUTES=…``: data files, files of runs and HTTP, mutated for so long; what is found stays in ``.fuzz/``.

Inputs with a new answer stay in ``.fuzz/corpus`` and are mutated further the next time; faults go to ``.fuzz/faults``.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.hostile import mutations
from tests.hostile.run_files import (
    KINDS,
    MAX_BYTES,
    MAX_SECONDS,
    Corpus,
    Tally,
    Try,
    Worker,
    _forked,
    _wait_for,
    attempt,
    carry_out,
    main,
    make_base,
    mutated,
    warm_up,
)

DATA = {  # a file of each format, and which of a folder's files is mutated
    "IDX images": ("idx", "train-images-idx3-ubyte"),
    "IDX labels": ("idx", "train-labels-idx1-ubyte"),
    "CSV": ("table.csv", ""),
    "npz": ("set.npz", ""),
    "Parquet": ("set.parquet", ""),
    "picture": ("folder", "0/0.png"),
    "Netpbm in text": ("folder", "0/text.pgm"),
    "Netpbm of 12 bits": ("folder", "0/deep.pgm"),
}
DATA_COMMANDS = ("info", "check")


def make_data(folder: Path) -> None:
    """The same sixty images in each format."""
    import numpy as np
    from PIL import Image

    import fittingroom as fr
    from fittingroom.data.convert import convert

    train = fr.open_dataset("sample").train
    small = train.subset(range(60))
    (folder / "folder").mkdir(parents=True)
    for row, (image, label) in enumerate(zip(small.images, np.asarray(small.labels).tolist(), strict=True)):
        (folder / "folder" / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "folder" / str(label) / f"{row}.png")
    first = sorted((folder / "folder").glob("*/*.png"))[0]
    (folder / "folder" / "0").mkdir(exist_ok=True)
    shutil.copy(first, folder / "folder" / "0" / "0.png")
    values = np.arange(64).tolist()
    (folder / "folder" / "0" / "text.pgm").write_text(f"P2 # in text\n8 8\n63\n{' '.join(map(str, values))}\n")
    (folder / "folder" / "0" / "deep.pgm").write_bytes(b"P5 8 8 4095\n" + np.array(values, ">u2").tobytes())
    for name in ("idx", "table.csv", "set.npz", "set.parquet"):
        convert(fr.open_dataset(folder / "folder"), folder / name, to="idx" if name == "idx" else None)
    for packed in (folder / "idx").glob("*.gz"):  # else every change is one of gzip's
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()


def try_data(base: Path, place: Path, name: str, command: str, seed: int, corpus: Corpus) -> Try:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place / "in")
    path, inner = DATA[name]
    target = place / "in" / path / inner if inner else place / "in" / path
    content = corpus.pick(target.read_bytes(), seed)
    mutate = mutations.of_parquet if name == "Parquet" and seed % 3 == 0 else mutations.damaged
    _wait_for(_forked(lambda: target.write_bytes(mutate(content, random.Random(seed)))))
    mutated = target.read_bytes()
    result, told = carry_out(place, lambda: main("data", command, path), codes=(0, 1, 2))
    corpus.keep(mutated, told)
    return result


ANSWER_SECONDS = 0.3  # within which a whole request is answered, if it is one

REQUESTS = (
    b"GET /models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /models/one/mistakes?truth=Bag&predicted=Coat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"POST /v2/models/one/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n"
    b"--x\r\nContent-Disposition: form-data; name=file; filename=a.png\r\n\r\n%b\r\n--x--\r\n",
)
TENSOR = json.dumps(
    {"inputs": [{"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
).encode()


@contextmanager
def serving(base: Path, log: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server on a run, as its users have it: its port and its process."""
    command = [sys.executable, "-m", "fittingroom", "serve", str(base / "runs/one"), "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line.partition("127.0.0.1:")[2].partition("/")[0]), process
        finally:
            process.terminate()
            process.wait(30)


def try_http(port: int, process: subprocess.Popen[str], log: Path, seed: int, picture: bytes) -> Try:
    rng = random.Random(seed)
    request = rng.choice(REQUESTS)
    if b"%b" in request:
        body = picture if b"predict" in request else TENSOR
        body = mutations.damaged(body, rng) if body is picture or rng.randrange(2) else mutations.of_json(body, rng)
        request = request % (len(body), body)
    else:
        request = mutations.damaged(request, rng)
    if rng.randrange(4) == 0:
        request = mutations.damaged(request, rng)

    started, answer, size = time.monotonic(), b"", log.stat().st_size
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=MAX_SECONDS * 4) as connection:
            connection.sendall(request)

            # A client that closes its side has left, and gets no answer: that is done once there is one, or none comes.
            connection.settimeout(ANSWER_SECONDS)
            with suppress(TimeoutError):
                answer = connection.recv(1 << 16)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(MAX_SECONDS * 4)
            while chunk := connection.recv(1 << 16):
                answer += chunk
    except ConnectionError:
        pass
    except TimeoutError:
        return Try("fault", f"no answer to {request[:200]!r}", time.monotonic() - started, 0)
    seconds = time.monotonic() - started
    status = Path(f"/proc/{process.pid}/status").read_text() if process.poll() is None else ""
    peak = next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    told = log.read_text(errors="replace")[size:]
    if process.poll() is not None or "Traceback" in told or answer.startswith(b"HTTP/1.1 500") or peak > MAX_BYTES:
        return Try("fault", f"{answer[:60]!r} {told[-300:]!r} to {request[:300]!r}", seconds, peak)
    status_line = answer.partition(b"\r\n")[0].decode("latin-1")
    return Try("accepted" if answer.startswith(b"HTTP/1.1 200") else "clean", status_line, seconds, peak)


def fuzz(minutes: float, folder: Path) -> int:
    """For so many minutes in all, a third for each of the three; returns the number of faults."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["FITTINGROOM_CACHE"] = str(folder / "cache")
    state = folder / "next-seed"
    first = int(state.read_text()) if state.exists() else 0
    runs, data, place = folder / "runs-base", folder / "data-base", folder / "work"
    for base, make in ((runs, make_base), (data, make_data)):
        if not base.exists():
            _wait_for(_forked(partial(make, base)), 1_800)
    warm_up(runs)
    picture = (runs / "picture.png").read_bytes()
    tallies: dict[str, Tally] = {}
    seeds = itertools.count(first)

    def add(name: str, result: Try, seed: int) -> None:
        tallies.setdefault(name, Tally()).add(result, f"{name}, seed {seed}")

    rng, worker = random.Random(first), Worker(runs, folder / "worker")
    end = time.monotonic() + minutes * 20
    while time.monotonic() < end:
        name, seed = rng.choice(list(KINDS)), next(seeds)
        kind = KINDS[name]
        corpus = Corpus(folder / "corpus" / name.replace("/", "-"))
        files = mutated(runs, kind, seed, folder / "mutated", corpus)
        add(name, attempt(runs, files, rng.choice(kind.commands), place, corpus, worker=worker), seed)
    worker.end()
    end = time.monotonic() + minutes * 20
    while time.monotonic() < end:
        name, seed = rng.choice(list(DATA)), next(seeds)
        corpus = Corpus(folder / "corpus" / name)
        add(f"data: {name}", try_data(data, place, name, rng.choice(DATA_COMMANDS), seed, corpus), seed)
    log = folder / "server.log"
    end = time.monotonic() + minutes * 20
    with serving(runs, log) as (port, process):
        while time.monotonic() < end and process.poll() is None:
            seed = next(seeds)
            add("HTTP", try_http(port, process, log, seed, picture), seed)

    state.write_text(str(next(seeds)))
    for left in (place, folder / "worker"):
        shutil.rmtree(left, ignore_errors=True)
    faults = []
    for name, tally in sorted(tallies.items()):
        print(tally.line(name))
        faults += tally.faults
    (folder / "faults").write_text("\n".join(faults))
    print(*faults, sep="\n")
    return len(faults)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    options = parser.parse_args()
    sys.exit(fuzz(options.minutes, options.folder.absolute()) > 0)
