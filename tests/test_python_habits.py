"""What people hand to the package from Python: numbers out of arrays, other types than expected, pickles."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.artifact.browser_model import _half
from tests.support.small_run import train_small

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 2


@pytest.fixture(scope="module")
def data() -> fr.Dataset:
    return fr.Dataset.from_arrays(IMAGES, LABELS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("habits") / "run")


def test_numbers_out_of_arrays_and_a_device_of_torch_are_taken(data: fr.Dataset, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "epochs": np.int64(1),
        "lr": np.float32(0.01),
        "seed": np.arange(4)[3],
        "device": torch.device("cpu"),
        "threads": np.int64(1),
    }
    run = fr.train(data, "plain", progress=False, out=tmp_path / "run", **given)
    assert (run.recipe.epochs, run.recipe.seed, run.environment.options.device) == (1, 3, "cpu")
    assert run.recipe.stages[0].lr == pytest.approx(0.01)


@pytest.mark.parametrize(
    "given", [(IMAGES, LABELS), IMAGES, None, 3, ["a.png"]], ids=lambda given: type(given).__name__
)
def test_what_is_no_data_set_is_told_how_it_becomes_one(given: Any, tmp_path: Path) -> None:
    for open_it in (fr.open_dataset, lambda given: fr.train(given, "plain", epochs=1, out=tmp_path / "no")):
        with pytest.raises(
            fr.DataError, match=r"or a path expected, \w+ found: .*Dataset\.from_arrays\(images, labels\)"
        ):
            open_it(given)


def test_a_path_in_place_of_a_dataset_is_told_how_it_is_opened(run: fr.Run) -> None:
    with pytest.raises(
        fr.DataError, match=r"a fittingroom\.Dataset expected, str found: fittingroom\.open_dataset\(path, prep"
    ):
        run.evaluate("sample")  # type: ignore[arg-type]


def test_names_of_classes_may_be_given_by_their_numbers() -> None:
    assert fr.Dataset.from_arrays(IMAGES, LABELS, {1: "dog", 0: "cat"}).classes == ("cat", "dog")  # type: ignore[arg-type]
    with pytest.raises(fr.DataError, match=r"names of the classes 0, 1, 2, … expected, \[1, 2\] found"):
        fr.Dataset.from_arrays(IMAGES, LABELS, {1: "cat", 2: "dog"})  # type: ignore[arg-type]


def test_missing_pixels_are_counted_and_never_a_range_of_nan() -> None:
    pixels = IMAGES.astype(float)
    pixels[3, 2, :2] = np.nan
    with pytest.raises(fr.DataError, match=r"2 NaN found, first in image 3: leave such images out"):
        fr.Dataset.from_arrays(pixels, LABELS)


def test_an_opened_model_may_be_pickled_and_shows_itself_in_a_line(
    run: fr.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.path.parent)
    model = fr.load("run")
    assert repr(model) == "Classifier('run': 10 classes, 28×28 in grey)"
    pickled = pickle.dumps(model)
    monkeypatch.chdir("/")
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    assert (pickle.loads(pickled).predict_proba(images) == model.predict_proba(images)).all()


def test_an_empty_name_is_not_this_folder(run: fr.Run) -> None:
    with pytest.raises(fr.DataError, match="the name of a known data set expected, an empty name found"):
        fr.load(run).predict("")


def test_weights_too_large_for_half_precision_stay_whole_in_a_page() -> None:
    """Of a training at a rate of 1,000, say: its report is written without a warning, and its page has its numbers."""
    small, large = np.array([[1.5, -2]], np.float32), np.array([[1.5, 1e6]], np.float32)
    assert set(_half(small)) == {"shape", "f2"}
    whole = _half(large)
    assert np.frombuffer(base64.b64decode(whole["f4"]), "<f4").tolist() == [1.5, 1e6]
