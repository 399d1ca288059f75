"""The out-of-distribution score flags 5 % of what is like the training images, and far more of what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import fittingroom as fr
from fittingroom.artifact.ood_score import OodScale, is_out_of_distribution
from tests.support.small_run import train_small


def test_the_score_is_the_share_of_validation_images_that_have_less_energy() -> None:
    energies = np.random.default_rng(0).normal(-10, 3, 5_000).astype(np.float32)
    scale = OodScale.of(energies)
    assert scale.n == 5_000
    for energy in (-15, -10, -7.5):
        assert scale.scores(np.array([energy]))[0] == pytest.approx((energies < energy).mean(), abs=0.005)
    assert scale.scores(np.array([-99, 99])).tolist() == [0, 1]


def test_one_in_twenty_like_those_of_the_training_is_flagged() -> None:
    normal = np.random.default_rng(0).normal
    scale = OodScale.of(normal(size=20_000).astype(np.float32))
    scores = scale.scores(normal(size=20_000).astype(np.float32))
    assert is_out_of_distribution(scores).mean() == pytest.approx(0.05, abs=0.005)


def test_what_is_not_a_number_is_flagged() -> None:
    scale = OodScale.of(np.arange(100, dtype=np.float32))
    scores = scale.scores(np.array([np.nan, np.inf, -np.inf]))
    assert is_out_of_distribution(scores).tolist() == [True, True, False]


def test_a_single_validation_image_makes_a_scale() -> None:
    assert OodScale.of(np.array([3], np.float32)).scores(np.array([2, 4])).tolist() == [0, 1]


def test_digits_and_noise_have_higher_scores_than_garments(tmp_path: Path) -> None:
    """On a model that is hardly trained; benchmarks/doubt.py has the figures of a good one."""
    run = train_small(tmp_path / "run", "stages.0.epochs=4")
    model, test = fr.load(run.path), fr.open_dataset("sample").test
    assert test is not None
    digits = np.stack([np.asarray(Image.fromarray(digit).resize((28, 28))) for digit in _digits()])
    noise = np.random.default_rng(0).integers(0, 256, (300, 28, 28)).astype(np.uint8)

    garments = model.classify(test.images)
    assert garments.doubt is not None
    assert garments.unfamiliar is not None
    assert 0.01 < garments.unfamiliar.mean() < 0.12  # of 1,000, on a scale of 200

    for strange in (digits, noise):
        scores = model.classify(strange).doubt
        assert scores is not None
        is_strange = np.r_[np.zeros(len(garments.doubt)), np.ones(len(scores))]
        assert roc_auc_score(is_strange, np.r_[garments.doubt, scores]) > 0.7


def test_the_old_name_of_the_scale_is_taken_for_this_release(tmp_path: Path) -> None:
    model = fr.load(train_small(tmp_path / "run").path)
    with pytest.deprecated_call(match="ood_scale"):
        assert model.doubt_scale == model.ood_scale


def _digits() -> np.ndarray:
    digits: np.ndarray = load_digits().images[:300]
    return (digits * 15.9).astype(np.uint8)
