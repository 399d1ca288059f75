"""The doubt flags 5 % of what is like the training, and far more of what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import fittingroom as fr
from fittingroom.artifact.ood_score import doubt_scale, is_doubtful
from tests.support.small_run import train_small


def test_doubt_is_the_share_of_validation_images_that_have_less_energy() -> None:
    energies = np.random.default_rng(0).normal(-10, 3, 5_000).astype(np.float32)
    scale = doubt_scale(energies)
    assert scale.n == 5_000
    for energy in (-15, -10, -7.5):
        assert scale.doubt(np.array([energy]))[0] == pytest.approx((energies < energy).mean(), abs=0.005)
    assert scale.doubt(np.array([-99, 99])).tolist() == [0, 1]


def test_one_in_twenty_like_those_of_the_training_is_flagged() -> None:
    normal = np.random.default_rng(0).normal
    scale = doubt_scale(normal(size=20_000).astype(np.float32))
    assert is_doubtful(scale.doubt(normal(size=20_000).astype(np.float32))).mean() == pytest.approx(0.05, abs=0.005)


def test_what_is_not_a_number_is_doubted() -> None:
    scale = doubt_scale(np.arange(100, dtype=np.float32))
    assert is_doubtful(scale.doubt(np.array([np.nan, np.inf, -np.inf]))).tolist() == [True, True, False]


def test_a_single_validation_image_makes_a_scale() -> None:
    assert doubt_scale(np.array([3], np.float32)).doubt(np.array([2, 4])).tolist() == [0, 1]


def test_digits_and_noise_are_doubted_more_than_garments(tmp_path: Path) -> None:
    """On a model that is hardly trained; benchmarks/doubt.py has the figures of a good one."""
    run = train_small(tmp_path / "run", "stages.0.epochs=4")
    model, test = fr.load(run.path), fr.open_dataset("sample").test
    assert test is not None
    digits = np.stack([np.asarray(Image.fromarray(each).resize((28, 28))) for each in _digits()])
    noise = np.random.default_rng(0).integers(0, 256, (300, 28, 28)).astype(np.uint8)
    garments = model.classify(test.images)
    assert garments.doubt is not None
    assert garments.unfamiliar is not None
    assert 0.01 < garments.unfamiliar.mean() < 0.12  # of 1,000, on a scale of 200
    for strange in (digits, noise):
        doubt = model.classify(strange).doubt
        assert doubt is not None
        truth = np.r_[np.zeros(len(garments.doubt)), np.ones(len(doubt))]
        assert roc_auc_score(truth, np.r_[garments.doubt, doubt]) > 0.7


def _digits() -> np.ndarray:
    digits: np.ndarray = load_digits().images[:300]
    return (digits * 15.9).astype(np.uint8)
