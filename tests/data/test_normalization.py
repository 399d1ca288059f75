import json
from dataclasses import asdict

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization, channel_mean_std, normalization_of, pixel_mean_std
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError


def of(images: object) -> Dataset:
    return Dataset(np.asarray(images, dtype=np.uint8), None, (), "drawn")


def test_none_feeds_0_to_255_and_unit_0_to_1(tiny: Splits) -> None:
    assert normalization_of("none", tiny.train) == Normalization(0.0, 1.0)
    assert normalization_of("unit", tiny.train) == Normalization(0.0, 255.0)


def test_standard_is_the_mean_and_deviation_of_the_training_set(tiny: Splits) -> None:
    assert normalization_of("standard", tiny.train) == Normalization(*pixel_mean_std(tiny.train))


@pytest.mark.parametrize("n", [1, 9_999, 10_000, 10_001, 25_000])
def test_mean_and_deviation_are_those_of_doubles_over_all_pixels(n: int) -> None:
    images = np.random.default_rng(n).integers(0, 256, (n, 3, 5), dtype=np.uint8)
    pixels = images.astype(np.float64)
    assert pixel_mean_std(of(images)) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)


def test_mean_and_deviation_are_exact_where_the_answer_is_whole() -> None:
    assert pixel_mean_std(of([[[0, 10]], [[20, 10]], [[5, 15]], [[10, 10]]])) == (10.0, (250 / 8) ** 0.5)
    assert pixel_mean_std(of([[[0, 254]]])) == (127.0, 127.0)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_set_of_equal_pixels_is_refused_with_their_value(value: int) -> None:
    with pytest.raises(DataError, match=f"drawn: pixels that differ expected, all are {value}"):
        normalization_of("standard", of(np.full((1000, 3, 3), value)))


def test_colour_is_normalized_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, [10, 100, 256], (2_500, 4, 5, 3), dtype=np.uint8)
    pixels = images.astype(np.float64).reshape(-1, 3)
    made = normalization_of("standard", of(images))
    assert made.mean == pytest.approx(tuple(pixels.mean(0)), rel=1e-12)
    assert made.std == pytest.approx(tuple(pixels.std(0)), rel=1e-12)
    assert channel_mean_std(of(images)) == list(zip(made.mean, made.std, strict=True))  # type: ignore[arg-type]
    assert pixel_mean_std(of(images)) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)
    assert normalization_of("none", of(images)) == Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert normalization_of("unit", of(images)) == Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


def test_a_channel_of_equal_values_is_only_made_zero() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    images[..., 2] = 7
    made = normalization_of("standard", of(images))
    assert isinstance(made.mean, tuple)
    assert isinstance(made.std, tuple)
    assert (made.mean[2], made.std[2]) == (7.0, 1.0)
    with pytest.raises(DataError, match="drawn: pixels that differ expected, all are 1 2 3"):
        normalization_of("standard", of(np.full((10, 3, 3, 3), (1, 2, 3))))


def test_it_comes_back_from_json() -> None:
    for made in (Normalization(1.5, 2.0), Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))):
        assert Normalization(**json.loads(json.dumps(asdict(made)))) == made
