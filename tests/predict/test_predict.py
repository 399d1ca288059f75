"""A model is opened and used without torch; files that don't belong together are refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.training.inference import predict_dataset
from tests.support.small_run import train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture(scope="module")
def test_set() -> fr.Dataset:
    test = fr.open_dataset("sample").test
    assert test is not None
    return test


def test_the_answers_are_those_of_the_network(run: fr.Run, test_set: fr.Dataset) -> None:
    model = fr.load(run.path)
    uncalibrated = predict_dataset(run.artifact.network(), test_set, run.artifact.normalization).probabilities
    expected = run.artifact.temperature.applied(uncalibrated)

    np.testing.assert_allclose(model.predict_proba(test_set.images), expected, atol=1e-5)
    assert (model.predict(test_set.images) == expected.argmax(axis=1)).all()
    assert model.classes == test_set.classes


def test_predicting_does_not_import_torch(run: fr.Run) -> None:
    code = """
import sys
import numpy as np
import fittingroom as fr

fr.load(sys.argv[1]).predict(np.zeros((3, 28, 28), np.uint8))
print([name for name in ("torch", "polars", "rich", "scipy", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_model_onnx_the_network_itself_answers(run: fr.Run, test_set: fr.Dataset, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / "model.onnx").unlink()

    images = test_set.images[:50]
    bare, whole = fr.load(tmp_path / "run").classify(images), fr.load(run.path).classify(images)
    np.testing.assert_allclose(bare.probabilities, whole.probabilities, atol=1e-5)
    assert bare.doubt is None
    assert bare.unfamiliar is None


@pytest.mark.parametrize("onnx", [True, False])
def test_one_image_and_none_are_predicted_too(run: fr.Run, tmp_path: Path, onnx: bool) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    if not onnx:
        (tmp_path / "run" / "model.onnx").unlink()

    model = fr.load(tmp_path / "run")
    assert model.predict(np.zeros((28, 28), np.uint8)).shape == (1,)
    assert model.predict_proba(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)


def test_a_run_without_validation_images_has_no_out_of_distribution_score(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", "validation=0")
    assert fr.load(run.path).classify(np.zeros((28, 28), np.uint8)).doubt is None


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 28, 28), -0.5, np.float32),
        np.zeros((2, 28, 27), np.uint8),
        np.zeros((2, 4, 28, 28), np.uint8),
        np.zeros(784, np.uint8),
    ],
    ids=["float", "size", "channels", "flat"],
)
def test_images_of_another_kind_are_refused_with_what_was_expected(run: fr.Run, images: np.ndarray) -> None:
    with pytest.raises(fr.DataError, match=r"uint8 \(N, 28, 28\) expected, as the model was trained on, (uint8|float)"):
        fr.load(run.path).predict(images)


def test_a_model_onnx_of_other_weights_is_refused(run: fr.Run, tmp_path: Path) -> None:
    other = train_small(tmp_path / "other", "seed=1")
    shutil.copy(run.path / "model.onnx", other.path)

    with pytest.raises(
        fr.ArtifactError, match=r"safetensors beside it expected, another one found; `fittingroom export"
    ):
        fr.load(other.path)

    assert main(["export", str(other.path)]) == 0
    fr.load(other.path)


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "text", "cut"])
def test_a_damaged_model_onnx_is_named(run: fr.Run, tmp_path: Path, content: bytes | None) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-5_000] if content is None else content)

    with pytest.raises(fr.ArtifactError, match=r"model.onnx: a model written by `fittingroom export` expected"):
        fr.load(tmp_path / "run")


def test_a_model_that_fittingroom_did_not_export_is_refused(run: fr.Run, tmp_path: Path) -> None:
    import onnx

    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / "model.onnx"
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, file)

    with pytest.raises(fr.ArtifactError, match="a model written by `fittingroom export` expected"):
        fr.load(tmp_path / "run")
