import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as reference

from fittingroom.evaluation.intervals import model_interval
from fittingroom.evaluation.metrics import confusion_matrix, mean_interval, score

NAMES = ("a", "b", "c", "d")


def predictions(n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities (n, 4) that are right more often than not, and labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n)
    logits = random.normal(size=(n, 4)) + 1.5 * np.eye(4)[labels]
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("values", [[0.91, 0.92], [0.9, 0.91, 0.93, 0.92, 0.9], [1, 2, 3]])
def test_mean_interval_is_scipys(values: list[float]) -> None:
    mean, sd, interval = mean_interval(values)
    assert mean == pytest.approx(np.mean(values))
    assert sd == pytest.approx(stats.tstd(values))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval == pytest.approx((expected.low, expected.high))


def test_a_single_value_has_no_interval() -> None:
    assert mean_interval([0.9]) == (0.9, 0.0, None)


def test_equal_values_are_no_certainty() -> None:
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.0, None)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_scores_are_scikit_learns(n: int) -> None:
    probabilities, labels = predictions(n)
    predicted = probabilities.argmax(axis=1)
    found = score(probabilities, labels, NAMES)

    assert found["n"] == n
    assert found["correct"] == (predicted == labels).sum()
    assert found["accuracy"] == found["correct"] / n
    assert found["interval"] == list(model_interval(found["correct"], n))
    assert found["loss"] == pytest.approx(-np.log(probabilities[np.arange(n), labels].astype(float)).mean())

    every = range(4)
    assert found["top2"] == pytest.approx(reference.top_k_accuracy_score(labels, probabilities, k=2, labels=every))
    assert found["confusion"] == reference.confusion_matrix(labels, predicted, labels=every).tolist()

    expected = reference.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=np.nan)
    rows = found["per_class"]
    assert [row["class"] for row in rows] == list(NAMES)
    for key, values in zip(("precision", "recall", "f1", "n"), expected, strict=True):
        for row, value in zip(rows, values, strict=True):
            assert row[key] is None if math.isnan(value) else row[key] == pytest.approx(value)


def test_loss_is_scikit_learns() -> None:
    probabilities, labels = predictions(500)
    doubles = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    assert score(probabilities, labels, NAMES)["loss"] == pytest.approx(
        reference.log_loss(labels, doubles, labels=range(4)), rel=1e-6
    )


def test_every_example_counts_in_the_loss_to_its_last_digit() -> None:
    random = np.random.default_rng(1)
    truth = random.uniform(0.01, 1, 9_999).astype(np.float32)
    probabilities = np.stack([truth, 1 - truth], axis=1)
    found = score(probabilities, np.zeros(9_999, dtype=np.int64), ("x", "y"))["loss"]
    assert found == pytest.approx(math.fsum(-math.log(float(p)) for p in truth) / 9_999, rel=1e-12)


def test_a_probability_of_0_for_the_truth_costs_much_but_not_infinity() -> None:
    found = score(np.array([[0, 1]], dtype=np.float32), np.array([0]), ("x", "y"))
    assert found["loss"] == pytest.approx(-math.log(1e-12))


def test_a_class_without_examples_or_predictions_has_null_and_not_0() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0]], dtype=np.float32)
    seen, missed, unknown = score(probabilities, np.array([0, 1]), ("seen", "missed", "unknown"))["per_class"]
    assert seen == {"class": "seen", "n": 1, "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert missed == {"class": "missed", "n": 1, "precision": None, "recall": 0.0, "f1": 0.0}
    assert unknown == {"class": "unknown", "n": 0, "precision": None, "recall": None, "f1": None}


def test_equal_probabilities_are_not_counted_in_favour_of_the_model() -> None:
    labels = np.arange(4)
    found = score(np.full((4, 4), 0.25, dtype=np.float32), labels, NAMES)
    assert (found["accuracy"], found["top2"]) == (0.25, 0.5)


def test_of_two_classes_every_prediction_is_among_the_top_two() -> None:
    probabilities = np.array([[0.3, 0.7], [0.5, 0.5], [1, 0]], dtype=np.float32)
    assert score(probabilities, np.array([0, 1, 1]), ("x", "y"))["top2"] == 1.0


def test_confusion_matrix_has_a_row_for_each_true_class() -> None:
    found = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 1]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
