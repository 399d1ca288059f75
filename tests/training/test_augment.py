"""Each transformation against slow loops over single pixels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fittingroom.models.tensors import normalize
from fittingroom.training import augment

Images = NDArray[np.uint8]


@pytest.fixture(params=[(7, 6, 5), (1, 1, 1), (4, 28, 28)], ids=str)
def images(request: pytest.FixtureRequest) -> Images:
    shape: tuple[int, int, int] = request.param
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)  # never 0, which is the filling


def shifted(images: Images, offsets: NDArray[np.int64]) -> Images:
    found = np.zeros_like(images)
    count, height, width = images.shape
    for i in range(count):
        down, right = offsets[i]
        for row in range(height):
            for column in range(width):
                if 0 <= row - down < height and 0 <= column - right < width:
                    found[i, row, column] = images[i, row - down, column - right]
    return found


def erased(images: Images, centres: NDArray[np.int64], side: int) -> Images:
    found = images.copy()
    count, height, width = images.shape
    for i in range(count):
        top, left = centres[i] - side // 2
        for row in range(top, top + side):
            for column in range(left, left + side):
                if 0 <= row < height and 0 <= column < width:
                    found[i, row, column] = 0
    return found


def assert_equal(found: Tensor, expected: Images) -> None:
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), expected)


def test_mirror_exchanges_left_and_right_of_the_chosen_images(images: Images) -> None:
    flip = np.arange(len(images)) % 2 == 0
    expected = np.stack([image[:, ::-1] if chosen else image for image, chosen in zip(images, flip, strict=True)])
    assert_equal(augment.mirror(torch.from_numpy(images), torch.from_numpy(flip)), expected)


@pytest.mark.parametrize("limit", [1, 2, 30])
def test_shift_moves_each_image_by_its_own_offset(images: Images, limit: int) -> None:
    offsets = np.random.default_rng(1).integers(-limit, limit + 1, (len(images), 2))
    offsets[0] = limit, -limit
    found = augment.shift(torch.from_numpy(images), torch.from_numpy(offsets), limit)
    assert_equal(found, shifted(images, offsets))


def test_shift_by_nothing_changes_nothing(images: Images) -> None:
    found = augment.shift(torch.from_numpy(images), torch.zeros(len(images), 2, dtype=torch.int64), 3)
    assert_equal(found, images)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 60])
def test_erase_blanks_a_square_cut_off_at_the_border(images: Images, side: int) -> None:
    count, height, width = images.shape
    random = np.random.default_rng(2)
    centres = np.stack([random.integers(0, height, count), random.integers(0, width, count)], axis=1)
    centres[0] = 0, width - 1
    assert_equal(
        augment.erase(torch.from_numpy(images), torch.from_numpy(centres), side), erased(images, centres, side)
    )


def test_colour_is_augmented_as_each_of_its_channels(images: Images) -> None:
    random = np.random.default_rng(3)
    count, height, width = images.shape
    colour = np.stack([images, random.permuted(images, axis=2), 255 - images], axis=-1)
    flip = torch.from_numpy(random.random(count) < 0.5)
    offsets = torch.from_numpy(random.integers(-2, 3, (count, 2)))
    centres = torch.from_numpy(np.stack([random.integers(0, height, count), random.integers(0, width, count)], axis=1))

    changes: list[Callable[[Tensor], Tensor]] = [
        lambda given: augment.mirror(given, flip),
        lambda given: augment.shift(given, offsets, 2),
        lambda given: augment.erase(given, centres, 3),
    ]
    for change in changes:
        expected = [change(torch.from_numpy(np.ascontiguousarray(colour[..., channel]))) for channel in range(3)]
        assert_equal(change(torch.from_numpy(colour)), torch.stack(expected, dim=-1).numpy())


def test_what_is_given_stays_as_it_was(images: Images) -> None:
    given, before = torch.from_numpy(images), images.copy()
    zeros = torch.zeros(len(images), 2, dtype=torch.int64)
    augment.mirror(given, torch.ones(len(images), dtype=torch.bool))
    augment.shift(given, zeros + 1, 1)
    augment.erase(given, zeros, 3)
    normalize(given, 10, 2)
    assert_equal(given, before)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 255.0), (72.94035223214286, 90.0211744246)])
def test_normalize_is_that_of_doubles(images: Images, mean: float, std: float) -> None:
    found = normalize(torch.from_numpy(images), mean, std)
    assert found.dtype == torch.float32
    assert found.shape == (len(images), 1, *images.shape[1:])
    expected = (images.astype(np.float64) - mean) / std
    np.testing.assert_allclose(found[:, 0].numpy(), expected, rtol=1e-6, atol=2e-7)


def test_normalize_takes_grey_by_the_same_three_steps_as_ever(images: Images) -> None:
    """Bit for bit, and in the layout that a network of somebody's own may call ``view`` on."""
    mean, std = 72.94035223214286, 90.0211744246
    found = normalize(torch.from_numpy(images), mean, std)
    assert torch.equal(found, torch.from_numpy(images)[:, None].float().sub_(mean).div_(std))
    assert found.is_contiguous()


@pytest.mark.parametrize(("mean", "std"), [((120.5, 90.0, 7.25), (70.0, 50.5, 3.0)), (0.0, 255.0)])
def test_normalize_takes_each_channel_by_its_own_numbers(images: Images, mean: object, std: object) -> None:
    colour = np.stack([images, images // 2, 255 - images], axis=-1)
    found = normalize(torch.from_numpy(colour), mean, std)  # type: ignore[arg-type]
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    expected = np.moveaxis((colour.astype(np.float64) - mean) / std, -1, 1)  # type: ignore[operator]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-5)


def test_resize_keeps_flat_images_flat_and_their_own_size_untouched() -> None:
    flat = torch.full((2, 1, 28, 28), 0.5)
    assert augment.resize(flat, 28) is flat
    for side in (9, 14, 40):
        torch.testing.assert_close(augment.resize(flat, side), torch.full((2, 1, side, side), 0.5))


def test_resize_keeps_the_mean_brightness() -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32))
    found = augment.resize(x, 14)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)), rtol=0.02, atol=0)
