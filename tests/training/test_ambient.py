"""What a program has set for all of PyTorch, NumPy or Python changes no training in it, and ends none."""

import functools
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.models.ambient import as_first_set


@functools.cache
def few_images() -> fr.Splits:
    """300 of the sample, and 100 of its test images."""
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    return fr.Splits(sample.train[:300], test=sample.test[:100])


def one_epoch(out: str | Path) -> fr.Run:
    return fr.train(few_images(), "plain", epochs=1, threads=1, out=out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = one_epoch(tmp_path_factory.mktemp("alone") / "run")
    return (run.path / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "setting",
    [
        lambda: torch.set_grad_enabled(False),
        torch.inference_mode,
        lambda: torch.device("meta"),
        lambda: np.errstate(all="raise"),
    ],
    ids=["no gradients", "inference mode", "another device", "numpy raises"],
)
def test_settings_of_a_program_change_no_training(
    tmp_path: Path, alone: bytes, setting: Callable[[], AbstractContextManager[Any]]
) -> None:
    with setting():
        run = one_epoch(tmp_path / "run")
        test = run.evaluate()
    assert (run.path / "model.safetensors").read_bytes() == alone
    assert (run.path / "report.html").exists()
    assert test["n"] == 100


def test_another_default_type_changes_no_training_and_stays(tmp_path: Path, alone: bytes) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        run = one_epoch(tmp_path / "run")
        network = run.artifact.network()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert (run.path / "model.safetensors").read_bytes() == alone
    assert {each.dtype for each in network.state_dict().values() if each.is_floating_point()} == {torch.float32}


def test_what_was_set_is_set_again_whatever_happens() -> None:
    def fail() -> None:
        with as_first_set():
            assert torch.ones(1, requires_grad=True).requires_grad
            raise KeyError

    with torch.inference_mode():
        with pytest.raises(KeyError):
            fail()
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_program_without_streams_or_arguments_trains(tmp_path: Path) -> None:
    """As one that runs below a window has none, and an interpreter within another program."""
    code = (
        "import sys; sys.stdout = sys.stderr = None; del sys.argv\n"
        "import fittingroom as fr\n"
        "fr.train(fr.open_dataset('sample').train[:300], 'plain', epochs=1, threads=1, out='run')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=200)
    assert (tmp_path / "run" / "report.html").exists()
    assert fr.load(tmp_path / "run").artifact.classes


def test_a_tilde_in_out_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves --out=~/run as it is; a folder called ~ in its place is removed by rm -r ~ one day."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run = one_epoch("~/runs/first")
    assert run.path == tmp_path / "home" / "runs" / "first"
    assert not (tmp_path / "~").exists()


def test_a_tilde_in_a_studys_out_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home" / "taken").mkdir(parents=True)
    (tmp_path / "home" / "taken" / "mine").touch()
    with pytest.raises(fr.ArtifactError, match="home/taken: a new or empty folder expected"):
        fr.try_ideas("sample", ["label_smoothing=0.1"], "plain", out="~/taken")
    with pytest.raises(fr.ArtifactError, match="home/taken: a new or empty folder expected"):
        fr.tune_recipe("sample", "plain", "stages.0.lr = [0.001, 0.002]", out="~/taken")
    assert not (tmp_path / "~").exists()
