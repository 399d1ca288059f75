"""Fashion-MNIST for the scripts: as it is, as Kaggle's CSV files, and several times over."""

from __future__ import annotations

from pathlib import Path

from fittingroom.data.convert import convert
from fittingroom.data.dataset import concatenate
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits

QUICK = ("--epochs", "1", "--set", "validation=200")  # options of a training for a quick try on the sample
DATA = Path(__file__).resolve().parent / "data"


def name(*, quick: bool) -> str:
    """What ``fittingroom`` calls the data: the official ones, or the embedded sample for a quick try of a script."""
    return "sample" if quick else "fashion-mnist"


def splits(*, quick: bool) -> Splits:
    """The data that :func:`name` names."""
    return open_dataset(name(quick=quick))


def csv_folder(*, quick: bool) -> Path:
    """A folder with train.csv and test.csv in Kaggle's format, made on first use."""
    folder = DATA / f"{name(quick=quick)}-csv"
    if not folder.exists():
        convert(splits(quick=quick), folder, to="csv")
    return folder


def times_over(times: int, *, quick: bool) -> Path:
    """An npz file with the training images ``times`` times over and the test images once, made on first use."""
    file = DATA / f"{name(quick=quick)}-x{times}.npz"
    if not file.exists():
        data = splits(quick=quick)
        convert(Splits(concatenate([data.train] * times, f"train ×{times}"), test=data.test), file)
    return file
