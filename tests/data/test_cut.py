"""Cutting a set: exactly as 0.1 did where nothing is tied, and nothing tied on two sides where something is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fittingroom as fr
from fittingroom.data.cut import bundles, groups_for_intervals, stratified_folds, stratified_split
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError
from fittingroom.evaluation.intervals import clopper_pearson_interval
from fittingroom.evaluation.predictions import Predictions
from fittingroom.training.hold_out import hold_out
from fittingroom.training.inference import judge

# The fingerprints, in file order, of what 0.1 held out and kept; recorded with it.
OF_FIRST_VERSION = {
    ("sample", 200): (
        "1a2740151da4764f586b057b928dcc9ad0f2df43a453672bea9a50378bc472d0",
        "4fb61d434caaa907ee5081f3a760a517585002c6b97bee52ab0a0dc975f402cb",
    ),
    ("fashion-mnist", 2000): (
        "97eb6a77db3e3282ce1f129b21a7b6b53b3bd3c0e9ac7db2145d87afa4c3170a",
        "3871145025cc616afde08048790d3b1e271844675440a560d347c377941a5762",
    ),
    ("fashion-mnist", 5000): (
        "919a9b748b7ac3a6d6651ce0dac49d6446303225eda5463facfff8829ad9a924",
        "f3f7eda34d4777a7a579d8dae81810c85b4648c218026aa7a98fb003017326a1",
    ),
}


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return fr.open_dataset("sample").train


def made(labels: list[int], **known: object) -> Dataset:
    """Images that all differ, of 1×4 pixels."""
    images = np.arange(len(labels) * 4, dtype=np.uint32).view(np.uint8).reshape(-1, 4, 4)[: len(labels)]
    names = tuple("abc") if max(labels) < 3 else tuple(f"class {label}" for label in range(max(labels) + 1))
    return Dataset(np.ascontiguousarray(images), np.array(labels), names, "made", **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sample", "fashion-mnist"])
def test_where_nothing_is_tied_the_cut_is_that_of_the_first_version(name: str, official_folder: Path) -> None:
    train = fr.open_dataset(name if name == "sample" else official_folder).train
    if name != "sample":
        train = fr.Dataset(train.images, train.labels, train.classes, name)
    for (of, n), expected in OF_FIRST_VERSION.items():
        if of != name:
            continue
        for group_N in (None, np.arange(len(train))):
            rest, held_out = stratified_split(train, n, 0, group_N)
            assert (held_out.fingerprint.order, rest.fingerprint.order) == expected


def test_a_few_pairs_change_the_cut_by_a_few_images(sample: Dataset) -> None:
    before = set(stratified_split(sample, 200, 0)[1].image_hashes())
    group_N = bundles(len(sample), pairs=[np.arange(20).reshape(10, 2)])
    rest, held_out = stratified_split(sample, 200, 0, group_N)
    assert len(held_out) == 200
    assert len(before - set(held_out.image_hashes())) <= 20
    assert held_out.class_counts().tolist() == [20] * 10
    assert len(rest) + len(held_out) == len(sample)


def test_groups_lie_on_one_side_and_each_class_keeps_its_share(sample: Dataset) -> None:
    persons = np.random.default_rng(0).integers(0, 60, len(sample))
    names = [f"person {number}" for number in persons]
    tied = Dataset(sample.images, sample.labels, sample.classes, "tied", groups=tuple(names))
    rest, held_out = stratified_split(tied, 200, 0, bundles(len(tied), groups=names))
    assert held_out.groups is not None
    assert rest.groups is not None
    assert not set(held_out.groups) & set(rest.groups)
    assert len(held_out) == pytest.approx(200, abs=30)
    assert np.abs(held_out.class_counts() - 20).max() <= 12


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_bundle_is_ever_on_two_sides(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 2), min_size=4, max_size=60))
    group_N = np.unique(
        data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))), return_inverse=True
    )[1]
    dataset = made(labels, groups=tuple(map(str, group_N)))
    n = data.draw(st.integers(1, len(labels) - 1))
    try:
        rest, held_out = stratified_split(dataset, n, 0, group_N)
    except DataError as error:
        assert "images to hold out expected" in str(error)  # noqa: PT017
        return
    assert not set(rest.groups or ()) & set(held_out.groups or ())
    assert len(rest) + len(held_out) == len(dataset)

    folds_N = stratified_folds(np.array(labels), 3, 0, group_N)
    assert all(len(set(folds_N[group_N == group])) == 1 for group in group_N)
    assert set(folds_N) <= {0, 1, 2}


def test_groups_too_coarse_to_hold_out_are_refused_with_what_to_do() -> None:
    dataset = made([0] * 12 + [1] * 8)
    with pytest.raises(DataError, match=r"20 images are 2 bundles.*give finer groups.*validation = 0"):
        stratified_split(dataset, 2, 0, np.arange(20) // 12)


def test_no_class_is_held_out_whole() -> None:
    """Three copies of each of forty things, or one image of most: a class that is held out whole is never learned."""
    labels = np.repeat(np.arange(40), 3)
    some_alone = np.where(np.arange(120) < 60, labels, np.arange(120))  # of twenty classes, three copies of one
    for classes, group_N in ((labels, some_alone), (np.repeat(np.arange(30), [1] * 20 + [2] * 10), None)):
        dataset = made(classes.tolist())
        for n in (4, 12):
            rest, held_out = stratified_split(dataset, n, 0, group_N)
            assert rest.labels is not None
            assert held_out.labels is not None
            assert set(held_out.labels) <= set(rest.labels)
            assert len(held_out)

    # Where every class is one bundle, nothing is held out.
    nothing_to_share = fr.Splits(made(labels.tolist()))
    assert hold_out(nothing_to_share, fr.load_recipe("plain"), labels)[1] is None


def test_a_single_group_is_held_out_where_none_is_as_small_as_asked_for() -> None:
    dataset = made([0, 1] * 20)
    group_N = np.arange(40) // 10
    rest, held_out = stratified_split(dataset, 2, 0, group_N)
    assert (len(rest), len(held_out)) == (30, 10)


def test_what_is_known_of_each_image_goes_with_it() -> None:
    sources = tuple(bytes([number]) * 32 for number in range(12))
    files = tuple(f"{number}.png" for number in range(12))
    dataset = made([0, 1, 2] * 4, sources=sources, files=files, groups=("x",) * 6 + (None,) * 6)
    for part in (*stratified_split(dataset, 3, 0), dataset.subset([7, 2]), dataset.aligned_to(("c", "b", "a"))):
        assert part.files is not None
        numbers = [int(file[:-4]) for file in part.files]
        assert part.sources == tuple(sources[number] for number in numbers)
        assert part.groups == tuple("x" if number < 6 else None for number in numbers)
        assert part.image_hashes() == [dataset.image_hashes()[number] for number in numbers]


def test_folds_without_bundles_are_dealt_like_cards_and_with_them_they_stay_even(sample: Dataset) -> None:
    assert sample.labels is not None
    for group_N in (None, np.arange(len(sample)), np.arange(len(sample)) // 4):
        fold_N = stratified_folds(sample.labels, 5, 0, group_N)
        counts = np.stack([np.bincount(sample.labels[fold_N == fold], minlength=10) for fold in range(5)])
        assert np.abs(counts - 40).max() <= (0 if group_N is None or group_N[1] == 1 else 4)
        assert np.abs(counts.sum(axis=1) - 400).max() <= 8


def test_the_largest_group_is_found_however_it_is_tied() -> None:
    chain = np.stack([np.arange(99), np.arange(1, 100)], axis=1)[::-1]
    tied = bundles(101, pairs=[chain])
    assert tied is not None
    assert tied.tolist() == [0] * 100 + [1]
    assert bundles(3, groups=["a", "b", None]) is None
    assert bundles(3) is None


def test_repeats_are_each_row_that_came_before(sample: Dataset) -> None:
    assert len(sample.repeats) == 0
    again = sample.subset([3, 1, 3, 0, 1, 3])
    assert again.repeats.tolist() == [[2, 0], [4, 1], [5, 0]]
    found_by_fingerprint = sample.subset([3, 1, 3, 0, 1, 3])
    assert found_by_fingerprint.fingerprint.content
    assert found_by_fingerprint.__dict__["repeats"].tolist() == again.repeats.tolist()


def _three_of_each(things: int) -> fr.Dataset:
    """Each thing three times, equal."""
    images = np.random.default_rng(0).integers(0, 256, (things, 8, 8), dtype=np.uint8)
    labels = np.arange(things) % 2
    return fr.Dataset(np.repeat(images, 3, axis=0), np.repeat(labels, 3), ("a", "b"), "thrice")


def test_copies_of_one_image_count_in_an_interval_as_what_they_are() -> None:
    """Of 40 images that are there three times 30 are right: no interval may take that for 90 of 120."""
    data = _three_of_each(40)
    assert data.labels is not None
    answers = np.where(np.repeat(np.arange(40) % 4 == 0, 3), 1 - data.labels, data.labels)
    probabilities = np.where(answers[:, None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    scores = judge(Predictions.of(probabilities), data).scores()
    assert scores["groups"] == 40
    low, high = clopper_pearson_interval(30, 40)
    assert scores["interval"][0] <= low
    assert scores["interval"][1] >= high - 0.01


def test_a_few_copies_leave_the_groups_as_they_are_and_near_ones_count_as_one() -> None:
    data = _three_of_each(40)
    assert groups_for_intervals(data[:1]) is None
    mixed = fr.Dataset(np.concatenate([data.images[::3], data.images[:1]]), None, (), "one copy of 40")
    assert groups_for_intervals(mixed) is None

    # a group that holds all that is alike keeps its name; of two that hold copies of each other none does
    named = dataclasses.replace(data, groups=("anna",) * 3 + ("ben", "carl", "carl") + (None,) * 114)
    found = groups_for_intervals(named)
    assert found is not None
    assert found[:3] == ("anna",) * 3
    assert found[3:6] == ("alike 1",) * 3

    near = np.repeat(np.arange(20), 6)  # pairs that a search found, of images that are there three times
    of_near = groups_for_intervals(data, near)
    assert of_near is not None
    assert len(set(of_near)) == 20
