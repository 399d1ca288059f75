"""The log has a line for each request and each failure, which no client can forge, and never holds a key."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from fittingroom.serve.request_log import MAX_WAITING, RequestDone, RequestLog, one_line, writing_failures
from tests.serve.conftest import Running, started
from tests.serve.test_hostile import talk

DONE = RequestDone("127.0.0.1", "POST", "/predict", 200, 0.0031, 1_234, None, 1_700_000_000.25)


def written(done: RequestDone, form: str) -> str:
    stream = io.StringIO()
    with RequestLog(form, stream) as log:  # type: ignore[arg-type]
        log.request(done)
    return stream.getvalue()


def logged(running: Running) -> list[dict[str, object]]:
    """What the server wrote, after it ended."""
    running.process.terminate()
    running.process.wait(30)
    return [json.loads(line) for line in running.log().splitlines()]


def test_text_is_one_line_a_request() -> None:
    assert written(DONE, "text") == "2023-11-14T22:13:20.250Z 127.0.0.1 POST /predict 200 3.1 ms 1234 bytes\n"


def test_json_has_the_same_as_fields() -> None:
    assert json.loads(written(DONE, "json")) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "seconds": 0.0031,
        "bytes": 1234,
    }


def test_off_leaves_failures_alone() -> None:
    stream = io.StringIO()
    with RequestLog("off", stream) as log, writing_failures(log):
        log.request(DONE)
        logging.getLogger("fittingroom.serve").error("it broke")
    assert re.fullmatch(r"\S+Z error: it broke\n", stream.getvalue())


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\nb", "\r", "\u202e", "\ud800", "\u2028", "\x9b"], ids=lambda text: ascii(text)[1:-1]
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_client_sends_stays_in_its_line(text: str, form: str) -> None:
    line = written(RequestDone("::1", "GET", text * 300, 404, 0, 0, text, 0), form)
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert len(line) < 5_000


def test_a_log_that_nobody_reads_holds_up_nothing_and_says_what_it_lost() -> None:
    class Stuck(io.StringIO):
        is_read = threading.Event()

        def write(self, text: str) -> int:
            self.is_read.wait()
            return super().write(text)

    stream = Stuck()
    log = RequestLog("text", stream)
    for _ in range(2 * MAX_WAITING + 100):
        log.request(DONE)
    stream.is_read.set()
    log.close()
    lines = stream.getvalue().splitlines()
    lost = re.findall(r"warning: ([\d,]+) lines of the log were dropped", stream.getvalue())
    assert lost
    assert sum(int(number.replace(",", "")) for number in lost) + len(lines) - len(lost) == 2 * MAX_WAITING + 100


def test_a_log_that_is_full_ends_no_server() -> None:
    with suppress(OSError), Path("/dev/full").open("w") as full:  # its own close fails
        with RequestLog("text", full) as log:
            log.request(DONE)
        assert not log._thread.is_alive()


def test_a_short_text_is_left_as_it_is() -> None:
    assert one_line("/models/Größe 包") == "/models/Größe 包"


def test_each_request_has_its_line_and_a_key_is_in_none(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], log="json", api_key="open-sesame") as running:
        with running.client() as client:
            key = {"X-API-Key": "open-sesame"}
            client.post("/predict?key=open-sesame", content=shoe, headers=key)
            client.post("/predict", content=b"no picture", headers=key)
            client.get("/v2/models/none", headers={"Authorization": "Bearer open-sesame"})
            client.get("/metrics", headers={"X-API-Key": "wrong-guess"})
        talk(running, b"rubbish\r\n\r\n")
        lines = logged(running)
        assert "sesame" not in running.log()
        assert "wrong-guess" not in running.log()
    requests = [(line["method"], line["path"], line["status"]) for line in lines if "status" in line]
    assert requests == [
        ("POST", "/predict", 200),
        ("POST", "/predict", 400),
        ("GET", "/v2/models/none", 404),
        ("GET", "/metrics", 401),
    ]
    assert lines[0]["bytes"] == len(shoe)
    assert str(lines[1]["error"]).startswith("the picture: ")
    assert str(lines[2]["error"]).startswith("no such model")
    assert [line["message"] for line in lines if line["level"] == "warning"] == ["Invalid HTTP request received."]


def test_a_failure_has_its_traceback_in_one_line(two_runs: list[Path]) -> None:
    with started(two_runs[:1], log="json", broken=True) as running:
        with running.client() as client:
            client.get("/models/first/mistakes", params={"truth": "Shirt", "predicted": "Coat"})
        failure, request = logged(running)
    assert failure["level"] == "error"
    assert str(failure["traceback"]).startswith("Traceback")
    assert (request["status"], request["error"]) == (500, "the server failed; its log says how")


def test_a_damaged_file_has_a_line_that_names_it(two_runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(two_runs[0], tmp_path / "run")
    with started([tmp_path / "run"], log="json") as running:
        (tmp_path / "run" / "predictions.parquet").write_bytes(b"damaged")
        with running.client() as client:
            client.get("/models/run/mistakes", params={"truth": "Shirt", "predicted": "Coat"})
        failure, request = logged(running)
    assert failure["level"] == "error"
    assert "predictions.parquet: predictions" in str(failure["message"])
    assert (request["status"], request["error"]) == (500, "a file of this run is damaged")


def test_clients_see_nothing_of_the_log(server: Running) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/log").status_code == 404
