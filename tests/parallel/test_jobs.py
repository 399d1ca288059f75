"""Jobs give the same one after another and on Ray, and what is killed or stopped goes on from what it saved."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import FittingRoomError, Interrupted, TrainingDiverged, how_to_install
from fittingroom.events import CheckpointSaved, EpochDone, Event, Hooks, JobDone, JobEvent, MicroBatchHalved
from fittingroom.parallel import ray_engine
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import connected
from fittingroom.pipeline.one_seed import finish
from fittingroom.runs.create import start
from fittingroom.runs.metrics_log import read_metrics
from tests.support import SUPPORT

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
TINY = ["--recipe", "plain", "--set", LINEAR, "--set", "precision=float32", "--set", "validation=200", "--no-test"]
MEMBER_FILES = ("model.safetensors", "recipe.toml", "predictions-validation.parquet")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def event(number: int) -> Event:
    return MicroBatchHalved(epoch=number, micro_batch=1)


def square(number: int, hooks: Hooks) -> int:
    hooks.observe(event(number))
    if hooks.should_stop():
        raise Interrupted(f"{number} stopped")
    return number * number


def squares(count: int) -> Iterator[Job[int]]:
    return (Job(f"job-{i}", partial(square, i)) for i in range(count))


def test_jobs_yield_their_results_and_tell_whose_events_they_are() -> None:
    seen: list[Event] = []
    results = [(job.name, result) for job, result in run_jobs(squares(3), hooks=Hooks(observe=seen.append))]
    assert results == [("job-0", 0), ("job-1", 1), ("job-2", 4)]
    assert seen == [JobEvent(job=f"job-{i}", event=event(i)) for i in range(3)]


def test_the_next_job_is_drawn_only_when_there_is_room_for_it() -> None:
    drawn = []

    def drawing() -> Iterator[Job[int]]:
        for job in squares(5):
            drawn.append(job.name)
            yield job

    ended = run_jobs(drawing())
    next(ended)
    assert drawn == ["job-0"]


def test_a_stop_ends_the_job_that_runs_and_begins_no_other() -> None:
    asked: list[int] = []
    ended = run_jobs(squares(5), hooks=Hooks(should_stop=lambda: bool(asked)))
    assert next(ended)[1] == 0
    asked.append(1)
    with pytest.raises(Interrupted, match="1 stopped"):
        next(ended)


def test_without_ray_one_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda _name: None)
    assert main(["train", "sample", *TINY, "--seeds", "2", "--engine", "ray"]) == 2
    assert how_to_install("ray") in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "ray"], "give --seeds N"),
        (["--seeds", "2", "--ray-address", "10.0.0.5:6379"], "give --engine ray with it"),
        (
            ["--seeds", "2", "--engine", "ray", "--ray-address", "127.0.0.1:1"],
            "Ray at 127.0.0.1:1: the address of a running Ray cluster expected",
        ),
    ],
)
def test_an_engine_that_does_not_fit_or_answer_is_refused_before_a_folder_is_made(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sample", *TINY, *options]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_ray_that_does_not_start_is_one_message_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def never_starts(*_args: object, **_options: object) -> NoReturn:
        raise Exception("The current node timed out during startup.")  # as Ray says it

    monkeypatch.setattr(ray, "init", never_starts)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(FittingRoomError, match=r"it did not start on this machine \(The current node timed out"):
        list(run_jobs([Job("one", lambda _hooks: 1)], fr.RayEngine()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("imports_from_here", [False, True])
def test_workers_of_ray_import_from_the_current_directory_only_where_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports_from_here: bool
) -> None:
    """A stranger's torch.py may lie there; beside a script of one's own, or a notebook, lies one's own code."""
    ray = pytest.importorskip("ray")
    elsewhere = [folder for folder in sys.path if folder not in ("", str(tmp_path))]
    monkeypatch.setattr(sys, "path", ["", *elsewhere] if imports_from_here else elsewhere)
    looked_in: list[str] = []

    def init(*_args: object, job_config: Any = None, **_options: object) -> None:
        config = job_config or ray.job_config.JobConfig()
        config._py_driver_sys_path.extend([os.path.abspath(os.curdir)])  # noqa: PTH100  # as Ray does it
        looked_in.extend(config._get_proto_job_config().py_driver_sys_path)

    monkeypatch.setattr(ray, "init", init)
    with connected(fr.RayEngine()):
        assert looked_in == ([str(tmp_path)] if imports_from_here else [])


@pytest.mark.nightly
def test_seeds_on_ray_are_those_one_after_another_bit_for_bit_and_ray_says_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()

    command = [sys.executable, "-m", "fittingroom", "train", "sample", *TINY, "--epochs", "2", "--seeds", "2"]

    # Sockets below a long path are refused, and Ray makes some in the temporary folder.
    environment = os.environ | {"TMPDIR": str(temporary) if len(str(temporary)) < 40 else tempfile.gettempdir()}
    before = set(Path(environment["TMPDIR"]).glob("fittingroom-ray-*"))

    done = subprocess.run(
        [*command, "--engine", "ray", "--out", "ray"],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    # Nothing but our own lines, and nothing left behind.
    for line in done.stderr.splitlines():
        assert re.match(r"recipe     1,800 images|training   1,800 images|seed-[01]   epoch [12]/2   ", line), line
    assert set(Path(environment["TMPDIR"]).glob("fittingroom-ray-*")) == before

    assert main([*command[3:], "--threads", "1", "--out", "here", "--quiet"]) == 0
    for seed in range(2):
        for file in MEMBER_FILES:
            assert Path(f"ray/seed-{seed}/{file}").read_bytes() == Path(f"here/seed-{seed}/{file}").read_bytes(), file

    results = [fr.open_run(folder).result for folder in ("ray", "here")]
    assert [result["mean"] for result in results] == [results[1]["mean"]] * 2


# What follows starts Ray in this process, once.


@pytest.fixture(scope="module")
def ray() -> Iterator[fr.RayEngine]:
    engine = fr.RayEngine()
    with connected(engine):
        yield engine


def recipe(*overrides: str) -> fr.Recipe:
    return fr.load_recipe("plain", overrides=[LINEAR, "precision=float32", "stages.0.epochs=3", *overrides])


def killed_once(run: fr.Run, marker: Path, hooks: Hooks) -> None:
    """Train, but let the process be killed when the first checkpoint is there."""

    def watch(event: Event) -> None:
        hooks.observe(event)
        if isinstance(event, CheckpointSaved) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    finish(run, replace(hooks, observe=watch), trust_code=True)


@pytest.mark.nightly
def test_a_killed_worker_is_retried_and_goes_on_from_its_checkpoint(ray: fr.RayEngine, tmp_path: Path) -> None:
    options = fr.Options(threads=1)
    whole = fr.train("sample", recipe(), out="whole", options=options)
    run = start("sample", recipe(), out=tmp_path / "killed", options=options)

    seen: list[Event] = []
    job = Job("seed-0", partial(killed_once, fr.Run(run.path), tmp_path / "marker"))
    assert [each.name for each, _ in run_jobs([job], ray, hooks=Hooks(observe=seen.append))] == ["seed-0"]
    assert (tmp_path / "marker").exists()

    # Begun twice, the second time after the epoch whose checkpoint was there.
    starts = [e for e in read_metrics(run.path / "metrics.jsonl") if e["event"] == "start"]
    assert [start["steps_done"] for start in starts] == [0, starts[0]["steps_per_epoch"]]
    assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()

    epochs = [e.event.epoch for e in seen if isinstance(e, JobEvent) and isinstance(e.event, EpochDone)]
    assert epochs[-2:] == [1, 2]


def die(_hooks: Hooks) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.nightly
def test_a_worker_that_dies_again_and_again_ends_in_one_message(ray: fr.RayEngine) -> None:
    with pytest.raises(FittingRoomError, match=r"job-0: its Ray worker died 4 times"):
        list(run_jobs([Job("job-0", die)], ray))


def diverge(_hooks: Hooks) -> None:
    raise TrainingDiverged("the loss became nan")


def wait_for_a_stop(file: Path, hooks: Hooks) -> None:
    while not hooks.should_stop():
        pass
    file.write_text("saved", encoding="utf-8")
    raise Interrupted("stopped")


@pytest.mark.nightly
def test_when_a_job_fails_the_others_save_their_state_and_its_error_is_raised(ray: fr.RayEngine) -> None:
    jobs: list[Job[None]] = [Job("waits", partial(wait_for_a_stop, Path("state"))), Job("fails", diverge)]
    with pytest.raises(TrainingDiverged, match="the loss became nan"):
        list(run_jobs(jobs, ray))
    assert Path("state").read_text(encoding="utf-8") == "saved"


def warn(_hooks: Hooks) -> None:
    warnings.warn("the disk is nearly full", stacklevel=2)


@pytest.mark.nightly
def test_a_workers_warning_is_given_here(ray: fr.RayEngine) -> None:
    with pytest.warns(UserWarning, match="job-0: the disk is nearly full"):
        list(run_jobs([Job("job-0", warn)], ray))


@pytest.mark.nightly
def test_data_in_memory_goes_to_the_workers(ray: fr.RayEngine) -> None:
    sample = fr.open_dataset("sample")
    data = fr.Splits(sample.train.subset(np.arange(300)))
    seen: list[Event] = []
    run = fr.train(data, recipe(), seeds=[4, 7], out="ray", engine=ray, observe=seen.append)
    alone = fr.train(data, recipe(), seeds=[4, 7], out="here", options=fr.Options(threads=1))
    for one, other in zip(run.members, alone.members, strict=True):
        assert (one.path / "model.safetensors").read_bytes() == (other.path / "model.safetensors").read_bytes()
    assert {e.job for e in seen if isinstance(e, JobDone)} == {"seed-4", "seed-7"}


@pytest.mark.nightly
def test_ctrl_c_leaves_members_that_resume_to_the_same(tmp_path: Path) -> None:
    options = ["train", "sample", *TINY, "--epochs", "60", "--seeds", "3", "--threads", "1"]
    command = [sys.executable, "-m", "fittingroom", *options, "--engine", "ray", "--out", "stopped"]
    # A terminal sends Ctrl-C to the whole group of processes.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(r"seed-\d   epoch  2/", line):
                os.killpg(process.pid, signal.SIGINT)
                break
        printed = process.stderr.read()

    assert process.returncode == 130, printed
    resume = re.search(r"^  fittingroom (train --resume .*)$", printed, re.MULTILINE)
    assert resume, printed

    assert not Path("stopped/result.json").exists()
    assert sorted(Path("stopped").glob("seed-*/checkpoints/step-*"))

    assert main([*shlex.split(resume[1]), "--quiet"]) == 0
    assert main([*options, "--out", "whole", "--quiet"]) == 0
    for seed in range(3):
        files = [Path(f"{run}/seed-{seed}/model.safetensors") for run in ("stopped", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
