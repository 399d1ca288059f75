"""Who means harm, or is merely broken, gets an error and takes nothing from the others."""

from __future__ import annotations

import html
import io
import json
import re
import shlex
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serve.conftest import Running, started


@pytest.fixture(scope="module")
def strict(two_runs: list[Path]) -> Iterator[Running]:
    """Limits that a test can reach."""
    with started(two_runs[:1], seconds=2, head_seconds=1, body=50_000) as running:
        yield running


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def talk(server: Running, *parts: bytes, pause: float = 0) -> tuple[bytes, float]:
    """Send the parts, reading meanwhile, until the server hangs up; its answer, and after how many seconds."""
    start = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        # From a thread: a server may answer, and hang up, before it has read everything.
        def send() -> None:
            with suppress(OSError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)

        sender = threading.Thread(target=send)
        sender.start()

        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
        seconds = time.monotonic() - start
        sender.join()
    return answer, seconds


def still_well(server: Running, shoe: bytes) -> bool:
    with server.client() as client:
        return client.post("/predict", content=shoe).status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_read(strict: Running, shoe: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    answer, seconds = talk(strict, head)
    assert answer.startswith(b"HTTP/1.1 413")
    assert seconds < 5
    assert still_well(strict, shoe)


def test_a_body_is_counted_as_it_comes_whatever_it_says(strict: Running, shoe: bytes) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, _ = talk(strict, head, *[chunk] * 200)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"at most 50,000 bytes expected" in answer
    assert still_well(strict, shoe)


def test_a_head_that_never_ends_is_cut_off(strict: Running) -> None:
    answer, seconds = talk(strict, b"GET / HTTP/1.1\r\nHost: loc")
    assert answer == b""
    assert 0.5 < seconds < 4


def test_a_connection_that_says_nothing_is_closed(strict: Running) -> None:
    answer, seconds = talk(strict)
    assert answer == b""
    assert 0.5 < seconds < 4


def test_a_head_that_drips_gets_no_more_time(strict: Running) -> None:
    drops = [b"GET / HTTP/1.1\r\n", *(b"X-%d: y\r\n" % i for i in range(40))]
    _, seconds = talk(strict, *drops, pause=0.1)
    assert seconds < 6


def test_a_head_without_measure_is_refused(strict: Running, shoe: bytes) -> None:
    answer, _ = talk(strict, b"GET / HTTP/1.1\r\n", *[b"X-Filler: " + b"y" * 8_000 + b"\r\n"] * 40, pause=0.001)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert still_well(strict, shoe)


def test_a_body_that_drips_gets_408(strict: Running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    answer, seconds = talk(strict, head, *[b"x"] * 40, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408")
    assert seconds < 7


def test_a_request_that_came_whole_and_took_too_long_is_told_so(two_runs: list[Path]) -> None:
    with started(two_runs[:1], seconds=1, slow_mistakes=3) as running, running.client() as client:
        answer = client.get("/models/first/mistakes", params={"truth": "Shirt", "predicted": "Coat"})
        assert answer.status_code == 503
        assert answer.json()["error"] == "no answer was ready within 1 seconds"


def test_two_hundred_slow_clients_do_not_keep_the_others_waiting(strict: Running, shoe: bytes) -> None:
    slow = [socket.create_connection(("127.0.0.1", strict.port), timeout=10) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert still_well(strict, shoe)
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("rubbish", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\0" * 100, b"A" * 100_000])
def test_rubbish_ends_in_400_or_silence(strict: Running, shoe: bytes, rubbish: bytes) -> None:
    answer, _ = talk(strict, rubbish)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert still_well(strict, shoe)


@cache
def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"II*\0" + b"\xff" * 100,
        b"RIFF\0\0\0\0WEBPVP8 ",
        bomb,  # made where it is wanted: that takes seconds
    ],
    ids=["empty", "gif", "svg", "eps", "pdf", "png", "tiff", "webp", "bomb"],
)
def test_what_is_no_picture_gets_400_without_a_word_of_the_inside(
    http: httpx.Client, content: bytes | Callable[[], bytes]
) -> None:
    content = content() if callable(content) else content
    for answer in (http.post("/predict", content=content), http.post("/predict", files={"file": ("a", content)})):
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("the picture: ")
        assert "/" not in answer.text.replace("n/a", "")


FORM = "multipart/form-data; boundary=x; charset="


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"junk", "multipart/form-data"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', FORM + "undefined"),
        (b'--x\r\nContent-Disposition: form-data; name="a\xff"\r\n\r\n1\r\n--x--\r\n', FORM + "utf-7"),
        (b'--x\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\n1\r\n--x--\r\n', FORM + "unicode_escape"),
    ],
)
def test_a_broken_form_gets_400(http: httpx.Client, content: bytes, kind: str) -> None:
    answer = http.post("/predict", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400


def test_a_name_of_a_file_is_only_a_name(http: httpx.Client, shoe: bytes) -> None:
    answer = http.post("/predict", files={"file": ("../../etc/<b>passwd", shoe)})
    assert answer.status_code == 200
    assert answer.json()["file"] == "<b>passwd"


@pytest.mark.parametrize("charset", ["utf-8", "unicode_escape", "utf-7", "utf-16", "undefined", "idna", "punycode"])
@pytest.mark.parametrize("name", [b"\\ud800.png", b"\xed\xa0\x80.png", b"+2AA-.png", b"\0", b"x" * 3_000], ids=range(5))
def test_no_name_of_a_file_makes_the_server_fail(server: Running, shoe: bytes, name: bytes, charset: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n' % name
    kind = {"Content-Type": FORM + charset}
    with server.client() as client:
        answer = client.post("/predict", content=head + shoe + b"\r\n--x--\r\n", headers=kind)
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert len(answer.json()["file"]) <= 200


@pytest.mark.parametrize("id_", ["\ud800", "\udfff" * 1000, "\0"], ids=["one", "many", "nul"])
def test_a_lone_surrogate_in_json_goes_back_as_it_came_or_is_refused(http: httpx.Client, id_: str) -> None:
    tensor = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    sent = http.post("/v2/models/first/infer", content=json.dumps({"id": id_, "inputs": [tensor]}))
    assert (sent.status_code, json.loads(sent.content)["id"]) == (200, id_)
    for damaged in ({"outputs": [{"name": id_}]}, {"inputs": [{**tensor, "name": id_}]}, {"inputs": id_}):
        content = json.dumps({"inputs": [tensor]} | damaged)
        assert http.post("/v2/models/first/infer", content=content).status_code == 400


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/look.css", "/static/", "/models/../etc", "//v2"])
def test_no_path_leads_out(server: Running, path: str) -> None:
    answer, _ = talk(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.nip.io"])
def test_a_site_that_points_its_name_here_is_turned_away(http: httpx.Client, host: str) -> None:
    assert http.get("/v2", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_the_names_of_this_machine_are_answered(http: httpx.Client, host: str) -> None:
    assert http.get("/v2", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/v2", "/nowhere", "/models", "/static/app.js", "/metrics"])
def test_every_answer_has_the_headers_that_keep_a_browser_safe(http: httpx.Client, path: str) -> None:
    answer = http.get(path, headers={"Origin": "https://evil.example"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


def test_a_report_is_a_sandbox(http: httpx.Client) -> None:
    answer = http.get("/models/first/report")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


def test_a_key_is_asked_for_everywhere_but_where_nothing_is_said(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], api_key="open sesame") as running, running.client() as client:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}):
            assert client.post("/predict", content=shoe, headers=headers).status_code == 401
            assert client.get("/v2/models/first", headers=headers).status_code == 401
            assert client.get("/metrics", headers=headers).status_code == 401
        for headers in ({"X-API-Key": "open sesame"}, {"Authorization": "Bearer open sesame"}):
            assert client.post("/predict", content=shoe, headers=headers).status_code == 200
        for path in ("/", "/v2/health/live", "/v2/health/ready", "/static/app.js", "/docs", "/openapi.json"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "Models: first" not in answer.text
            assert '["first"]' not in answer.text


def test_metrics_alone_are_answered_without_the_key_where_that_was_asked_for(two_runs: list[Path]) -> None:
    with started(two_runs[:1], api_key="open sesame", open_metrics=True) as running, running.client() as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/models").status_code == 401
        assert client.get("/v2/health/ready").status_code == 200


def test_a_page_of_an_allowed_site_may_ask_and_read_a_refusal(two_runs: list[Path], shoe: bytes) -> None:
    site = "https://shop.example"
    with started(two_runs[:1], api_key="open sesame", allow_origins=[site]) as running, running.client() as client:
        asked = {"Origin": site, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
        assert client.options("/predict", headers=asked).status_code == 200  # a browser asks without the key
        for headers, status in (({}, 401), ({"X-API-Key": "open sesame"}, 200)):
            answer = client.post("/predict", content=shoe, headers=headers | {"Origin": site})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, site)
        other = client.post(
            "/predict", content=shoe, headers={"X-API-Key": "open sesame", "Origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in other.headers


def test_too_much_at_once_is_turned_away_and_nothing_is_lost(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], model_seconds=0.3, most_waiting=3) as running:
        answers: list[httpx.Response] = []

        def ask() -> None:
            with running.client() as client:
                answers.append(client.post("/predict", content=shoe))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {answer.status_code for answer in answers} == {200, 503}
        assert len(answers) == 20

        busy = next(answer for answer in answers if answer.status_code == 503)
        assert busy.headers["retry-after"] == "1"
        assert "busy" in busy.json()["error"]
        assert still_well(running, shoe)


def answers_at_all(running: Running) -> bool:
    with running.client() as client:
        try:
            client.get("/v2")
        except httpx.TransportError:
            return False
    return True


def test_sigterm_lets_what_is_under_way_end_and_takes_nothing_new(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], model_seconds=3) as running:
        answers: list[httpx.Response] = []

        def ask() -> None:
            with running.client() as client:
                answers.append(client.post("/predict", content=shoe))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.7)  # the request is under way

        running.process.send_signal(signal.SIGTERM)
        while thread.is_alive() and answers_at_all(running):
            time.sleep(0.1)
        assert thread.is_alive()  # what is new is refused while what was under way goes on

        thread.join()
        assert answers[0].status_code == 200
        assert running.process.wait(10) in (0, -signal.SIGTERM)


def test_a_damaged_file_is_told_without_its_name(two_runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(two_runs[0], tmp_path / "run")
    with started([tmp_path / "run"]) as running, running.client() as client:
        (tmp_path / "run" / "predictions.parquet").write_bytes(b"damaged")
        answer = client.get("/models/run/mistakes", params={"truth": "Shirt", "predicted": "Coat"})
        assert answer.status_code == 500
        assert answer.json() == {"error": "a file of this run is damaged"}
        assert client.get("/v2").status_code == 200


def test_a_failure_inside_says_nothing_of_the_inside(two_runs: list[Path]) -> None:
    with started(two_runs[:1], broken=True) as running, running.client() as client:
        answer = client.get("/models/first/mistakes", params={"truth": "Shirt", "predicted": "Coat"})
        assert answer.status_code == 500
        assert answer.json() == {"error": "the server failed; its log says how"}
        assert client.get("/v2").status_code == 200


def test_metrics_count_by_kind_of_path_and_never_by_the_path_itself(http: httpx.Client) -> None:
    for i in range(5):
        http.get(f"/nowhere-{i}")
        http.get("/v2/models/first")
    text = http.get("/metrics").text
    assert "nowhere" not in text
    assert 'fittingroom_requests_total{endpoint="/v2/models/{name}",status="200"}' in text
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        assert line.startswith("#") or (name and float(value) >= 0)


def test_openapi_names_every_path_and_docs_need_no_network(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    page = http.get("/docs").text

    for path in described["paths"]:
        assert path in page
        assert http.get(path.replace("{name}", "first")).status_code in (200, 400, 405)
    assert json.dumps(described)
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "<script" not in page


def test_the_docs_show_an_answer_with_the_keys_of_a_real_one_and_no_markdown(http: httpx.Client, shoe: bytes) -> None:
    page = http.get("/docs").text
    _, shown = (html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL))
    real = http.post("/predict", content=shoe).json()
    example = json.loads(shown)
    assert {key: type(value) for key, value in example.items()} == {key: type(value) for key, value in real.items()}
    described = http.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]["200"]
    assert described["content"]["application/json"]["example"] == example
    assert "`" not in page
    assert "<code>unfamiliar</code>" in page


def test_the_docs_example_is_for_the_address_that_was_asked_and_says_the_key(
    http: httpx.Client, two_runs: list[Path], shoe: bytes
) -> None:
    example = re.search(r"<pre>(.*)</pre>", http.get("/docs").text)
    assert example
    words = shlex.split(html.unescape(example[1]))
    assert words[:3] == ["curl", "--data-binary", "@picture.jpg"]
    assert "class" in http.post(words[-1], content=shoe).json(), "the example works as it is, on this server's port"

    with started(two_runs, api_key="sesame") as running, running.client() as client:
        example = re.search(r"<pre>(.*)</pre>", client.get("/docs").text)
        assert example
        assert shlex.split(html.unescape(example[1]))[3:] == [
            "-H",
            "X-API-Key: $FITTINGROOM_API_KEY",
            f"{running.url}/predict",
        ]
