"""What a training on several processes promises: the same run, one voice, no example twice, and no wait for ever."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # in its documentation, not in its list
from torch.distributed.distributed_c10d import Store

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.parallel.process_group import (
    ALONE,
    ProcessGroup,
    _store_of_this_start,
    is_own_job,
    process_group,
    processes,
)
from fittingroom.runs.metrics_log import read_metrics
from tests.support import PATIENCE, SUPPORT
from tests.support.in_each_process import judge, train_normed
from tests.support.processes import LIMIT, start_each, torchrun

NET = f"{SUPPORT / 'plain_net.py'}:Net"
EVERYTHING = [  # 1,801 images in 15 batches of 120 and one of 1; the 199 others divide by none of 2, 3
    *("model=" + repr(NET), "batch_size=120", "validation=199", "precision=float32"),
    *("mirror=random", "shift=2", "erase=5", "stages.0.epochs=4"),
]


def train_command(out: str, *, overrides: list[str]) -> list[str]:
    sets = [word for override in overrides for word in ("--set", override)]
    return ["train", "sample", "--recipe", "plain", "--out", out, *sets]


def losses(folder: Path) -> list[float]:
    return [event["loss"] for event in read_metrics(folder / "metrics.jsonl") if event["event"] == "step"]


def validations(folder: Path) -> list[tuple[float, float]]:
    events = [event for event in read_metrics(folder / "metrics.jsonl") if event["event"] == "epoch"]
    return [(event["validation_loss"], event["validation_accuracy"]) for event in events]


def ended(workers: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each process."""
    said = [worker.communicate(timeout=LIMIT) for worker in workers]
    return [(worker.returncode, out, err) for worker, (out, err) in zip(workers, said, strict=True)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The same training on one, two or three processes, by the command, each carried out when it is asked for."""
    folder = tmp_path_factory.mktemp("trained")

    @cache
    def train(count: int) -> Path:
        with contextlib.chdir(folder):
            command = train_command(str(count), overrides=EVERYTHING)
            if count == 1:
                assert main([*command, "--quiet"]) == 0
            else:
                done = torchrun(count, "-m", "fittingroom", *command)
                assert done.returncode == 0, done.stderr
                (folder / f"{count}.out").write_text(done.stdout, encoding="utf-8")
                (folder / f"{count}.err").write_text(done.stderr, encoding="utf-8")
        return folder / str(count)

    return train


SEVERAL = pytest.mark.parametrize("count", [3, pytest.param(2, marks=pytest.mark.nightly)])


@SEVERAL
def test_the_losses_of_a_training_on_many_processes_are_those_on_one(
    trained: Callable[[int], Path], count: int
) -> None:
    one, many = losses(trained(1)), losses(trained(count))
    assert len(one) == len(many) == 4 * 16
    assert many[:50] == pytest.approx(one[:50], rel=2e-5)
    assert many == pytest.approx(one, rel=2e-4)

    for (loss, accuracy), (loss_1, accuracy_1) in zip(
        validations(trained(count)), validations(trained(1)), strict=True
    ):
        assert loss == pytest.approx(loss_1, rel=1e-4)
        assert accuracy == pytest.approx(accuracy_1, abs=1.01 / 199)


@SEVERAL
def test_one_process_writes_and_speaks(trained: Callable[[int], Path], count: int) -> None:
    folder = trained(count).parent
    printed = (folder / f"{count}.out").read_text(encoding="utf-8")
    told = (folder / f"{count}.err").read_text(encoding="utf-8")
    assert told.count("training   1,801 images") == told.count("epoch 4/4") == printed.count("test        ") == 1
    assert f"{count} processes" in told

    looks = (folder / "test-looks.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["run"] for line in looks].count(str(count)) == 1
    assert {file.name for file in trained(count).iterdir()} == {file.name for file in trained(1).iterdir()}

    environment = fr.open_run(trained(count)).environment
    assert environment.processes == count
    assert environment.command.startswith(f"torchrun --nproc-per-node {count} -m fittingroom train sample")


@pytest.fixture(scope="module")
def from_each(trained: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each of two processes came to; the folder of its files."""
    folder = tmp_path_factory.mktemp("each")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(SUPPORT.parents[1]))
        for code, _, told in ended(start_each(2, "-m", "tests.support.in_each_process", str(trained(1)))):
            assert code == 0, told
    return folder


def test_every_example_is_judged_once_by_however_many_processes(
    trained: Callable[[int], Path], from_each: Path
) -> None:
    alone = judge(trained(1))
    assert len(alone) == 997
    for rank in range(2):
        assert np.array_equal(np.load(from_each / f"rank{rank}.npy"), alone)


def test_every_process_ends_with_the_same_weights_and_running_statistics(from_each: Path) -> None:
    together, other = (torch.load(from_each / f"rank{rank}.pt") for rank in range(2))
    assert all(torch.equal(other[name], value) for name, value in together.items())

    alone = train_normed()
    assert together["norm.num_batches_tracked"] == alone["norm.num_batches_tracked"] == 3
    assert torch.equal(together["mask"], torch.tensor([0.1, -torch.inf]))  # a constant stays what it is

    # The mean of the parts' means is the mean of the batch; the variance lacks that between the parts.
    assert together["norm.running_mean"].item() == pytest.approx(alone["norm.running_mean"].item(), rel=1e-5)
    assert together["norm.running_var"].item() == pytest.approx(alone["norm.running_var"].item(), rel=0.1)

    # A parameter without a gradient is passed over by the optimizer, its weight decay included.
    assert torch.equal(together["unused.weight"], alone["unused.weight"])


def test_no_thread_of_the_group_outlives_it_and_aborts_the_end_of_the_process(from_each: Path) -> None:
    for rank in range(2):
        assert "gloo" not in (from_each / f"rank{rank}.threads").read_text()


@pytest.mark.nightly
def test_a_stopped_training_goes_on_and_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Callable[[int], Path]
) -> None:
    """SIGTERM reaches only the second process; both stop after the same step. One process can go on as well."""
    monkeypatch.chdir(tmp_path)
    command = ["-m", "fittingroom", *train_command("run", overrides=EVERYTHING), "--no-test"]
    workers = start_each(2, *command)
    _wait_for(lambda: len(losses(Path("run"))) > 5)
    workers[1].send_signal(signal.SIGTERM)

    (code, _, told), (other_code, _, other_told) = ended(workers)
    assert code == 130, told
    assert "torchrun --nproc-per-node 2 -m fittingroom train --resume run" in told
    assert (other_code, other_told) == (1, "")

    # By three processes, where two began it: sums are rounded otherwise.
    done = torchrun(3, "-m", "fittingroom", "train", "--resume", "run", "--no-test", "--trust-code")
    assert done.returncode == 0, done.stderr
    assert "its number of processes was 2 and is now 3" in done.stderr
    assert losses(Path("run")) == pytest.approx(losses(trained(1)), rel=2e-4)


def _wait_for(ready: object, seconds: float = LIMIT) -> None:
    assert callable(ready)
    limit = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except (OSError, fr.ArtifactError):  # it is not there yet
            pass
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def test_a_batch_that_the_processes_cannot_share_evenly_is_refused_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["-m", "fittingroom", "train", "sample", "--set", "batch_size=25", "--out", "run"]
    (code, printed, told), (other_code, other_printed, other_told) = ended(start_each(2, *command))
    assert 0 not in (code, other_code)
    assert printed == other_printed == ""
    assert (told + other_told).count("fittingroom: ") == 1
    assert "that 2 processes divide evenly expected, 25 found. Start 1, 5, 25 processes" in told + other_told
    assert not Path("run").exists()


OTHER_DATA = """
import os, sys, fittingroom as fr
from fittingroom.cli import main
from fittingroom.data import open

real = open.open_dataset
def shifted(*args, **options):
    data = real(*args, **options)
    return data if os.environ["RANK"] == "0" else fr.Splits(data.train.subset(range(1999, -1, -1)), None, data.test)
open.open_dataset = shifted
sys.exit(main(["train", "sample", "--recipe", "plain", "--out", "run"]))
"""


def test_a_host_with_other_data_ends_all_with_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code, _, told), (other_code, _, other_told) = ended(start_each(2, "-c", OTHER_DATA))
    assert (code, other_code) == (1, 2)
    assert "only on the data that it was started with" in other_told
    assert "fittingroom:" not in told


@pytest.mark.nightly
def test_a_process_that_hangs_ends_the_others_within_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["-m", "fittingroom", *train_command("run", overrides=[*EVERYTHING, "stages.0.epochs=400"])]
    first, other = start_each(2, *command, "--timeout", "10")
    try:
        _wait_for(lambda: len(losses(Path("run"))) > 20)
        other.send_signal(signal.SIGSTOP)

        since = time.monotonic()
        _, told = first.communicate(timeout=LIMIT)
        assert first.returncode == 2
        assert 8 < time.monotonic() - since < 60
        assert "no answer from another process within 10 s, the timeout" in told
        assert "train --resume run" in told
        assert "Traceback" not in told
    finally:
        other.kill()
        other.communicate()

    assert any(Path("run/checkpoints").iterdir())


@pytest.mark.nightly
def test_processes_that_never_come_are_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workers = start_each(2, "-m", "fittingroom", "train", "sample", "--timeout", "3", "--out", "run")
    workers[1].kill()
    workers[1].communicate()
    _, told = workers[0].communicate(timeout=LIMIT)
    assert workers[0].returncode == 2
    assert "within 3 s, the timeout" in told
    assert not Path("run").exists()


@given(st.integers(1, 40), st.integers(0, 1000))
def test_the_shards_of_a_batch_are_the_batch(size: int, count: int) -> None:
    shards = [range(count)[ProcessGroup(rank=rank, size=size).shard(count)] for rank in range(size)]
    assert [i for shard in shards for i in shard] == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert len(shards[0]) == max(map(len, shards))


@pytest.fixture
def kept_store() -> TCPStore:
    """A store that outlives the processes that met by it, as torchrun's does; two of them have met and are gone."""
    store = TCPStore("127.0.0.1", 0, is_master=True)
    with ThreadPoolExecutor(2) as pool:
        for part in [pool.submit(meet, store, rank) for rank in range(2)]:
            part.result().set("address", "of a process that is gone")
    return store


def meet(store: TCPStore, rank: int, timeout: float = 20.0) -> Store:
    """What process ``rank`` of two does at its start, with a connection of its own."""
    own = TCPStore("127.0.0.1", store.port, timeout=timedelta(seconds=timeout))
    return _store_of_this_start(own, rank, 2, timeout)


def test_a_restart_waits_for_its_own_processes_and_finds_nothing_of_those_before(kept_store: TCPStore) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, kept_store, 1)
        with pytest.raises(TimeoutError):
            first.result(timeout=0.5)
        second = pool.submit(meet, kept_store, 0)
        first.result().set("port", "1")
        assert second.result().get("port") == b"1"
        assert not second.result().check(["address"])


def test_who_comes_back_alone_waits_no_longer_than_the_timeout(kept_store: TCPStore) -> None:
    with pytest.raises(RuntimeError, match="timed out"):
        meet(kept_store, 1, timeout=0.2)


def test_without_torchrun_a_training_is_alone_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # other launchers set this, and say nothing of where to meet
    assert processes() == 1
    with process_group() as group:
        assert group is ALONE
        assert group.all_reduce([], [1.5]) == [1.5]
        assert group.broadcast(lambda: 7) == 7
    assert not torch.distributed.is_initialized()


def test_a_job_is_known_again_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not is_own_job(None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "shirts")
    assert is_own_job("shirts")
    assert not is_own_job("shoes")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what every job with a static rendezvous is called
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not is_own_job("none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert is_own_job("none")


def test_the_module_loads_no_torch() -> None:
    code = (
        "import sys, fittingroom.parallel.process_group as module; module.process_group().__enter__(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "False\n"
