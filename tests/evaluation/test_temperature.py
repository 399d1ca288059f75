"""Two numbers make probabilities mean what they say, and change no answer."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from fittingroom.evaluation.calibration import calibration
from fittingroom.evaluation.metrics import log_loss
from fittingroom.evaluation.temperature import EXPONENT_SD, Temperature, cross_fitted, fit_temperature
from fittingroom.models.tensors import change_gaps


def said(
    n: int, temperature: float, exponent: float = 1.0, *, classes: int = 10, seed: int = 0, spread: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities that are true at ``temperature`` and ``exponent``, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(n, classes)) * spread
    gaps_NC = logits_NC.max(axis=1, keepdims=True) - logits_NC
    noise_NC = rng.gumbel(size=(n, classes))
    labels_N = (noise_NC - (gaps_NC / temperature) ** exponent).argmax(axis=1)
    weights_NC = np.exp(-gaps_NC)
    return (weights_NC / weights_NC.sum(axis=1, keepdims=True)).astype(np.float32), labels_N


@pytest.mark.parametrize("temperature", [0.3, 0.65, 1.0, 2.5])
@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.4])
def test_the_temperature_and_the_exponent_that_were_planted_are_found(temperature: float, exponent: float) -> None:
    found = fit_temperature(*said(20_000, temperature, exponent))
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.exponent == pytest.approx(exponent, rel=0.05)


@pytest.mark.parametrize("temperature", [0.5, 1.7])
@pytest.mark.parametrize("exponent", [0.8, 1.3])
def test_they_are_the_minimum_of_the_log_loss(temperature: float, exponent: float) -> None:
    probabilities_NC, labels_N = said(5_000, temperature, exponent)

    def loss(logarithms: NDArray[np.float64]) -> float:
        value, power = np.exp(logarithms)
        held = float(logarithms[1]) ** 2 / (2 * EXPONENT_SD**2) / 5_000
        return log_loss(Temperature(value, exponent=power).applied(probabilities_NC), labels_N) + held

    # One mistake that wasn't made is added to those that were.
    found = fit_temperature(probabilities_NC, labels_N)
    smallest = np.exp(minimize(loss, np.zeros(2), method="Nelder-Mead").x)
    assert (found.value, found.exponent) == pytest.approx(tuple(smallest), rel=0.02)


def test_few_images_hardly_move_the_exponent() -> None:
    found = [fit_temperature(*said(200, 0.65, seed=seed)).exponent for seed in range(50)]
    assert 0.7 < min(found) < max(found) < 1.4


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
    for temperature in (Temperature(0.3), Temperature(0.646, exponent=1.3), Temperature(3.0, exponent=0.7)):
        changed_NC = temperature.applied(probabilities_NC)
        assert (changed_NC.argmax(axis=1) == probabilities_NC.argmax(axis=1)).all()
        np.testing.assert_allclose(changed_NC.sum(axis=1), 1, atol=1e-6)


def test_logits_are_changed_as_probabilities_are() -> None:
    logits_NC = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)) * 3
    probabilities_NC = logits_NC.softmax(dim=1).numpy()
    for temperature in (Temperature(), Temperature(0.6), Temperature(1.4, exponent=1.3), Temperature(2, exponent=0.6)):
        changed_NC = change_gaps(logits_NC, temperature.value, temperature.exponent).softmax(dim=1).numpy()
        np.testing.assert_allclose(changed_NC, temperature.applied(probabilities_NC), atol=2e-6)


def test_a_calibrated_model_can_be_trained_further() -> None:
    logits_NC = torch.tensor([[1.0, 1.0, -2.0], [0.0, 3.0, 0.5]], requires_grad=True)
    change_gaps(logits_NC, 1.2, 0.6).softmax(dim=1).log()[:, 0].sum().backward()
    assert logits_NC.grad is not None
    assert logits_NC.grad.isfinite().all()


def test_a_temperature_is_undone_by_its_inverse() -> None:
    probabilities_NC, _ = said(1_000, 1.0, spread=1.0)
    there = Temperature(0.6, exponent=1.3).applied(probabilities_NC)
    np.testing.assert_allclose(Temperature(0.6**-1.3, exponent=1 / 1.3).applied(there), probabilities_NC, atol=1e-6)


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
    assert temperature.value > 5
    assert np.isfinite(temperature.applied(probabilities_NC)).all()
    assert not fit_temperature(np.ones((300, 1), dtype=np.float32), np.zeros(300, dtype=np.int64)).changes


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.3])
def test_calibration_holds_on_images_that_it_was_not_fitted_on(exponent: float) -> None:
    probabilities_NC, labels_N = said(2_000, 0.65, exponent)
    others_NC, labels_M = said(10_000, 0.65, exponent, seed=1)
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


@pytest.mark.parametrize("key", ["value", "exponent"])
@pytest.mark.parametrize("value", ["x", 0, -1.0, math.nan, math.inf, None, [1]])
def test_what_is_no_temperature_is_refused_when_a_run_is_opened(key: str, value: object) -> None:
    with pytest.raises(ValueError, match="numbers above 0 expected"):
        Temperature(**json.loads(json.dumps({key: value, "n": 300})))
    with pytest.raises(ValueError, match="a count of images expected"):
        Temperature(n=-1)


def test_numbers_that_nobody_fitted_still_give_probabilities() -> None:
    probabilities_NC, _ = said(50, 1.0)
    for temperature in (Temperature(1e-300, exponent=1e300), Temperature(1e300, exponent=1e-300)):
        np.testing.assert_allclose(temperature.applied(probabilities_NC).sum(axis=1), 1, atol=1e-6)
