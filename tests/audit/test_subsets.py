"""Accuracy beside accuracy: what is left out is what should be, and the figures are counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.audit.label_issues import LabelIssue, LabelIssues
from fittingroom.audit.reference import hashes_of
from fittingroom.audit.subsets import make_subsets, score_subsets, score_subsets_of_recipe
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.intervals import clopper_pearson_interval, recipe_accuracy


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    return fr.Splits(sample.train.subset(np.arange(500)), None, sample.test.subset(np.arange(100)))


@pytest.fixture(scope="module")
def leaking(data: fr.Splits) -> Dataset:
    """The test images, of which 2 is a training image, 5 a darker one, 7 one of constant pixels in both."""
    assert data.test is not None
    images = data.test.images.copy()
    images[2] = data.train.images[40]
    images[5] = (data.train.images[41] * 0.8).astype(np.uint8)
    images[7] = data.train.images[42][0, 0]
    return replace(data.test, images=images)


def label_issues(judged: Dataset, rows: list[int]) -> LabelIssues:
    assert judged.labels is not None
    issues = [
        LabelIssue(
            image=f"{hashes_of(judged)[row]:016x}",
            row=row,
            given=judged.classes[judged.labels[row]],
            suggested="Bag",
            of_given=0.0,
            of_suggested=1.0,
        )
        for row in rows
    ]
    images = judged.fingerprint.images
    return LabelIssues(reference="the judge", name="x", n=len(judged), images=images, issues=tuple(issues))


def test_near_duplicates_of_training_images_are_left_out_and_nothing_else(data: fr.Splits, leaking: Dataset) -> None:
    constant = data.train.images.copy()
    constant[9] = data.train.images[42][0, 0]
    train = replace(data.train, images=constant)

    everything, fresh = make_subsets(leaking, train, None)
    assert everything.keep.all()
    assert np.flatnonzero(~fresh.keep).tolist() == [2, 5, 7]
    assert fresh.name == "without near-duplicates"


def test_label_issues_are_left_out_and_the_reference_is_named(leaking: Dataset) -> None:
    everything, trusted = make_subsets(leaking, None, label_issues(leaking, [1, 4]))
    assert everything.name == "all"
    assert np.flatnonzero(~trusted.keep).tolist() == [1, 4]
    assert "a fixed reference: the judge" in trusted.left_out


def test_training_images_of_another_size_have_no_near_duplicates_here(data: fr.Splits, leaking: Dataset) -> None:
    cropped = replace(data.train, images=data.train.images[:, :20, :20])
    assert [subset.name for subset in make_subsets(leaking, cropped, None)] == ["all"]


def test_the_figures_are_those_counted_by_hand(leaking: Dataset) -> None:
    right = np.arange(100) % 4 > 0  # 75 of 100; rows 0 and 4 are wrong
    everything, trusted = score_subsets(make_subsets(leaking, None, label_issues(leaking, [0, 1, 4])), right)
    assert (everything["n"], everything["correct"], everything["accuracy"]) == (100, 75, 0.75)
    assert (trusted["n"], trusted["correct"]) == (97, 74)
    assert trusted["interval"] == list(clopper_pearson_interval(74, 97))


def test_where_nothing_is_left_there_is_no_accuracy(data: fr.Splits) -> None:
    subsets = make_subsets(data.train, data.train, None)
    _, fresh = score_subsets(subsets, np.ones(500, dtype=bool))
    assert (fresh["n"], fresh["accuracy"], fresh["interval"]) == (0, None, None)
    assert score_subsets_of_recipe(subsets, np.ones((2, 500), dtype=bool))[1]["accuracy"] is None


def test_several_seeds_have_a_mean_and_the_interval_of_their_recipe(leaking: Dataset) -> None:
    subsets = make_subsets(leaking, None, label_issues(leaking, [0, 1, 4]))
    right = np.stack([np.arange(100) < correct for correct in (80, 84)])
    everything, trusted = score_subsets_of_recipe(subsets, right)
    assert everything["accuracy"] == pytest.approx(0.82)
    assert everything["interval"] == list(recipe_accuracy(right).interval)
    assert trusted["accuracy"] == pytest.approx(right[:, subsets[1].keep].mean())
