"""A run has one writer, and a folder whose writer was killed at any moment is no dead end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import ArtifactError
from fittingroom.events import TrainingStarted
from fittingroom.runs.ledger import record_evaluation
from fittingroom.runs.one_writer import BEGUN, one_writer
from tests.support import NARROW, PATIENCE
from tests.support.small_run import train_small

pytestmark = pytest.mark.usefixtures("own_folder")

TRAIN = ["train", "sample", "--recipe", "plain", "--epochs", "1", "--threads", "1", "--no-test", "--quiet"]
TRAIN += ["--set", NARROW]


def python(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *words],
        env=os.environ | {"PYTHONPATH": str(Path(fr.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*words: str) -> str:
    """What the command says of it; in this process, as nothing is begun."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(list(words)) == 2
    return said.getvalue()


KILLED_AT_A_RENAME = """
    import os, pathlib, signal, sys
    from fittingroom.cli import main
    left = int(sys.argv.pop(1))
    rename = pathlib.Path.replace
    def replace(self, target):
        global left
        left -= pathlib.Path(target).parent.name == "run"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)
    pathlib.Path.replace = replace
    sys.exit(main())
"""


@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_a_run_that_was_killed_before_its_first_file_was_whole_is_begun_again_by_the_same_command(number: int) -> None:
    killed = python(KILLED_AT_A_RENAME, str(number), *TRAIN, "--out", "run")
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    left = {path.name for path in Path("run").iterdir()}
    assert BEGUN in left
    assert "environment.json" not in left

    said = refused("train", "--resume", "run")
    assert "start it again by the same command, with this folder as --out" in said

    assert main([*TRAIN, "--out", "run"]) == 0
    assert Path("run", "result.json").exists()
    assert not [path.name for path in Path("run").iterdir() if path.name.startswith(".")]


STUDIES = {
    "tune": ["--space", "lr.toml", "--trials", "1", "--final-seeds", "0", "--recipe", "plain", "--set", NARROW],
    "try": ["--set", "label_smoothing=0.1", "--budget", "1s"],
}


@pytest.mark.parametrize("name", ["tune", pytest.param("try", marks=pytest.mark.nightly)])
def test_a_study_that_was_killed_before_its_first_file_was_whole_is_begun_again_by_the_same_command(name: str) -> None:
    Path("lr.toml").write_text("lr = [0.001, 0.002]\n")
    words = [name, "sample", *STUDIES[name], "--epochs", "1", "--threads", "1", "--quiet", "--out", "run"]
    killed = python(KILLED_AT_A_RENAME, "1", *words)
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    assert {BEGUN} <= {path.name for path in Path("run").iterdir()}
    assert not Path("run", "study.json").exists()

    said = refused(name, "--resume", "run")
    assert "start it again by the same command, with this folder as --out" in said

    assert main(words) == 0
    assert Path("run", "result.json").exists()
    assert not [path.name for path in Path("run").iterdir() if path.name in (BEGUN, "study.db-journal")]
    assert "there is a study already" in refused(*words)  # what is one is taken over by nobody


def test_a_study_that_another_process_begins_in_the_folder_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.runs.one_writer.PATIENCE", 0.3)
    Path("study").mkdir()
    holder = python(HOLDS, "study")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ArtifactError, match="study: another process is training this run now"):
        fr.try_ideas("sample", ["label_smoothing=0.1"], "plain", out="study")
    holder.kill()
    holder.communicate()


@pytest.mark.nightly
def test_of_two_trainings_of_one_name_that_begin_together_one_is_the_run() -> None:
    """Each waits for the other before it claims the folder."""
    both = [python(AT_A_BARRIER, str(seed), *TRAIN, "--seed", str(seed), "--out", "run") for seed in (1, 2)]
    ended = [(process, *process.communicate(timeout=PATIENCE)) for process in both]

    codes = [process.returncode for process, _, _ in ended]
    assert sorted(codes) == [0, 2], [messages for _, _, messages in ended]
    assert fr.open_run("run").recipe.seed == 1 + codes.index(0)
    assert fr.open_run("run").is_finished
    steps = [line for line in Path("run", "metrics.jsonl").read_text().splitlines() if '"step"' in line]
    assert len(steps) == len(set(steps))


def test_a_folder_that_leads_back_is_the_one_that_it_leads_to() -> None:
    Path("runs").mkdir()
    Path("runs", "other").mkdir()
    with pytest.raises(ArtifactError, match="runs: a new or empty folder expected"):
        fr.train("sample", "plain", out="runs/new/..")
    assert [path.name for path in Path("runs").iterdir()] == ["other"]


def test_a_folder_with_somebodys_files_is_never_taken_over() -> None:
    Path("mine").mkdir()
    Path("mine", "recipe.toml").write_text("mine")

    with pytest.raises(ArtifactError, match="a new or empty folder expected"):
        fr.train("sample", "plain", out="mine")
    assert Path("mine", "recipe.toml").read_text() == "mine"


AT_A_BARRIER = """
    import pathlib, sys, time
    from fittingroom.cli import main
    from fittingroom.runs import create
    mine = sys.argv.pop(1)
    claim = create.claimed_folder
    def claimed_folder(*words):
        pathlib.Path("ready-" + mine).touch()
        while len(list(pathlib.Path.cwd().glob("ready-*"))) < 2:
            time.sleep(0.01)
        return claim(*words)
    create.claimed_folder = claimed_folder
    sys.exit(main())
"""


HOLDS = """
    import sys, time
    from pathlib import Path
    from fittingroom.runs import one_writer
    one_writer.PATIENCE = 0.3
    with one_writer.one_writer(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_run_that_another_process_trains_is_refused_and_is_free_once_that_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fittingroom.runs.one_writer.PATIENCE", 0.3)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", NARROW])
    fr.train("sample", recipe, out="run", options=fr.Options(threads=1))
    Path("run", "result.json").unlink()
    Path("empty").mkdir()
    holders = [python(HOLDS, folder) for folder in ("run", "empty")]
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

    with pytest.raises(ArtifactError, match="run: another process is training this run now"):
        fr.resume("run")
    with pytest.raises(ArtifactError, match="empty: another process is training this run now"):
        fr.train("sample", recipe, out="empty")

    for holder in holders:
        holder.kill()
        holder.communicate()
    assert fr.resume("run").is_finished
    assert fr.train("sample", recipe, out="empty", options=fr.Options(threads=1)).is_finished


def test_a_writer_may_hold_its_folder_twice_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    with one_writer(tmp_path):
        with one_writer(tmp_path):
            pass
        other = python(HOLDS, str(tmp_path))
        _, messages = other.communicate(timeout=PATIENCE)
    assert "another process is training this run now" in messages
    assert not list(tmp_path.iterdir())


def test_what_a_run_was_begun_with_is_gone_where_it_was_killed_right_after_its_record() -> None:
    train_small(Path("run"))
    Path("run", "result.json").unlink()
    Path("run", BEGUN).touch()
    assert fr.resume("run").is_finished
    assert not Path("run", BEGUN).exists()


def test_of_two_evaluations_at_once_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is judged, and kept, while the first one is about to be."""
    run = train_small(Path("run"))
    others = [lambda: fr.Run(run.path).evaluate()]

    def record_after_the_other(*words: Any, **options: Any) -> dict[str, Any]:
        while others:
            others.pop()()
        return record_evaluation(*words, **options)

    monkeypatch.setattr("fittingroom.runs.run.record_evaluation", record_after_the_other)
    run.evaluate()

    assert len(run.result["test_looks"]) == 1
    assert sorted(path.name for path in Path("run", "evaluations").iterdir()) == ["1.json", "1.parquet"]


def test_an_evaluation_of_a_run_that_another_process_writes_is_given_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = train_small(Path("run"))
    monkeypatch.setattr("fittingroom.runs.one_writer.PATIENCE", 0.3)
    with held_by_another("run"):
        with pytest.warns(UserWarning, match="another process is training this run now: .*; this evaluation is not ke"):
            assert run.evaluate()["n"] == 1000
        assert run.result["test"] is None
    scores = run.evaluate()
    assert run.result["test"] == scores


def test_a_study_of_ideas_has_one_process_that_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.runs.one_writer.PATIENCE", 0.3)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1"])
    tried = fr.try_ideas("sample", ["label_smoothing=0.1"], recipe, budget=0, out="study")
    before = sorted(path.name for path in Path("study").iterdir())
    with (
        held_by_another("study"),
        pytest.raises(ArtifactError, match="study: another process is going on with this study now: wait until"),
    ):
        fr.resume_ideas("study", budget=600)
    assert sorted(path.name for path in Path("study").iterdir()) == before
    assert fr.resume_ideas("study").verdicts == tried.verdicts


@contextmanager
def held_by_another(folder: str) -> Iterator[None]:
    holder = python(HOLDS, folder)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever started the tests by nohup had interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_from_python_leaves_a_checkpoint_to_go_on_from() -> None:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=200"])
    started = threading.Event()

    def interrupt() -> None:
        started.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    def observe(event: object) -> None:
        if isinstance(event, TrainingStarted):  # before the first step, when no epoch has left a checkpoint
            started.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="the state is saved"):
        fr.train("sample", recipe, out="long", options=fr.Options(threads=1), observe=observe)
    thread.join()

    assert list(Path("long", "checkpoints").iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("key", ["model_args.widths=[0]", "model_args.nonsense=1", "size=[3, 3]"])
def test_a_network_that_cant_be_built_leaves_no_folder_behind(key: str, tmp_path: Path) -> None:
    recipe = fr.load_recipe("plain", overrides=[key])
    with pytest.raises(fr.RecipeError):
        fr.train("sample", recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
