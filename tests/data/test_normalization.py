import numpy as np
import pytest

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.normalization import Normalization, normalization_of, pixel_mean_std
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
