"""A run goes on, and is judged, from whichever directory, though its data was given as a relative path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fr.Run:
    """Of data given relative to where it was started; nothing of its end is there. The caller is elsewhere by now."""
    _write_data(tmp_path / "home" / "data" / "mine.npz", seed=0)
    monkeypatch.chdir(tmp_path / "home")
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])
    run = fr.train("data/mine.npz", recipe, out=tmp_path / "run")
    for name in ("result.json", "config.json", "model.safetensors"):
        (run.path / name).unlink()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return fr.Run(run.path)


def test_resume_and_evaluate_find_relative_data_from_any_directory(run: fr.Run) -> None:
    assert fr.resume(run.path).is_finished
    assert fr.open_run(run.path).evaluate()["n"] == 40


def test_the_data_it_was_started_with_goes_before_a_namesake_here(run: fr.Run) -> None:
    _write_data(Path("data/mine.npz"), seed=1)
    assert fr.resume(run.path).is_finished


def test_data_that_is_gone_is_asked_for_by_the_directory_it_is_relative_to(run: fr.Run, tmp_path: Path) -> None:
    (tmp_path / "home" / "data" / "mine.npz").unlink()
    with pytest.raises(fr.DataError, match=f"data is data/mine.npz, relative to {tmp_path / 'home'}: give the command"):
        fr.resume(run.path)


def test_a_run_moved_to_another_machine_takes_the_data_from_here(run: fr.Run, tmp_path: Path) -> None:
    (tmp_path / "home").rename(tmp_path / "another")
    with pytest.raises(fr.DataError, match="relative to"):
        fr.resume(run.path)
    _write_data(Path("data/mine.npz"), seed=0)
    assert fr.resume(run.path).is_finished


def test_of_a_run_that_did_not_record_its_directory_the_message_says_what_is_missing(run: fr.Run) -> None:
    file = run.path / "environment.json"
    record = json.loads(file.read_text())
    del record["directory"]
    file.write_text(json.dumps(record))
    with pytest.raises(fr.DataError, match="relative to the directory where it was started: give the command there"):
        fr.resume(run.path)


def _write_data(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (240, 28, 28), dtype=np.uint8)
    labels = np.arange(240) % 2
    np.savez(path, x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
