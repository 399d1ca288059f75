"""Workers that die and hosts that lose each other, for real: torchrun starts again and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training.checkpoint import load_checkpoint
from tests.support import SUPPORT
from tests.support.machine import missing
from tests.support.processes import TORCHRUN

NET = f"{SUPPORT / 'plain_net.py'}:Net"
TRAIN = [  # 30 steps an epoch and a checkpoint after each, batch norm, an average and dropout included
    *("-m", "fittingroom", "train", "sample", "--recipe", "swift", "--no-test", "--epochs", "12"),
    *("--set", "batch_size=60", "--set", "validation=200", "--set", "precision=float32", "--set", "ema=0.9"),
]
LIMIT = 300.0

pytestmark = pytest.mark.nightly


AGENTS: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of its own, and leave no torchrun behind whatever fails."""
    monkeypatch.chdir(tmp_path)
    yield
    for agent in AGENTS:
        if agent.poll() is None:
            for worker in workers(agent):
                os.kill(worker, signal.SIGKILL)
            agent.kill()
            agent.wait(LIMIT)
    AGENTS.clear()


def start(*options: str, host: str | None = None, more: tuple[str, ...] = ("--out", "run")) -> subprocess.Popen[str]:
    """torchrun on this host, or inside the network namespace ``host``; what it says goes to a file."""
    inside = ["ip", "netns", "exec", host] if host else []
    with Path(f"{host or 'torchrun'}.err").open("w", encoding="utf-8") as told:
        command = [*inside, TORCHRUN, *options, *TRAIN, *more]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "cable"} if host else None
        AGENTS.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, text=True, env=environment))
    return AGENTS[-1]


def steps_of(run: str) -> list[int]:
    try:
        return [event["step"] for event in read_metrics(Path(run) / "metrics.jsonl") if event["event"] == "step"]
    except fr.ArtifactError:  # it has none yet
        return []


def wait_for(ready: Callable[[], object], seconds: float = LIMIT) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def workers(agent: subprocess.Popen[str]) -> list[int]:
    """Process ids of the trainings that an agent started, in the order of their ranks."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text(encoding="utf-8").split()
    return sorted(int(child) for child in children if "fittingroom" in _command(int(child)))


def _command(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8")
    return ""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a training on two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(
        [TORCHRUN, "--nproc-per-node", "2", *TRAIN, "--out", "run", "--quiet"],
        cwd=folder,
        capture_output=True,
        timeout=LIMIT,
        check=True,
    )
    return (folder / "run" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("more", "out"), [(("--out", "run"), "run"), ((), "runs/swift-1")], ids=["out", "numbered"])
def test_a_killed_worker_costs_nothing_but_time(rank: int, more: tuple[str, ...], out: str, undisturbed: bytes) -> None:
    """In mid-epoch, with and without --out; torchrun starts both again and they find their folder by themselves."""
    agent = start("--nproc-per-node", "2", "--max-restarts", "2", more=more)
    wait_for(lambda: len(steps_of(out)) > 70 and len(steps_of(out)) % 30 > 10)
    os.kill(workers(agent)[rank], signal.SIGKILL)
    assert agent.wait(LIMIT) == 0
    told = Path("torchrun.err").read_text(encoding="utf-8")
    assert "going on after step" in told
    assert steps_of(out) == list(range(1, 361))
    assert Path(out, "model.safetensors").read_bytes() == undisturbed


def test_a_run_of_another_job_is_left_alone(undisturbed: bytes) -> None:
    agent = start("--nproc-per-node", "2")
    wait_for(lambda: len(steps_of("run")) > 40)
    os.kill(workers(agent)[0], signal.SIGKILL)
    assert agent.wait(LIMIT) != 0

    # A new job with the same --out is not the one that was killed.
    before = sorted(Path("run").rglob("*"))
    agent = start("--nproc-per-node", "2", "--max-restarts", "1")
    assert agent.wait(LIMIT) != 0
    assert "go on with that run: fittingroom train --resume run" in Path("torchrun.err").read_text(encoding="utf-8")
    assert sorted(Path("run").rglob("*")) == before


def test_a_worker_that_hangs_is_replaced(undisturbed: bytes) -> None:
    """torchrun gives a stopped process 30 seconds before it kills it."""
    agent = start("--nproc-per-node", "2", "--max-restarts", "1", more=("--out", "run", "--timeout", "20"))
    wait_for(lambda: len(steps_of("run")) > 40)
    os.kill(workers(agent)[1], signal.SIGSTOP)
    assert agent.wait(LIMIT) == 0
    assert "no answer from another process within 20 s" in Path("torchrun.err").read_text(encoding="utf-8")
    assert Path("run/model.safetensors").read_bytes() == undisturbed


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces, each with one end of a cable: 10.77.0.1 and 10.77.0.2."""
    names = tuple(f"fitting-{i}-{os.getpid()}" for i in (1, 2))
    if shutil.which("ip") is None:
        missing("there is no `ip`; install iproute2")

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
    except subprocess.CalledProcessError as error:
        _remove(names)
        missing(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")

    for number, name in enumerate(names, 1):
        ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "cable", "up")
    yield names[0], names[1]
    _remove(names)


def _remove(names: tuple[str, ...]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=30)


def start_both(hosts: tuple[str, str], *, timeout: str, restarts: str) -> list[subprocess.Popen[str]]:
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29400", "--rdzv-id", "two-hosts"]
    # Both namespaces have this machine's name, by which torchrun would find out where the meeting is.
    return [
        start(
            *("--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", restarts, "--local-addr", f"10.77.0.{i}"),
            *(*meeting, "--rdzv-conf", f"is_host={i == 1}".lower()),
            host=host,
            more=("--out", "run", "--timeout", timeout),
        )
        for i, host in enumerate(hosts, 1)
    ]


def test_two_hosts_train_as_one_and_a_short_cut_of_the_link_is_survived(
    hosts: tuple[str, str], undisturbed: bytes
) -> None:
    """Cut for 3 seconds, less than the timeout: TCP sends again what was lost, and nothing has to start anew."""
    agents = start_both(hosts, timeout="60", restarts="0")
    wait_for(lambda: len(steps_of("run")) > 40)
    ip("-n", hosts[0], "link", "set", "cable", "down")
    time.sleep(3)
    ip("-n", hosts[0], "link", "set", "cable", "up")
    assert [agent.wait(LIMIT) for agent in agents] == [0, 0]
    assert Path("run/model.safetensors").read_bytes() == undisturbed


def cut_for_longer_than_the_timeout(host: str) -> None:
    wait_for(lambda: len(steps_of("run")) > 40)
    ip("-n", host, "link", "set", "cable", "down")
    wait_for(lambda: "no answer from another process within 15 s" in Path(f"{host}.err").read_text(encoding="utf-8"))
    time.sleep(3)
    ip("-n", host, "link", "set", "cable", "up")


def test_a_cut_longer_than_the_timeout_ends_the_run_and_damages_no_checkpoint(
    hosts: tuple[str, str], undisturbed: bytes
) -> None:
    agents = start_both(hosts, timeout="15", restarts="0")
    cut_for_longer_than_the_timeout(hosts[0])
    assert all(agent.wait(LIMIT) for agent in agents)

    saved = sorted(Path("run/checkpoints").iterdir())
    assert saved
    for checkpoint in saved:
        load_checkpoint(checkpoint)

    resumed = subprocess.run(
        [TORCHRUN, "--nproc-per-node", "2", "-m", "fittingroom", "train", "--resume", "run", "--no-test"],
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert Path("run/model.safetensors").read_bytes() == undisturbed


def test_after_a_long_cut_torchrun_goes_on_by_itself(hosts: tuple[str, str], undisturbed: bytes) -> None:
    agents = start_both(hosts, timeout="15", restarts="3")
    cut_for_longer_than_the_timeout(hosts[0])
    assert [agent.wait(LIMIT) for agent in agents] == [0, 0]
    assert "going on after step" in Path(f"{hosts[0]}.err").read_text(encoding="utf-8")
    assert Path("run/model.safetensors").read_bytes() == undisturbed
