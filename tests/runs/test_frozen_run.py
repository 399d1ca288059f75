"""A run that an older version wrote is opened, judged, resumed and listed by this one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.runs.test_ledger import read_looks
from fittingroom.training.checkpoint import load_newest_checkpoint
from tests.support import GOLDEN


FROZEN = GOLDEN / "format-1"


@pytest.fixture
def run(tmp_path: Path) -> fr.Run:
    """A copy: judging writes."""
    shutil.copytree(FROZEN, tmp_path / "runs")
    return fr.open_run(tmp_path / "runs" / "swift-1")


def test_it_is_judged_as_it_was(run: fr.Run) -> None:
    before = run.result
    scores = run.evaluate()
    assert scores["correct"] == before["test"]["correct"]
    assert scores["loss"] == pytest.approx(before["test"]["loss"], rel=1e-5)
    assert run.result == before
    assert len(read_looks(run.path.parent, before["test_looks"][0]["fingerprint"])) == 2


def test_its_exported_model_gives_the_same_answers(run: fr.Run) -> None:
    test = fr.open_dataset("sample").test
    assert test is not None
    predicted = fr.load(run.path).predict(test.images)
    assert (predicted == test.labels).sum() == run.result["test"]["correct"]


def test_it_needs_no_more_training(run: fr.Run) -> None:
    weights = (run.path / "model.safetensors").read_bytes()
    assert fr.resume(run.path).result == run.result
    assert (run.path / "model.safetensors").read_bytes() == weights


def test_its_checkpoint_is_read(run: fr.Run) -> None:
    newest = load_newest_checkpoint(run.path / "checkpoints")
    assert newest is not None
    assert newest[1]["progress"]["epoch"] == 4
    assert newest[1]["recipe"] == run.recipe.as_dict()


def test_it_is_listed_and_reported(run: fr.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(run.path.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["test"]) == ("swift-1", run.result["test"]["accuracy"])
    assert main(["report", str(run.path)]) == 0
    assert (run.path / "report.html").exists()


@pytest.mark.parametrize("name", ["config.json", "environment.json", "result.json"])
def test_a_newer_format_is_refused_by_name(run: fr.Run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.path / name
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"format": 2}), encoding="utf-8")
    assert main(["evaluate", str(run.path)]) == 2
    assert f"{name}: format 1 expected" in capsys.readouterr().err
