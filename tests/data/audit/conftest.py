"""The data in which these tests plant faults: the embedded sample, and the official files where they are."""

from pathlib import Path

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.open import open_dataset
from fittingroom.data.source import KNOWN
from fittingroom.errors import DataError

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def sample() -> Splits:
    """2,000 + 1,000 official images."""
    return open_dataset("sample", cache=False)


@pytest.fixture(scope="session")
def official() -> Splits:
    """The 70,000 official images; skips where they aren't on this machine."""
    folder = KNOWN["fashion-mnist"].debian_folder
    if folder is None or not folder.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    try:
        return open_dataset("fashion-mnist", cache=False)
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """300 of MNIST's digits; see scripts/make_manifest.py."""
    with np.load(HERE / "mnist-digits.npz") as file:
        return Dataset(file["x"], file["y"].astype(np.int64), tuple("0123456789"), "digits")
