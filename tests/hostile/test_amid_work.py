"""What the system refuses amid work is told as that: neither as damage nor as a fault of the network."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import nn

import fittingroom as fr
from fittingroom.artifact import export, onnx_model
from fittingroom.cli import main, train_summary
from fittingroom.data.formats import npz
from fittingroom.errors import DataError
from fittingroom.models import check_output
from fittingroom.pipeline import extras
from tests.support.small_run import train_anew, train_small

NO_MEMORY = "could not create a primitive"  # PyTorch's own words


class Hungry(nn.Module):
    """A network for which there is no memory."""

    def forward(self, _images: torch.Tensor) -> NoReturn:
        """Fail as a convolution does where memory is short."""
        raise RuntimeError(NO_MEMORY)


def no_memory(*_args: object, **_options: object) -> NoReturn:
    raise MemoryError


def test_a_file_for_which_there_is_no_memory_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = fr.open_dataset("sample").train
    np.savez(tmp_path / "data.npz", x_train=sample.images[:9], y_train=np.arange(9) % 2)
    monkeypatch.setattr(npz, "read_array", no_memory)
    with pytest.raises(DataError, match="don't fit into memory"):
        fr.open_dataset(tmp_path / "data.npz", cache=False)


def test_a_network_for_which_there_is_no_memory_is_not_called_wrong() -> None:
    with pytest.raises(RuntimeError, match=NO_MEMORY):
        check_output(Hungry(), "tutorial", 10, (28, 28))


def test_a_model_for_which_there_is_no_memory_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_small(tmp_path / "run")

    def refuse(_content: bytes) -> NoReturn:
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(onnx_model, "refuse_unsafe_graph", refuse)
    with pytest.raises(MemoryError, match="std::bad_alloc"):
        onnx_model.OnnxModel(run.path / "model.onnx")


def test_an_export_that_the_system_refuses_is_made_up_for_by_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, or no memory: the network is no worse for it."""

    def refused(*_args: object, **_options: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(export, "_by_torchscript", refused)
        with pytest.warns(UserWarning, match=r"complete but for model.onnx \(Too many"):
            run = train_anew(tmp_path / "run")
    assert run.result["unmade"] == {"model.onnx": "Too many open files"}
    assert not (run.path / "model.onnx").exists()

    extras.make_up(run)
    assert (run.path / "model.onnx").exists()
    assert "unmade" not in run.result


def test_a_summary_that_cant_be_had_takes_no_finished_training_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_small(tmp_path / "run")
    monkeypatch.setattr(train_summary, "_diagnosis", no_memory)

    assert main(["train", "--resume", str(run.path), "--quiet"]) == 0
    told = capsys.readouterr()
    assert f"{run.path}: the run is complete, and the rest of this summary can't be had: no memory was left" in told.err
    assert told.out.rstrip().endswith(f"run         {run.path}/")
    assert "accuracy" in told.out


def test_a_directory_that_is_removed_amid_work_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    before = zipfile.ZipFile.__init__

    def removed(self: zipfile.ZipFile, *args: Any, **options: Any) -> None:
        before(self, *args, **options)
        if gone.exists():
            gone.rmdir()

    np.savez(tmp_path / "data.npz", x_train=np.zeros((9, 8, 8), np.uint8), y_train=np.arange(9) % 2)
    monkeypatch.setattr(zipfile.ZipFile, "__init__", removed)
    assert main(["train", str(tmp_path / "data.npz"), "--no-cache", "--epochs", "1", "--out", "run"]) == 2
    assert "the current directory is gone" in capsys.readouterr().err
