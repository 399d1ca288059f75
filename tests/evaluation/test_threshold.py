"""The threshold of two classes: where it lies, that it is honest, and that every way to an answer goes by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fittingroom as fr
from fittingroom.artifact.artifact import open_artifact
from fittingroom.artifact.onnx_model import MODEL, OnnxModel
from fittingroom.cli import main
from fittingroom.data.dataset import Dataset
from fittingroom.errors import ArtifactError, RecipeError
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.evaluation.threshold import Threshold, cross_fitted_answers

SHORT = [
    *("model=tutorial", "batch_size=32", "min_steps=0", "ema=0.0", "stages.0.epochs=3", "precision=float32"),
    *("validation=100", "threshold=balanced_accuracy"),
]


def two(of_one: list[float]) -> NDArray[np.float32]:
    found = np.array(of_one, dtype=np.float32)
    return np.stack([1 - found, found], axis=1)


def balanced(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([(predicted[truth == label] == label).mean() for label in (0, 1)]))


def lopsided_scores(n: int, seed: int, share: float = 0.05) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    truth = (random.random(n) < share).astype(np.int64)
    score = random.normal(size=n) + np.where(truth == 1, 1, -1) + np.log(share / (1 - share)) / 2
    return two((1 / (1 + np.exp(-2 * score))).tolist()), truth


def tops_and_few_shirts(images: int, rare: int, *, train: bool) -> Dataset:
    """T-shirts, and few shirts: classes that are taken for each other."""
    splits = fr.open_dataset("sample")
    data = splits.train if train else splits.test
    assert data is not None
    assert data.labels is not None
    often, seldom = (np.flatnonzero(data.labels == data.classes.index(name)) for name in ("T-shirt/top", "Shirt"))
    rows = np.concatenate([often[: images - rare], seldom[:rare]])
    labels = np.repeat([0, 1], [len(rows) - rare, rare])
    return Dataset(data.images[rows], labels, ("T-shirt/top", "Shirt"), "tops and few shirts")


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_lies_where_balanced_accuracy_is_largest_of_all_places() -> None:
    for seed in range(20):
        probabilities, truth = lopsided_scores(300, seed, share=0.1)
        chosen = Threshold.fitted(probabilities, truth)
        assert chosen is not None
        assert chosen.n == 300
        places = np.r_[0, np.unique(probabilities[:, chosen.label])]
        best = max(balanced((probabilities[:, 1] >= place).astype(np.int64), truth) for place in places)
        assert balanced(chosen.applied(probabilities), truth) == pytest.approx(best)


def test_it_is_of_the_rarer_class_and_between_what_it_parts() -> None:
    probabilities = two([0.05] * 30 + [0.2] * 10)
    truth = np.repeat([0, 1], [30, 10])
    chosen = Threshold.fitted(probabilities, truth)
    assert chosen is not None
    assert chosen.label == 1
    assert chosen.value == pytest.approx(0.125)

    turned = Threshold.fitted(probabilities[:, ::-1], 1 - truth)
    assert turned is not None
    assert turned.label == 0
    np.testing.assert_array_equal(turned.applied(probabilities[:, ::-1]), 1 - truth)


def test_of_fewer_than_ten_images_of_a_class_none_is_chosen() -> None:
    probabilities, truth = two([0.1] * 90 + [0.9] * 9), np.repeat([0, 1], [90, 9])
    assert Threshold.fitted(probabilities, truth) is None
    assert cross_fitted_answers(probabilities, truth) is None


def test_equal_probabilities_are_never_parted() -> None:
    probabilities, truth = two([0.3] * 60), np.repeat([0, 1], [40, 20])
    chosen = Threshold.fitted(probabilities, truth)
    assert chosen is not None
    assert len(set(chosen.applied(probabilities).tolist())) == 1


def test_answers_of_validation_images_say_no_more_than_those_of_others() -> None:
    """By simulation: chosen and judged on the same 200 images it looks better than it is; cross-fitted it doesn't."""
    naive, honest, true = [], [], []
    fresh, fresh_truth = lopsided_scores(50_000, 999)
    for seed in range(150):
        probabilities, truth = lopsided_scores(400, seed)
        chosen, answers = Threshold.fitted(probabilities, truth), cross_fitted_answers(probabilities, truth)
        if chosen is None or answers is None:
            continue
        naive.append(balanced(chosen.applied(probabilities), truth))
        honest.append(balanced(answers, truth))
        true.append(balanced(chosen.applied(fresh), fresh_truth))
    assert np.mean(naive) > np.mean(true) + 0.01
    assert np.mean(honest) < np.mean(true) + 0.005


# ── every way to an answer ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=SHORT)
    data = fr.Splits(tops_and_few_shirts(240, 60, train=True), test=tops_and_few_shirts(110, 20, train=False))
    return fr.train(data, recipe, out=tmp_path_factory.mktemp("runs") / "few", look_at_test=True)


def test_the_artifact_keeps_it_and_model_onnx_answers_by_it(run: fr.Run) -> None:
    threshold = open_artifact(run.path).threshold
    assert threshold is not None
    assert threshold.label == 1
    model = OnnxModel(run.path / MODEL)
    assert model.metadata.threshold == threshold
    test = run.open_data().test
    assert test is not None
    said = model.answer(test.images)
    np.testing.assert_array_equal(said.predicted, threshold.applied(said.probabilities))
    assert (said.predicted != said.probabilities.argmax(1)).any(), "the threshold changes no answer here"


def test_evaluation_files_and_predict_say_the_same(
    run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = run.open_data().test
    assert test is not None
    kept = read_predictions(run.predictions_file("test"), run.artifact.classes)
    threshold = run.artifact.threshold
    assert threshold is not None
    np.testing.assert_array_equal(kept.predicted, threshold.applied(kept.probabilities))
    assert run.result["test"]["correct"] == int(kept.is_right.sum())

    predicted = fr.load(run.path).predict(test.images)
    assert (predicted == kept.predicted).mean() > 0.98  # rounding near the threshold

    row = int(np.flatnonzero(kept.predicted != kept.probabilities.argmax(1))[0])
    Image.fromarray(test.images[row]).save(tmp_path / "a.png")
    assert main(["predict", str(run.path), str(tmp_path / "a.png"), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["label"] == kept.predicted[row]
    assert answer["top"][0][0] == answer["class"] == kept.classes[kept.predicted[row]]
    assert answer["probability"] < 0.5

    assert main(["predict", str(run.path), str(tmp_path / "a.png")]) == 0
    assert "Shirt is predicted from probability" in capsys.readouterr().err


def test_validation_scores_are_those_of_cross_fitted_thresholds(run: fr.Run) -> None:
    kept = read_predictions(run.predictions_file("validation"), run.artifact.classes)
    assert run.result["validation"]["correct"] == int(kept.is_right.sum())
    assert run.result["validation"]["balanced_accuracy"]["n"] == len(kept)
    (verified,) = fr.verify(run.path, data=run.splits)
    assert verified.exit_code == 0, verified.sentences


def test_another_threshold_in_the_folder_than_in_the_model_is_refused(run: fr.Run, tmp_path: Path) -> None:
    config = json.loads((run.path / "config.json").read_text())
    config["threshold"]["value"] = 0.5
    for name in ("model.safetensors", MODEL):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="another one found"):
        fr.load(tmp_path)


def test_of_ten_classes_a_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"threshold: two classes expected, .* has 10"):
        fr.train("sample", fr.load_recipe("plain", overrides=SHORT), out=tmp_path / "ten")


def test_the_estimator_goes_by_it() -> None:
    from fittingroom import FittingRoomClassifier

    train = tops_and_few_shirts(240, 60, train=True)
    assert train.labels is not None
    estimator = FittingRoomClassifier("plain", overrides=SHORT).fit(train.images, train.labels)
    assert estimator.threshold_ is not None
    probabilities = estimator.predict_proba(train.images)
    np.testing.assert_array_equal(estimator.predict(train.images), estimator.threshold_.applied(probabilities))
