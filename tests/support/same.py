"""How tests compare data sets."""

import numpy as np

from fittingroom.data.dataset import Dataset


def assert_same(found: Dataset | None, expected: Dataset | None) -> None:
    """Assert that both are there, with the same images, labels and class names."""
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.classes == expected.classes
