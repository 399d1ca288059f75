"""What the tests of `fittingroom.data` share: a cache of their own, and a tiny set with two parts."""

from pathlib import Path

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FITTINGROOM_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny() -> Splits:
    """12 + 6 random images of 4×4, classes "0", "1", "2"."""
    random = np.random.default_rng(0)

    def part(n: int, name: str) -> Dataset:
        images = random.integers(0, 256, (n, 4, 4), dtype=np.uint8)
        return Dataset(images, np.arange(n) % 3, ("0", "1", "2"), name)

    return Splits(part(12, "tiny train"), test=part(6, "tiny test"))
