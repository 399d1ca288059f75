"""The out-of-distribution score flags 5% of what is like the training images, and far more of what is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import fittingroom as fr
from fittingroom.artifact.ood_score import OodScale, explained, is_out_of_distribution, level_of
from tests.support.small_run import train_small


def measured(seed: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Energies and residuals that go together, as real ones do."""
    both = np.random.default_rng(seed).multivariate_normal([-4, 8], [[1, 0.5], [0.5, 1]], n).astype(np.float32)
    return both[:, 0], both[:, 1]


def scale_of(*measurements: NDArray[np.float32]) -> OodScale:
    scale = OodScale.of(*measurements)
    assert scale is not None
    return scale


@pytest.mark.parametrize("n", [150, 2_000, 30_000])
def test_typical_counts_the_validation_images_that_are_at_least_as_strange(n: int) -> None:
    """Exactly where it decides, and to a part in two hundred elsewhere, of as many images as there may be."""
    energies, _ = measured(0, n)
    scale = scale_of(energies)
    values = np.r_[energies[:300], np.linspace(-9, 1, 300)].astype(np.float32)
    expected = np.array([(np.count_nonzero(energies >= value) + 1) / (n + 1) for value in values])

    typical = scale.typical(values)
    np.testing.assert_allclose(typical, expected, atol=0.005)
    decides = expected < 0.06
    assert decides.sum() > 10
    assert (typical[decides] == expected[decides]).all()


@pytest.mark.parametrize("n", [100, 200, 2_000])
def test_one_in_twenty_like_those_of_the_training_is_flagged(n: int) -> None:
    """Over 300 validation sets: 5% and 1%, or a little less where there are few images; for energy alone too."""
    flagged, strongly, alone = [], [], []
    for seed in range(300):
        energies, residuals = measured(seed, n + 1_000)
        scale = scale_of(energies[:n], residuals[:n])
        typical = scale.typical(energies[n:], residuals[n:])
        flagged.append(is_out_of_distribution(typical).mean())
        strongly.append((typical <= 0.01).mean())
        alone.append(is_out_of_distribution(scale_of(energies[:n]).typical(energies[n:])).mean())
    assert 0.040 < np.mean(flagged) < 0.053
    assert 0.004 < np.mean(strongly) < 0.012
    assert 0.040 < np.mean(alone) < 0.053


def test_copies_and_groups_flag_no_more_than_one_in_twenty_either() -> None:
    # 24 strangers with five pictures each, all of one as strange as the other; 2,000 studies, one new picture each.
    rng = np.random.default_rng(0)
    flagged = {0: 0, 24: 0}
    for _ in range(2_000):
        energies = np.repeat(rng.normal(size=24), 5).astype(np.float32)
        new = rng.normal(size=1).astype(np.float32)
        for groups in flagged:
            scale = OodScale.of(energies, groups=groups)
            assert scale is not None
            flagged[groups] += int(is_out_of_distribution(scale.typical(new))[0])
    assert flagged[24] <= 110  # 5%, and two standard deviations of chance
    assert flagged[0] >= 120  # as unrelated images: 8% where 5% is said


def test_either_measurement_alone_can_flag_an_image() -> None:
    scale = scale_of(*measured(0, 2_000))
    energies, residuals = np.array([20, -4, -4], np.float32), np.array([8, 99, 8], np.float32)
    assert is_out_of_distribution(scale.typical(energies, residuals)).tolist() == [True, True, False]


def test_what_is_not_a_number_is_flagged() -> None:
    scale = scale_of(*measured(0, 500))
    energies, residuals = np.array([np.nan, np.inf, -np.inf], np.float32), np.array([np.nan, 99, -99], np.float32)
    assert is_out_of_distribution(scale.typical(energies, residuals)).tolist() == [True, True, False]


def test_below_a_hundred_validation_images_there_is_no_scale() -> None:
    assert OodScale.of(*measured(0, 99)) is None
    assert OodScale.of(*measured(0, 100)) is not None
    assert OodScale.from_json({"n": 99, "percentiles": list(range(101))}) is None


def test_a_scale_is_the_same_after_it_was_written() -> None:
    energies, residuals = measured(1, 20_000)
    scale = scale_of(energies[:9_000], residuals[:9_000])
    text = json.dumps(scale.to_json())
    again = OodScale.from_json(json.loads(text))
    assert again is not None
    assert (again.typical(energies, residuals) == scale.typical(energies, residuals)).all()
    assert len(text) < 20_000  # read each time that a picture is answered


def test_the_percentiles_of_older_files_give_what_they_gave() -> None:
    energies, _ = measured(0, 3_000)
    percentiles = np.percentile(energies[:2_000], range(101)).tolist()
    scale = OodScale.from_json({"n": 2_000, "percentiles": percentiles})
    assert scale is not None
    in_0_1 = np.interp(energies[2_000:], percentiles, np.linspace(0, 1, 101))
    np.testing.assert_allclose(1 - scale.typical(energies[2_000:]), in_0_1, atol=0.005)


@pytest.mark.parametrize(
    "values",
    [
        {"n": 200},
        {"n": 10**12, "percentiles": list(range(101))},
        {"n": 200, "percentiles": [1, 2]},
        {"n": 200, "energy": "AAAA"},
        {"n": 200, "energy": "?"},
        {"n": float("inf"), "percentiles": list(range(101))},
        {"n": 200, "groups": 1e9},
    ],
)
def test_a_scale_that_somebody_else_wrote_is_refused(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        OodScale.from_json(values)


def test_a_scale_of_more_groups_than_images_is_refused() -> None:
    scale = OodScale.of(np.arange(200, dtype=np.float32), groups=50)
    assert scale is not None
    assert OodScale.from_json(scale.to_json()) is not None
    with pytest.raises(ValueError, match="groups of 200 validation images expected, 201 found"):
        OodScale.from_json(scale.to_json() | {"groups": 201})


@pytest.mark.parametrize(
    ("typical", "level", "sentence"),
    [
        (0.0501, "usual", None),
        (
            0.05,
            "somewhat unusual",
            "somewhat unusual: fewer than 1 in 20 of the 2,000 validation images are as strange",
        ),
        (0.0101, "somewhat unusual", "fewer than 1 in 20"),
        (0.01, "unlike the training images", "fewer than 1 in 100 of the 2,000 validation images"),
        (0.0005, "unlike the training images", "(typical 0.0005)"),
    ],
)
def test_three_levels_have_three_sentences(typical: float, level: str, sentence: str | None) -> None:
    assert level_of(typical) == level
    said = explained(typical, 2_000)
    assert said is None if sentence is None else said and sentence in said


def test_the_sentences_are_true_of_the_counts() -> None:
    """Where "fewer than 1 in 20" is said, it is so, whatever n: typical counts one image more than there are."""
    for n in (100, 101, 119, 200, 1_999):
        for k in range(n + 1):
            said = explained((k + 1) / (n + 1), n) or ""
            assert "1 in 100" not in said or k / n < 0.01
            assert "1 in 20 " not in said or k / n < 0.05


def test_digits_and_noise_have_higher_scores_than_garments(tmp_path: Path) -> None:
    """On a model that is hardly trained; benchmarks/ood.py has the figures of a good one."""
    run = train_small(tmp_path / "run", "stages.0.epochs=4")
    model, test = fr.load(run.path), fr.open_dataset("sample").test
    assert test is not None
    digits = np.stack([np.asarray(Image.fromarray(digit).resize((28, 28))) for digit in _digits()])
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (300, 28, 28)).astype(np.uint8)
    shuffled = random.permuted(test.images[:300].reshape(300, -1), axis=1).reshape(300, 28, 28)

    garments = model.classify(test.images)
    assert garments.typical is not None
    assert garments.unfamiliar is not None
    assert 0.01 < garments.unfamiliar.mean() < 0.12  # of 1,000, on a scale of 200

    for strange, least in ((digits, 0.7), (noise, 0.95), (shuffled, 0.9), (255 - test.images, 0.7)):
        typical = model.classify(strange).typical
        assert typical is not None
        is_strange = np.r_[np.zeros(len(garments.typical)), np.ones(len(typical))]
        assert roc_auc_score(is_strange, -np.r_[garments.typical, typical]) > least


def test_the_old_names_are_taken_for_this_release(tmp_path: Path) -> None:
    model = fr.load(train_small(tmp_path / "run").path)
    with pytest.deprecated_call(match="ood_scale"):
        assert model.doubt_scale == model.ood_scale
    answer = model.classify(fr.open_dataset("sample").train.images[:50])
    assert answer.typical is not None
    assert answer.doubt is not None
    assert (answer.doubt == 1 - answer.typical).all()


def _digits() -> np.ndarray:
    digits: np.ndarray = load_digits().images[:300]
    return (digits * 15.9).astype(np.uint8)
