"""Whatever stops work amid it, one message has the line that goes on with it: with the study, not with a part of it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import ArtifactError, StorageFailed
from fittingroom.events import JobEvent, StepDone
from fittingroom.files import polars_check
from fittingroom.runs.going_on import going_on_by
from fittingroom.tune import Plan

QUICK = ["model='tutorial'", "stages.0.epochs=1", "precision=float32", "min_steps=0", "batch_size=64"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set in the current directory."""
    monkeypatch.chdir(tmp_path)
    sample = fr.open_dataset("sample").train
    np.savez("small.npz", x_train=sample.images[:60], y_train=np.arange(60) % 2)
    return "small.npz"


def search(data: str, observe: Callable[[Any], None]) -> None:
    recipe = fr.load_recipe("plain", overrides=QUICK)
    fr.tune_recipe(data, recipe, "lr = [0.01, 0.02]", plan=Plan(trials=1), final_seeds=2, out="study", observe=observe)


def attempt(data: str, observe: Callable[[Any], None]) -> None:
    recipe = fr.load_recipe("plain", overrides=QUICK)
    fr.try_ideas(data, ["stages.0.lr=1e-9"], recipe, out="study", observe=observe, budget=0.01)


@pytest.mark.parametrize(
    ("begin", "places", "resumed", "what"),
    [
        (search, ["trial-0000"], "tune --resume study --final-seeds 2", "search"),
        (search, ["final-0000-2/seed-1"], "tune --resume study --final-seeds 2", "search"),
        (attempt, ["baseline/seed-0", "baseline/seed-0/folds/fold-0"], "try --resume study", "study"),
    ],
)
def test_a_study_whose_training_cant_be_saved_says_how_to_go_on_with_the_study(
    small: str, begin: Callable[..., None], places: list[str], resumed: str, what: str
) -> None:
    """Here a file has come into the place of a folder for checkpoints."""
    in_the_way = [Path("study", place, "checkpoints") for place in places]

    def observe(event: object) -> None:
        if isinstance(event, JobEvent):
            for file in in_the_way:
                if file.parent.is_dir() and not file.exists():
                    file.touch()

    with pytest.raises(StorageFailed) as stop:
        begin(small, observe)
    said = str(stop.value)
    assert said.startswith(f"study: the {what} stopped, as ")
    assert said.endswith(
        f" can't be used: {said.split(': ')[2].split('.')[0]}. What was saved before is kept. Go on, "
        f"once it can be, by\n  fittingroom {resumed}"
    )
    assert "train --resume" not in said

    for file in in_the_way:
        file.unlink(missing_ok=True)
    assert main([*resumed.split(), "--quiet"]) == 0
    assert Path("study/report.html").exists()


@pytest.mark.parametrize(("begin", "command"), [(search, "tune"), (attempt, "try")])
def test_a_study_whose_folder_is_removed_is_named_whole(small: str, begin: Callable[..., None], command: str) -> None:
    def observe(event: object) -> None:
        if isinstance(event, JobEvent):
            shutil.rmtree("study", ignore_errors=True)

    with pytest.raises(ArtifactError) as stop:
        begin(small, observe)
    assert str(stop.value).startswith("study: the s")
    assert f"`fittingroom {command} --resume` and its new name" in str(stop.value)


def test_a_second_interrupt_says_how_to_go_on(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    def observe(event: object) -> None:
        if isinstance(event, StepDone):
            raise KeyboardInterrupt  # as by a second Ctrl-C amid a step

    with pytest.raises(KeyboardInterrupt, match=r"interrupted at once. .* Go on by\n  fittingroom train --resume run"):
        fr.train(small, fr.load_recipe("plain", overrides=QUICK), out="run", observe=observe)
    assert main(["train", "--resume", "run", "--quiet"]) == 0


def test_the_outer_work_has_the_word(tmp_path: Path) -> None:
    """Of a training within a study, the study is what its user began."""
    (tmp_path / "inner").mkdir()
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), MemoryError("none"), KeyboardInterrupt()):
        with (
            pytest.raises((StorageFailed, MemoryError, KeyboardInterrupt)) as stop,
            going_on_by(tmp_path, "search", lambda: "the outer command", name="tune"),
            going_on_by(tmp_path / "inner", "training", lambda: "the inner command"),
        ):
            raise error
        assert "the outer command" in str(stop.value)
        assert "the inner command" not in str(stop.value)


def test_few_open_files_are_told_amid_work_and_before_polars_panics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook may leak some by and by: what was enough at the beginning isn't for ever."""
    polars_check.check_polars()
    monkeypatch.setattr(polars_check, "_files_to_open", lambda _count: 1)
    with (
        pytest.raises(StorageFailed, match=r"opened: Too many open files\. .* Raise the limit .*, then go on by"),
        going_on_by(tmp_path, "training", lambda: "the command"),
    ):
        polars_check.check_polars()
