"""One number makes probabilities mean what they say, and changes no answer."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from fittingroom.evaluation.calibration import calibration
from fittingroom.evaluation.metrics import log_loss
from fittingroom.evaluation.temperature import Temperature, cross_fitted, fit_temperature, with_temperature


def said(
    n: int, temperature: float, *, classes: int = 10, seed: int = 0, spread: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities that are true at ``temperature``, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(n, classes)) * spread
    noise_NC = rng.gumbel(size=(n, classes))
    labels_N = (logits_NC / temperature + noise_NC).argmax(axis=1)
    weights_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return (weights_NC / weights_NC.sum(axis=1, keepdims=True)).astype(np.float32), labels_N


@pytest.mark.parametrize("temperature", [0.3, 0.65, 1.0, 2.5])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    probabilities_NC, labels_N = said(20_000, temperature)
    assert fit_temperature(probabilities_NC, labels_N) == pytest.approx(temperature, rel=0.04)


@pytest.mark.parametrize("temperature", [0.5, 1.7])
def test_it_is_the_minimum_of_the_log_loss(temperature: float) -> None:
    probabilities_NC, labels_N = said(5_000, temperature)
    found = minimize_scalar(
        lambda t: log_loss(with_temperature(probabilities_NC, t), labels_N), bounds=(0.05, 20), method="bounded"
    ).x
    # One mistake that wasn't made is added to those that were.
    assert fit_temperature(probabilities_NC, labels_N) == pytest.approx(found, rel=0.01)


def test_a_model_without_a_mistake_is_not_called_certain() -> None:
    # All of 200 right: by the rule of succession the next is with 200/201 to 201/202, and not with certainty.
    probabilities_NC = np.full((200, 10), 0.01, dtype=np.float32)
    labels_N = np.arange(200) % 10
    probabilities_NC[np.arange(200), labels_N] = 0.91
    temperature = Temperature.fitted(probabilities_NC, labels_N)
    confidence = temperature.applied(probabilities_NC).max(axis=1).mean()
    assert 0.95 < confidence < 0.996


def test_no_answer_changes() -> None:
    probabilities_NC, _ = said(20_000, 1.0)
    for temperature in (0.3, 0.646, 3.0):
        changed_NC = with_temperature(probabilities_NC, temperature)
        assert (changed_NC.argmax(axis=1) == probabilities_NC.argmax(axis=1)).all()
        np.testing.assert_allclose(changed_NC.sum(axis=1), 1, atol=1e-6)


def test_a_temperature_is_undone_by_its_inverse() -> None:
    probabilities_NC, _ = said(1_000, 1.0, spread=1.0)
    there_and_back = with_temperature(with_temperature(probabilities_NC, 0.6), 1 / 0.6)
    np.testing.assert_allclose(there_and_back, probabilities_NC, atol=1e-6)


def test_fewer_than_200_images_calibrate_nothing() -> None:
    probabilities_NC, labels_N = said(199, 0.5)
    assert Temperature.fitted(probabilities_NC, labels_N) == Temperature(1.0, 0)
    assert str(Temperature.fitted(probabilities_NC, labels_N)) == "not calibrated"
    assert cross_fitted(probabilities_NC, labels_N) is probabilities_NC

    probabilities_NC, labels_N = said(2_000, 0.5)
    assert str(Temperature.fitted(probabilities_NC, labels_N)) == "calibrated on 2,000 validation images"


def test_probabilities_of_zero_do_no_harm() -> None:
    probabilities_NC = np.zeros((300, 3), dtype=np.float32)
    labels_N = np.arange(300) % 3
    probabilities_NC[np.arange(300), labels_N] = 1
    probabilities_NC[:30] = [0, 1, 0]  # certain and often wrong
    temperature = fit_temperature(probabilities_NC, labels_N)
    assert temperature > 5
    assert np.isfinite(with_temperature(probabilities_NC, temperature)).all()
    assert fit_temperature(np.ones((300, 1), dtype=np.float32), np.zeros(300, dtype=np.int64)) == 1


def test_calibration_holds_on_images_that_it_was_not_fitted_on() -> None:
    probabilities_NC, labels_N = said(2_000, 0.65)
    others_NC, labels_M = said(10_000, 0.65, seed=1)
    temperature = Temperature.fitted(probabilities_NC, labels_N)
    before, after = calibration(others_NC, labels_M), calibration(temperature.applied(others_NC), labels_M)
    assert before.ece > 0.05
    assert after.ece < 2 * after.ece_by_chance


def test_cross_fitting_judges_as_other_images_do() -> None:
    """With few images, the loss on those of the fit flatters; the cross-fitted one doesn't, in the mean of 300 cuts."""
    flattering, honest, true = [], [], []
    for seed in range(300):
        probabilities_NC, labels_N = said(200, 0.65, classes=4, seed=2 * seed)
        others_NC, labels_M = said(2_000, 0.65, classes=4, seed=2 * seed + 1)
        temperature = Temperature.fitted(probabilities_NC, labels_N)
        flattering.append(
            log_loss(temperature.applied(probabilities_NC), labels_N) - log_loss(probabilities_NC, labels_N)
        )
        honest.append(
            log_loss(cross_fitted(probabilities_NC, labels_N), labels_N) - log_loss(probabilities_NC, labels_N)
        )
        true.append(log_loss(temperature.applied(others_NC), labels_M) - log_loss(others_NC, labels_M))
    # By how much the temperature betters the loss: the difference is steadier than either loss.
    assert np.mean(flattering) < np.mean(true) < np.mean(honest) + 0.001


@pytest.mark.parametrize("value", ["x", 0, -1.0, math.nan, math.inf, None, [1]])
def test_what_is_no_temperature_is_refused_when_a_run_is_opened(value: object) -> None:
    with pytest.raises(ValueError, match="a number above 0 and a count expected"):
        Temperature(**json.loads(json.dumps({"value": value, "n": 300})))
