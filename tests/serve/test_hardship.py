"""Clients that leave, that don't read, that send two requests as one, and a server that is asked to end under load."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serve.conftest import Running, started
from tests.serve.test_hostile import still_well, talk
from tests.support.small_run import train_small

HEAD = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
NO_LINGER = struct.pack("ii", 1, 0)  # a close that resets the connection


@pytest.fixture(scope="module")
def slow(two_runs: list[Path]) -> Iterator[Running]:
    with started(two_runs[:1], model_seconds=0.3, log="json", unread_seconds=1) as running:
        yield running


def connected(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=15)


def post(path: str, body: bytes) -> bytes:
    return HEAD.format(path=path, length=len(body)).encode() + body


@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("stage", ["connected", "in the head", "after the head", "in the body", "sent", "reading"])
def test_a_client_that_goes_away_costs_nobody_anything(slow: Running, shoe: bytes, stage: str, resets: bool) -> None:
    whole = post("/predict", shoe)
    upto = {"connected": 0, "in the head": 20, "after the head": whole.index(b"\r\n\r\n") + 4}
    upto |= {"in the body": len(whole) // 2, "sent": len(whole), "reading": len(whole)}
    for _ in range(10):
        with connected(slow) as connection:
            connection.sendall(whole[: upto[stage]])
            if stage == "reading":
                connection.recv(10)
            if resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    assert still_well(slow, shoe)
    lines = [json.loads(line) for line in slow.log().splitlines()]
    assert [line for line in lines if line["level"] != "info"] == []


def test_a_reader_that_stops_is_cut_off_and_the_log_says_nothing_of_a_failure(
    two_runs: list[Path], tmp_path: Path, shoe: bytes
) -> None:
    shutil.copytree(two_runs[0], tmp_path / "run")
    (tmp_path / "run" / "report.html").write_bytes(b"x" * (30 << 20))  # more than the buffers of both sides hold
    with started([tmp_path / "run"], unread_seconds=1, log="json") as running:
        with connected(running) as connection:
            connection.sendall(b"GET /models/run/report HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(10) == b"HTTP/1.1 2"
            time.sleep(3)
            total = 0
            with suppress(ConnectionResetError):
                while chunk := connection.recv(1 << 20):
                    total += len(chunk)
            assert total < 30 << 20  # it was cut off in the middle
        assert still_well(running, shoe)
        lines = [json.loads(line) for line in running.log().splitlines()]
        assert [line for line in lines if line["level"] != "info"] == []


def test_a_reader_that_is_slow_but_reads_gets_all_of_it(two_runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(two_runs[0], tmp_path / "run")
    (tmp_path / "run" / "report.html").write_bytes(b"x" * (8 << 20))
    with started([tmp_path / "run"], unread_seconds=1) as running, connected(running) as connection:
        connection.sendall(b"GET /models/run/report HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        total = 0
        while chunk := connection.recv(1 << 20):
            total += len(chunk)
            time.sleep(0.05)
        assert total > 8 << 20


def test_five_hundred_idle_connections_leave_one_that_works_alone(server: Running, shoe: bytes) -> None:
    idle = [connected(server) for _ in range(500)]
    try:
        for connection in idle[::2]:  # half of them have been used before
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in idle[::2]:
            assert connection.recv(12) == b"HTTP/1.1 200"
        with server.client() as client:
            for _ in range(20):
                assert client.post("/predict", content=shoe).status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_where_the_system_grants_few_open_files_the_others_wait_and_nothing_is_lost(
    two_runs: list[Path], shoe: bytes
) -> None:
    with started(two_runs[:1], open_files=40, head_seconds=2, log="json") as running:
        crowd = [connected(running) for _ in range(60)]  # more than it may open; the system itself holds the rest
        time.sleep(0.5)
        for connection in crowd:
            connection.close()
        assert still_well(running, shoe)

        # With half of them taken there is no room for a process that decodes: whoever sends a picture is told so.
        crowd = [connected(running) for _ in range(15)]
        with running.client() as client:
            assert client.get("/v2/health/live").status_code == 200
            assert client.post("/predict", content=shoe).status_code in (200, 503)
        for connection in crowd:
            connection.close()
        assert still_well(running, shoe)
        lines = [json.loads(line) for line in running.log().splitlines()]
        assert [line for line in lines if "Traceback" in json.dumps(line)] == []


def test_above_the_most_connections_an_answer_says_when_to_come_again(two_runs: list[Path]) -> None:
    with started(two_runs[:1], most_connections=3) as running:
        open_ones = [connected(running) for _ in range(3)]
        time.sleep(0.2)
        answer, _ = talk(running, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        for connection in open_ones:
            connection.close()
        time.sleep(0.2)
        with running.client() as client:
            assert client.get("/v2").status_code == 200


HIDDEN = b"GET /v2/models/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED = {
    "length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunks and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + HIDDEN),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    "equal lengths": (b"Content-Length: 0\r\nContent-Length: 0\r\n", HIDDEN),
    "lengths in one": (b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
    "signed length": (b"Content-Length: +0\r\n", HIDDEN),
    "negative length": (b"Content-Length: -1\r\n", HIDDEN),
    "hex length": (b"Content-Length: 0x0\r\n", HIDDEN),
    "huge length": (b"Content-Length: 99999999999999999999\r\n", HIDDEN),
    "folded line": (b"X-Folded: a\r\n Content-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    "folded coding": (b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "space before colon": (b"Content-Length : %d\r\n" % len(HIDDEN), HIDDEN),
    "other coding": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunks twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunks not last": (b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n" + HIDDEN),
    "bare line feeds": (b"X: y\nContent-Length: %d\n" % len(HIDDEN), HIDDEN),
    "bare return": (b"X: y\rContent-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    "nul": (b"X: \0\r\nContent-Length: 0\r\n", HIDDEN),
    "chunk extension": (b"Transfer-Encoding: chunked\r\n", b"0;a\n\r\n\r\n" + HIDDEN),
    "chunk size with sign": (b"Transfer-Encoding: chunked\r\n", b"+0\r\n\r\n" + HIDDEN),
}


@pytest.mark.parametrize("kind", SMUGGLED)
def test_a_request_whose_end_is_in_doubt_is_refused_and_what_follows_is_no_second_one(
    strict_log: Running, shoe: bytes, kind: str
) -> None:
    head, rest = SMUGGLED[kind]
    before = strict_log.log().count("/v2/models/hidden")
    answer, seconds = talk(strict_log, b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + rest)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert strict_log.log().count("/v2/models/hidden") == before
    assert seconds < 5
    assert still_well(strict_log, shoe)


def test_a_question_for_another_protocol_is_passed_over_and_its_body_is_no_second_request(
    strict_log: Running, shoe: bytes
) -> None:
    asks = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    head = asks + b"HTTP2-Settings: AAMA\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for parts in ([head % len(shoe) + shoe + last], [head % len(shoe), shoe, last]):
        answer, _ = talk(strict_log, *parts, pause=0.1)
        assert answer.count(b"HTTP/1.1 200") == answer.count(b"HTTP/1.1 ") == 2, answer[:200]

    before = strict_log.log().count("/v2/models/hidden")
    answer, _ = talk(strict_log, head.replace(b"HTTP2-Settings\r", b"close\r") % len(HIDDEN), HIDDEN, pause=0.1)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert strict_log.log().count("/v2/models/hidden") == before


@pytest.mark.parametrize("field", [b"X: a\r\n" * 20_000, b"X" * 100_000], ids=["many", "long"])
@pytest.mark.parametrize("after", [b"0\r\n", b"1;"], ids=["trailer", "extension"])
def test_what_is_sent_beside_a_body_is_bounded(strict_log: Running, shoe: bytes, after: bytes, field: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    answer, seconds = talk(strict_log, head + after, *[field] * 10, pause=0.05)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))  # "": reset while it was sending
    assert seconds < 1.5
    assert still_well(strict_log, shoe)


def test_a_field_after_the_body_is_none_of_the_head(strict_log: Running, shoe: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, _ = talk(strict_log, head + b"%x\r\n%s\r\n0\r\nHost: evil.example\r\n\r\n" % (len(shoe), shoe))
    assert answer.startswith(b"HTTP/1.1 200")


def test_an_empty_line_after_an_answer_keeps_no_connection(strict_log: Running) -> None:
    answer, seconds = talk(strict_log, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n", b"\r\n", pause=0.3)
    assert answer.startswith(b"HTTP/1.1 200")
    assert seconds < 5


@pytest.fixture(scope="module")
def strict_log(two_runs: list[Path]) -> Iterator[Running]:
    with started(two_runs[:1], seconds=2, head_seconds=1, log="json") as running:
        yield running


def test_many_requests_within_their_limits_take_no_more_than_all_may(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], bodies=300_000, head_seconds=1) as running:
        half = HEAD.format(path="/predict", length=200_000).encode() + b"x" * 140_000
        waiting = [connected(running) for _ in range(2)]
        for connection in waiting:
            connection.sendall(half)
        time.sleep(0.5)
        answer, _ = talk(running, half)  # it isn't waited for the rest
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        for connection in waiting:
            connection.close()
        time.sleep(0.3)
        assert still_well(running, shoe)


SLOW = b"x" * 50_000  # what takes `slow_decoder` a minute


def children(running: Running) -> set[int]:
    pid = running.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_a_picture_whose_sender_left_is_decoded_no_further(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], decode_seconds=60, slow_decoder=True) as running:
        assert still_well(running, shoe)
        before = children(running)
        connection = connected(running)
        connection.sendall(post("/predict", SLOW))
        time.sleep(0.5)
        connection.close()
        until = time.monotonic() + 8
        while before <= children(running) and time.monotonic() < until:
            time.sleep(0.1)
        assert not before <= children(running)  # the process that was at it is gone
        assert still_well(running, shoe)


def test_pictures_that_take_too_long_are_given_up_and_the_next_ones_are_answered(
    two_runs: list[Path], shoe: bytes
) -> None:
    with started(two_runs[:1], decode_seconds=1.5, slow_decoder=True) as running:
        assert still_well(running, shoe)
        answers: list[httpx.Response] = []

        def ask() -> None:
            with running.client() as client:
                answers.append(client.post("/predict", content=SLOW))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [400] * 4
        assert "decoded within 1.5 seconds expected" in answers[0].json()["error"]
        assert still_well(running, shoe)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the bound on memory is Linux's")
def test_a_small_file_with_a_large_picture_takes_bounded_memory(two_runs: list[Path], shoe: bytes) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (7000, 7000)).save(file, "WEBP", lossless=True, method=0)
    with started(two_runs[:1], decode_seconds=60) as running, running.client() as client:
        answer = client.post("/predict", content=file.getvalue())
        assert answer.status_code in (200, 400)
        for pid in (running.process.pid, *children(running)):
            status = Path(f"/proc/{pid}/status").read_text()
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
            assert peak < 1_250_000
        assert still_well(running, shoe)


def test_decoders_end_with_a_server_that_was_killed(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1]) as running:
        assert still_well(running, shoe)
        (decoder, *_) = children(running)
        running.process.kill()
        running.process.wait(10)
        until = time.monotonic() + 10
        while Path(f"/proc/{decoder}").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not Path(f"/proc/{decoder}").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_all_processes_of_a_server_get_ends_no_decoding(
    two_runs: list[Path], shoe: bytes, number: signal.Signals
) -> None:
    with started(two_runs[:1]) as running:
        assert still_well(running, shoe)
        before = children(running)
        for child in before:
            os.kill(child, number)
        assert still_well(running, shoe)
        assert before <= children(running)


def test_a_key_is_not_handed_to_the_decoders(
    two_runs: list[Path], shoe: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_API_KEY", "open-sesame")
    with started(two_runs[:1]) as running:
        assert still_well(running, shoe)
        for child in children(running):
            assert b"sesame" not in Path(f"/proc/{child}/environ").read_bytes()


def test_a_replaced_folder_is_noticed_and_the_opened_model_answers_on(
    two_runs: list[Path], tmp_path: Path, shoe: bytes
) -> None:
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    with started([run]) as running, running.client() as client:
        answer = client.post("/predict", content=shoe).json()
        assert client.get("/models").json()[0]["accuracy"] is not None
        assert client.get("/models/run/report").status_code == 200

        shutil.rmtree(run)
        train_small(run, "seed=5")
        assert client.post("/predict", content=shoe).json()["top"] == answer["top"]
        assert client.get("/models").json()[0]["accuracy"] is None
        for path in ("report", "examples", "mistakes?truth=Shirt&predicted=Coat"):
            said = client.get(f"/models/run/{path}")
            assert said.status_code == 409
            assert "was replaced since the server was started" in said.json()["error"]


def test_a_report_that_is_made_anew_is_no_other_run(two_runs: list[Path], tmp_path: Path) -> None:
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    with started([run]) as running, running.client() as client:
        (run / "report.html").write_text("anew", encoding="utf-8")
        assert client.get("/models/run/report").text == "anew"


def test_a_sheet_of_examples_that_unpacks_to_gigabytes_is_not_read(two_runs: list[Path], tmp_path: Path) -> None:
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    with zipfile.ZipFile(run / "examples.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images.npy", "labels.npy"):
            with archive.open(name, "w", force_zip64=True) as file:
                for _ in range(100):
                    file.write(bytes(1 << 20))
    with started([run]) as running, running.client() as client:
        assert client.get("/models/run/examples").json() == []


def test_each_request_that_came_before_sigterm_is_answered(two_runs: list[Path], shoe: bytes) -> None:
    body = json.dumps(
        {"inputs": [{"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
    ).encode()
    with started(two_runs[:1], model_seconds=0.02) as running:
        kept = [connected(running) for _ in range(30)]  # which have had an answer before
        for connection in kept:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in kept:
            while b"true" not in connection.recv(4096):
                pass
        fresh = [connected(running) for _ in range(30)]
        for connection in kept + fresh:
            connection.sendall(post("/v2/models/first/infer", body))
        running.process.send_signal(signal.SIGTERM)

        for connection in kept + fresh:
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            assert answer.startswith(b"HTTP/1.1 200")
            assert b'"probabilities"' in answer
            connection.close()
        assert running.process.wait(20) in (0, -signal.SIGTERM)


@pytest.mark.nightly
def test_twenty_thousand_requests_leave_memory_as_it_was(two_runs: list[Path], shoe: bytes) -> None:
    tensor = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    body = json.dumps({"inputs": [tensor]}).encode()

    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with started(two_runs[:1]) as running, running.client() as client:

        def ask(count: int) -> None:
            for i in range(count):
                assert client.post("/v2/models/first/infer", content=body).status_code == 200
                if i % 10 == 0:
                    assert client.post("/predict", content=shoe).status_code == 200
                    assert client.get(f"/nowhere-{i}").status_code == 404
                if i % 100 == 0:
                    assert client.get("/models").status_code == 200
                    assert client.post("/predict", content=shoe[: i % len(shoe)]).status_code == 400

        ask(2_000)
        pids = [running.process.pid, *children(running)]
        before = sum(map(resident, pids))
        ask(16_500)  # 20,000 requests with the others among them
        grown = sum(map(resident, pids)) - before
        print(f"memory grew by {grown / 1e6:.1f} MB")
        assert grown < 20e6
