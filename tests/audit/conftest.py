"""The data in which these tests plant faults: the embedded sample, and the official files."""

from pathlib import Path

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.open import open_dataset

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def sample() -> Splits:
    """2,000 + 1,000 official images."""
    return open_dataset("sample", cache=False)


@pytest.fixture(scope="session")
def official(official_folder: Path) -> Splits:
    """The 70,000 official images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITTINGROOM_DATA", str(official_folder))
        return open_dataset("fashion-mnist", cache=False)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """300 of MNIST's digits; see scripts/make_manifest.py."""
    with np.load(HERE / "mnist-digits.npz") as file:
        return Dataset(file["x"], file["y"].astype(np.int64), tuple("0123456789"), "digits")
