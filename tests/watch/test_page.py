"""The page's addresses: what they say of a run, and whom they answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import fittingroom as fr
from fittingroom.evaluation.snapshot import FILE
from fittingroom.watch.state import WatchedRun
from tests.support import PATIENCE
from tests.support.watched_run import in_its_second_epoch, train_watched
from tests.watch.following import Watching, append, content_of, held, watching


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    """Of two epochs, finished, with what the training stored for the page."""
    return train_watched(tmp_path_factory.mktemp("watched") / "run-1")


@pytest.fixture
def under_way(run: fr.Run, tmp_path: Path) -> Path:
    """The same run as it was in its second epoch."""
    return in_its_second_epoch(run, tmp_path / "under-way")


@pytest.fixture(scope="session")
def page(run: fr.Run) -> Iterator[Watching]:
    with watching(run.path) as page:
        yield page


# Whom it answers


def test_without_the_token_nothing_is_answered(page: Watching) -> None:
    base, token = page.url.rstrip("/").rsplit("/", 1)
    for path in (
        "/",
        "/state",
        "/report",
        "/x/state",
        f"/{token[:-1]}/state",
        f"/{token}x/",
        "/%00/",
        "/" + "a" * 5_000,
    ):
        answer = httpx.get(base + path, trust_env=False)
        assert answer.status_code == 404, path
        assert token not in answer.text
    assert page.get("state").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:80"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
    ids=str,
)
def test_another_host_and_a_page_of_another_site_get_nothing(
    page: Watching, headers: dict[str, str], status: int
) -> None:
    for path in ("", "state", "report"):
        assert page.get(path, **headers).status_code == status


def test_it_is_read_and_never_written_to(page: Watching) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        answer = httpx.request(method, page.url + "state", trust_env=False)
        assert answer.status_code == 405, method
    assert page.get("../../etc/passwd").status_code == 404
    assert page.get("%2e%2e/metrics.jsonl").status_code == 404
    assert page.get("metrics.jsonl").status_code == 404


def test_its_policy_is_the_servers_and_the_report_is_in_a_sandbox(page: Watching) -> None:
    policy = page.get().headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    of_report = page.get("report").headers["content-security-policy"]
    assert of_report.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in of_report
    assert "connect-src" not in of_report  # so that 'none' holds for it
    for answer in (page.get(), page.get("report"), page.get("state")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_only_this_machine_reaches_it(page: Watching) -> None:
    others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, page.port), timeout=2)


# What it says


def test_it_loads_no_pytorch_and_writes_nothing(run: fr.Run) -> None:
    before = content_of(run.path)
    with watching(run.path) as page:
        page.get()
        page.state()
        page.get("report")
        maps = Path(f"/proc/{page.process.pid}/maps")
        if maps.exists():
            assert "libtorch" not in maps.read_text()
            assert "numpy" not in maps.read_text()
    assert content_of(run.path) == before


def test_a_run_that_is_done_is_its_report(page: Watching, run: fr.Run) -> None:
    assert page.state()["standing"] == "report"
    assert page.get("report").content == (run.path / "report.html").read_bytes()


def test_what_it_says_of_a_training_is_what_the_files_say(under_way: Path) -> None:
    events = fr.Run(under_way).events
    steps = [event for event in events if event["event"] == "step"]
    (epoch,) = [event for event in events if event["event"] == "epoch"]
    with held(under_way):
        state = WatchedRun(under_way).state()
    assert state["standing"] == "training"
    assert state["now"]["step"] == steps[-1]["step"]
    assert state["now"]["steps"] == 2 * 29
    assert (state["now"]["epoch"], state["now"]["epochs"], state["now"]["validated_after"]) == (2, 2, 1)
    assert state["now"]["validation_accuracy"] == epoch["validation_accuracy"]
    assert state["now"]["rate"] == steps[-1]["lr"]
    assert state["answers"] == json.loads((under_way / FILE).read_text())
    assert state["curves"].count("<svg viewBox") == 2
    assert state["members"] == []
    assert state["problem"] == ""


def test_news_come_when_there_are_some(under_way: Path) -> None:
    event = json.loads((under_way / "metrics.jsonl").read_text().splitlines()[-1])
    with held(under_way), watching(under_way) as page:
        first = page.state()
        append(under_way, event | {"step": event["step"] + 1})
        started = time.monotonic()
        second = page.state(seen=first["version"])
        assert second["now"]["step"] == first["now"]["step"] + 1
        assert time.monotonic() - started < 10

        third = page.state()  # nothing new, and nothing seen: at once
        assert third["now"] == second["now"]


def test_a_line_that_is_half_written_is_waited_for_and_a_damaged_one_is_named(under_way: Path) -> None:
    file = under_way / "metrics.jsonl"
    event = json.loads(file.read_text().splitlines()[-1])
    watched = WatchedRun(under_way)
    first = watched.state()["now"]["step"]

    line = json.dumps(event | {"step": first + 1}) + "\n"
    with file.open("a") as opened:
        opened.write(line[:30])
        opened.flush()
        assert watched.state()["now"]["step"] == first
        opened.write(line[30:])
    assert watched.state()["now"]["step"] == first + 1

    with file.open("a") as opened:
        opened.write('{"event": "step", "step": "many"}\n' + line)
    state = watched.state()
    assert re.search(r"line 42 is damaged", state["problem"])
    assert state["now"]["step"] == first + 1


def test_what_cannot_be_read_for_a_while_is_read_on_after(under_way: Path) -> None:
    watched = WatchedRun(under_way)
    step, file, aside = watched.state()["now"]["step"], under_way / "metrics.jsonl", under_way / "aside"
    file.rename(aside)
    file.mkdir()  # as of a share that is gone for a moment, it can't be read
    assert "metrics.jsonl" in watched.state()["problem"]
    assert "metrics.jsonl" in watched.state()["problem"]

    file.rmdir()
    aside.rename(file)
    event = json.loads(file.read_text().splitlines()[-1])
    append(under_way, event | {"step": step + 1})
    state = watched.state()
    assert (state["problem"], state["now"]["step"]) == ("", step + 1)


def test_a_training_that_is_resumed_is_read_anew(under_way: Path) -> None:
    watched = WatchedRun(under_way)
    assert watched.state()["now"]["step"] > 29
    file = under_way / "metrics.jsonl"
    kept = file.read_bytes().splitlines(keepends=True)[:20]
    (under_way / "new").write_bytes(b"".join(kept))
    (under_way / "new").rename(file)
    state = watched.state()
    assert state["now"]["step"] == json.loads(kept[-1])["step"] < 29
    assert state["now"]["validation_accuracy"] is None


def test_what_it_keeps_of_a_long_training_is_bounded_and_has_every_spike(under_way: Path) -> None:
    events = [json.loads(line) for line in (under_way / "metrics.jsonl").read_text().splitlines()]
    step = next(event for event in events if event["event"] == "step")
    lines = [
        json.dumps(step | {"step": i + 1, "loss": 9.0 if i == 12_345 else 1.0 + i % 7 / 10}) for i in range(30_000)
    ]
    head = [json.dumps(event) for event in events if event["event"] == "start"]
    (under_way / "metrics.jsonl").write_text("\n".join([*head, *lines]) + "\n")
    watched = WatchedRun(under_way)
    assert watched.state()["now"]["step"] == 30_000
    kept = watched.trainings[""].steps
    assert len(kept) <= 4_000 + 200
    assert max(one["loss"] for one in kept) == 9.0
    assert [one["step"] for one in kept] == sorted({one["step"] for one in kept})
    assert watched.trainings[""].images == 30_000 * step["examples"]


def test_one_that_nobody_trains_is_said_to_stand_still(under_way: Path) -> None:
    state = WatchedRun(under_way).state()
    assert state["standing"] == "stopped"
    assert state["resume"] == f"fittingroom train --resume {under_way}"
    assert state["speed"]["left"] is None


def test_answers_that_are_missing_or_damaged_are_no_obstacle(under_way: Path) -> None:
    watched = WatchedRun(under_way)
    (under_way / FILE).write_text('{"format": 1, "examples": "<script>"}')
    assert (watched.state()["answers"], watched.state()["no_answers"]) == (None, "damaged")
    (under_way / FILE).unlink()
    assert (watched.state()["answers"], watched.state()["no_answers"]) == (None, "not-stored")


def test_a_run_that_goes_away_is_said_to_be_unreadable(under_way: Path) -> None:
    with watching(under_way) as page:
        assert page.state()["standing"] == "stopped"
        shutil.rmtree(under_way)
        time.sleep(1.1)
        assert page.state()["standing"] == "damaged"


def test_of_several_seeds_each_is_listed(run: fr.Run, under_way: Path, tmp_path: Path) -> None:
    parent = tmp_path / "several"
    parent.mkdir()
    for name in ("recipe.toml", "environment.json"):
        shutil.copy(run.path / name, parent)
    environment = json.loads((parent / "environment.json").read_text())
    (parent / "environment.json").write_text(json.dumps(environment | {"seeds": [0, 1, 2]}))
    shutil.copytree(run.path, parent / "seed-0")
    shutil.copytree(under_way, parent / "seed-1")
    with held(parent, parent / "seed-1"):
        state = WatchedRun(parent).state()
        assert [member["standing"] for member in state["members"]] == ["done", "training", "waiting"]
        assert state["shown"] == "seed-1"
        assert state["standing"] == "training"
        assert WatchedRun(parent).state("seed-0")["shown"] == "seed-0"
        assert WatchedRun(parent).state("../../etc")["shown"] == "seed-1"


# The command


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fittingroom", *words], capture_output=True, text=True, timeout=PATIENCE
    )


def test_a_port_that_is_taken_and_a_folder_that_is_no_run_are_named(run: fr.Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("watch", str(run.path), "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use by another program" in done.stderr

    for folder in (tmp_path, tmp_path / "nowhere"):
        done = command("watch", str(folder))
        assert done.returncode == 2
        assert str(folder) in done.stderr
        assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_while_a_page_waits_for_news(under_way: Path) -> None:
    with held(under_way), watching(under_way) as page:
        version = page.state()["version"]
        with socket.create_connection(("127.0.0.1", page.port)) as waiting:
            path = page.url.split(str(page.port), 1)[1]
            request = f"GET {path}state?seen={version} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n"
            waiting.sendall(request.encode())
            time.sleep(0.5)
            page.process.send_signal(signal.SIGINT)
            assert waiting.recv(100).startswith(b"HTTP/1.1 200")
        assert page.process.wait(timeout=10) == 0


# Beside a training


def children(of: int) -> set[int]:
    """The pages that the process has started; those of other trainings on the machine are not counted."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == of and b"watch.server" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def start_training(folder: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """A training that is watched, and the page's address."""
    training = subprocess.Popen(
        [sys.executable, "-m", "fittingroom", "train", "sample", "--threads", "1", "--watch", "--out", folder, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert training.stderr is not None
    for line in training.stderr:
        if match := re.search(r"^watch +(http://\S+)$", line.strip()):
            return training, match[1]
    raise AssertionError(training.wait())


def runs(process: int) -> bool:
    try:
        return b"watch.server" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def gone(page: int) -> bool:
    until = time.monotonic() + 15
    while runs(page) and time.monotonic() < until:
        time.sleep(0.1)
    return not runs(page)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_the_page_ends_with_a_training_that_is_stopped_and_says_so(tmp_path: Path, how: signal.Signals) -> None:
    training, url = start_training(tmp_path / "run", "--epochs", "200", "--quiet")
    (page,) = children(of=training.pid)
    state: dict[str, Any] = {"now": {"step": 0}}
    while not state["now"]["step"]:
        state = httpx.get(url + "state", params={"seen": state.get("version", "")}, timeout=60, trust_env=False).json()
    assert state["standing"] == "training"
    training.send_signal(how)
    for _ in range(100):
        state = httpx.get(url + "state", params={"seen": state["version"]}, timeout=60, trust_env=False).json()
        if state["standing"] != "training":
            break
    assert state["standing"] == "stopped"
    training.communicate(timeout=PATIENCE)
    assert training.returncode in (130, -signal.SIGKILL)
    assert gone(page)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_a_page_that_nobody_opens_is_gone_when_the_training_is_and_one_that_dies_is_named(tmp_path: Path) -> None:
    training, _ = start_training(tmp_path / "run", "--epochs", "1", "--no-test")
    (page,) = children(of=training.pid)
    os.kill(page, signal.SIGKILL)
    _, said = training.communicate(timeout=PATIENCE)
    assert training.returncode == 0
    assert "was gone before the training ended" in said
    assert gone(page)
