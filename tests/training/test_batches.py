import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import DataError
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.training.batches import Batches
from fittingroom.training.seeds import derive_seed
from tests.support.photo_patches import photo_patches

CPU = torch.device("cpu")
PLAIN = Recipe(model="tutorial", batch_size=8, stages=(Stage(epochs=4, lr=1),))
EVERYTHING: dict[str, Any] = {"mirror": "random", "shift": 2, "erase": 3, "image_sizes": ((0, 8), (2, 6))}


@pytest.fixture
def dataset() -> Dataset:
    """27 random images of 6×6, told apart by their first row, which is 1 + the index; labels: index mod 3."""
    images = np.random.default_rng(0).integers(1, 256, (27, 6, 6), dtype=np.uint8)
    images[:, 0] = np.arange(1, 28)[:, None]
    return Dataset(images, np.arange(27) % 3, ("a", "b", "c"), "drawn")


def batches(dataset: Dataset, normalization: Normalization = Normalization(0.0, 1.0), **changes: Any) -> Batches:  # noqa: B008
    return Batches(dataset, dataclasses.replace(PLAIN, **changes), normalization, CPU)


def indices(epoch: list[tuple[Tensor, Tensor]]) -> list[int]:
    """Which images an epoch gave, in its order: told by their first pixels, unmoved."""
    return [int(value) - 1 for x, _ in epoch for value in x[:, 0, 0, 0]]


def assert_same(found: list[tuple[Tensor, Tensor]], expected: list[tuple[Tensor, Tensor]]) -> None:
    assert len(found) == len(expected)
    for (x, labels), (other_x, other_labels) in zip(found, expected, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize(("size", "lengths"), [(8, [8, 8, 8, 3]), (9, [9, 9, 9]), (100, [27]), (1, [1] * 27)])
def test_every_image_comes_once_an_epoch_and_the_last_short_batch_too(
    dataset: Dataset, size: int, lengths: list[int]
) -> None:
    made = batches(dataset, batch_size=size)
    epoch = list(made.epoch(0))
    assert len(made) == len(lengths)
    assert [len(x) for x, _ in epoch] == [len(labels) for _, labels in epoch] == lengths
    assert sorted(indices(epoch)) == list(range(27))


def test_labels_stay_with_their_images(dataset: Dataset) -> None:
    epoch = list(batches(dataset).epoch(3))
    labels = torch.cat([labels for _, labels in epoch])
    assert labels.dtype == torch.int64
    assert labels.tolist() == [index % 3 for index in indices(epoch)]


def test_batches_are_float32_with_one_channel(dataset: Dataset) -> None:
    x, _ = next(batches(dataset).epoch(0))
    assert x.dtype == torch.float32
    assert x.shape == (8, 1, 6, 6)


@pytest.mark.parametrize("changes", [{}, {"mirror": "alternating"}, EVERYTHING], ids=["plain", "alternating", "all"])
def test_a_batch_in_colour_is_that_of_each_of_its_channels(changes: dict[str, Any]) -> None:
    photos = photo_patches(27, side=6)
    normalization = Normalization((120.0, 90.0, 60.0), (70.0, 50.0, 40.0))
    epoch = list(batches(photos, normalization, **changes).epoch(1))
    assert epoch[0][0].shape[1] == 3

    for channel in range(3):
        grey = dataclasses.replace(photos, images=photos.images[..., channel])
        of_channel = Normalization(normalization.mean[channel], normalization.std[channel])  # type: ignore[index]
        expected = batches(grey, of_channel, **changes).epoch(1)
        for (x, labels), (grey_x, grey_labels) in zip(epoch, expected, strict=True):
            torch.testing.assert_close(x[:, channel : channel + 1], grey_x)
            assert torch.equal(labels, grey_labels)


def test_without_normalisation_and_augmentation_the_network_is_fed_the_pixels_0_to_255(dataset: Dataset) -> None:
    epoch = list(batches(dataset).epoch(0))
    fed = torch.cat([x[:, 0] for x, _ in epoch])
    np.testing.assert_array_equal(fed.numpy(), dataset.images[indices(epoch)])


def test_normalisation_is_applied_after_the_augmentation(dataset: Dataset) -> None:
    """What is moved in or erased is black like the background, not grey like the mean."""
    x, _ = next(batches(dataset, Normalization(100.0, 50.0), erase=100).epoch(0))
    assert (x == -2).all()


def test_order_differs_between_epochs_and_between_seeds(dataset: Dataset) -> None:
    orders = [tuple(indices(list(batches(dataset, seed=seed).epoch(epoch)))) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert tuple(range(27)) not in orders


@pytest.mark.parametrize("changes", [{}, {"mirror": "alternating"}, EVERYTHING], ids=["plain", "alternating", "all"])
@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_entered_in_the_middle_goes_on_as_if_never_left(
    dataset: Dataset, changes: dict[str, Any], epoch: int
) -> None:
    whole = list(batches(dataset, **changes).epoch(epoch))
    torch.manual_seed(99)  # nothing may be drawn from PyTorch's own generator
    for first_step in range(5):
        assert_same(list(batches(dataset, **changes).epoch(epoch, first_step)), whole[first_step:])


def test_batches_draw_nothing_from_the_ambient_generators(dataset: Dataset) -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    list(batches(dataset, **EVERYTHING).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], before_numpy)  # type: ignore[index]


@pytest.mark.parametrize("changes", [{"mirror": "random"}, {"shift": 2}, {"erase": 3}], ids=str)
def test_augmentation_changes_from_epoch_to_epoch_and_with_the_seed(dataset: Dataset, changes: dict[str, Any]) -> None:
    def by_image(seed: int, epoch: int) -> Tensor:
        # The order is that of the plain batches: it does not depend on the augmentation.
        order = indices(list(batches(dataset, seed=seed).epoch(epoch)))
        x = torch.cat([x for x, _ in batches(dataset, seed=seed, **changes).epoch(epoch)])
        return x[torch.tensor(order).argsort()]

    first = by_image(0, 0)
    assert torch.equal(first, by_image(0, 0))
    assert not torch.equal(first, by_image(0, 1))
    assert not torch.equal(first, by_image(1, 0))


def sides(dataset: Dataset, mirror: str, epoch: int) -> list[bool]:
    """For each image whether this epoch flips it; every image must be one or the other."""
    found: dict[int, bool] = {}
    for x, _ in batches(dataset, mirror=mirror).epoch(epoch):
        for image in x[:, 0].numpy():
            index = int(image[0, 0]) - 1
            original = dataset.images[index]
            found[index] = not np.array_equal(image, original)
            np.testing.assert_array_equal(image, original[:, ::-1] if found[index] else original)
    return [found[index] for index in range(len(dataset))]


def test_alternating_mirror_shows_both_sides_of_every_image_in_any_two_epochs(dataset: Dataset) -> None:
    epochs = [sides(dataset, "alternating", epoch) for epoch in range(4)]
    for one, next_one in itertools.pairwise(epochs):
        assert all(a != b for a, b in zip(one, next_one, strict=True))
    assert 5 < sum(epochs[0]) < 22  # from a random start, not all at once


def test_random_mirror_flips_about_half(dataset: Dataset) -> None:
    flips = [flip for epoch in range(20) for flip in sides(dataset, "random", epoch)]
    assert 0.42 < sum(flips) / len(flips) < 0.58


def test_shift_moves_by_up_to_the_limit_in_every_direction(dataset: Dataset) -> None:
    single = np.zeros((200, 9, 9), dtype=np.uint8)
    single[:, 4, 4] = 255
    points = Dataset(single, np.arange(200) % 2, ("a", "b"), "points")
    x = torch.cat([x for x, _ in batches(points, shift=2, batch_size=50).epoch(0)])
    moved = {tuple(place) for place in x[:, 0].nonzero()[:, 1:].tolist()}
    assert (x.flatten(1).sum(1) == 255).all()
    assert moved == {(row, column) for row in range(2, 7) for column in range(2, 7)}


def test_image_sizes_hold_from_their_epoch_on(dataset: Dataset) -> None:
    made = batches(dataset, image_sizes=((0, 4), (1, 6), (3, 9)))
    assert [next(made.epoch(epoch))[0].shape[2:] for epoch in range(5)] == [(4, 4), (6, 6), (6, 6), (9, 9), (9, 9)]
    assert torch.equal(next(made.epoch(1))[0], next(batches(dataset).epoch(1))[0])  # 6 is their own size


def test_an_unlabelled_set_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"drawn: labels expected, none found"):
        batches(Dataset(dataset.images, None, (), "drawn"))


def test_the_data_set_is_shared_and_never_written_to(dataset: Dataset) -> None:
    before = dataset.images.copy()
    made = batches(dataset, **EVERYTHING)
    list(made.epoch(0))
    assert np.shares_memory(made.images.numpy(), dataset.images)
    np.testing.assert_array_equal(dataset.images, before)


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {derive_seed(seed, kind, a, b) for seed in (0, 1) for kind in ("x", "y") for a in (1, 11) for b in (1, 11)}
    assert len(seeds) == 16
    assert derive_seed(0, 1, 11) != derive_seed(0, 11, 1) != derive_seed(0, 111)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "order", 0) == derive_seed(0, "order", 0)
