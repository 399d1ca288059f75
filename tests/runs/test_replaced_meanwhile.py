"""A run whose folder another one takes while it is read: no figure of the one stands beside one of the other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import safetensors.numpy

from fittingroom.cli import main
from fittingroom.errors import ArtifactError
from fittingroom.files import run_file
from fittingroom.files.one_state import in_one_state
from fittingroom.files.regular_file import open_regular_file
from tests.support.small_run import train_small

# Each is told that another run takes the folder as this file of it is opened.
COMMANDS = {
    "compare": ("environment.json", ["compare", "runs/one", "runs/other", "--split", "validation"]),
    "report": ("recipe.toml", ["report", "runs/one", "--out", "written.html"]),
    "evaluate": ("model.safetensors", ["evaluate", "runs/one"]),
    "export": ("recipe.toml", ["export", "runs/one", "--out", "written.onnx"]),
    "export, calibration": ("model.safetensors", ["export", "runs/one", "--out", "written.onnx"]),
    "export page": ("result.json", ["export", "runs/one", "--format", "page", "--out", "written.html"]),
    "runs": ("result.json", ["runs", "runs"]),
}
TOLD = "replaced or written anew while it was"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, and a third that may take the place of one."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/one", "runs/other", "third"):
        train_small(Path(name))
    weights = safetensors.numpy.load_file("third/model.safetensors")
    safetensors.numpy.save_file(
        {name: np.asarray(values + 1) for name, values in weights.items()}, "third/model.safetensors"
    )
    return tmp_path


def replaced_at(monkeypatch: pytest.MonkeyPatch, file: str) -> Callable[[], bool]:
    """Have another run take the folder just before ``file`` is opened; tells whether it has."""
    before = open_regular_file

    def opened(path: Path, limit: int) -> AbstractContextManager[BufferedReader]:
        if path.absolute() == Path("runs/one", file).absolute() and Path("third").exists():
            shutil.rmtree("runs/one")
            Path("third").rename("runs/one")
        return before(path, limit)

    monkeypatch.setattr(run_file, "open_regular_file", opened)
    return lambda: not Path("third").exists()


@pytest.mark.parametrize(("file", "words"), COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.usefixtures("runs")
def test_nothing_is_said_of_two_runs_as_one(
    file: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    was_replaced = replaced_at(monkeypatch, file)
    code = main(words)

    told = capsys.readouterr()
    assert was_replaced(), told.err
    assert TOLD in told.err
    assert code == (0 if words[0] == "runs" else 2)
    assert not re.search("^one", told.out, re.MULTILINE)
    assert not list(Path().glob("written*"))


def test_a_run_that_stays_is_read_and_what_is_wrong_with_it_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("", encoding="utf-8")
    with pytest.raises(KeyError), in_one_state(tmp_path):
        raise KeyError

    def remove_and_fail() -> NoReturn:
        (tmp_path / "recipe.toml").unlink()
        raise KeyError

    with pytest.raises(ArtifactError, match="removed, replaced"), in_one_state(tmp_path):
        remove_and_fail()
