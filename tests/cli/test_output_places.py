"""No output takes the place of what is read or of a file of a run, and none is for a folder that isn't there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from tests.support import GOLDEN


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, data and a picture."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "format-1" / "swift-1", "run")
    sample = fr.open_dataset("sample").train
    np.savez("small.npz", x_train=sample.images[:20], y_train=np.arange(20) % 2)
    Path("test-looks.jsonl").touch()
    os.link("small.npz", "linked.npz")
    Path("weights.onnx").symlink_to("run/model.safetensors")
    Path("circle.html").symlink_to("circle.html")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "report run --out run/model.safetensors",
        "report run --out run/../run/config.json",
        "predict run small.npz --parquet small.npz",
        "predict run small.npz --parquet linked.npz",
        "predict run small.npz --html run/environment.json",
        "predict run small.npz --sheet run/predictions.parquet",
        "runs . --csv test-looks.jsonl",
        "data show small.npz --sheet small.npz",
        "evaluate run small.npz --csv run/result.json",
        "export run --out run/model.safetensors --force",
        "export run --out weights.onnx --force",
        "predict run small.npz --html weights.onnx",
    ],
)
def test_what_is_read_or_belongs_to_a_run_is_never_written_over(
    words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    assert main(words.split()) == 2
    assert "choose another name" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("words", ["predict run small.npz --html run/report.html", "runs . --csv run/notes.csv"])
def test_other_files_are_written_over_as_ever(words: str, place: Path) -> None:
    output = place / words.split()[-1]
    output.write_text("old")
    assert main(words.split()) == 0
    assert output.read_text() != "old"


@pytest.mark.parametrize(
    "words",
    [
        "predict run small.npz --html nowhere/a.html",
        "predict run small.npz --parquet nowhere/a.parquet",
        "evaluate run small.npz --csv nowhere/a.csv",
        "runs . --latex nowhere/a.tex",
        "data show small.npz --sheet nowhere/a.png",
        "data check small.npz --html nowhere/a.html",
        "compare run run --html nowhere/a.html",
    ],
)
def test_a_folder_that_is_not_there_is_said_before_the_work(
    words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert "there is no folder nowhere; make it first" in printed.err
    assert printed.out == ""


def test_a_link_that_leads_to_itself_gives_way(place: Path) -> None:
    assert main(["predict", "run", "small.npz", "--html", "circle.html"]) == 0
    assert "<html" in (place / "circle.html").read_text(encoding="utf-8")
