"""What the tests of `data check` share: files of a data set to do harm to, and the names of what is found in them."""

import json
from pathlib import Path

import numpy as np

from fittingroom.audit import Report, check
from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.formats.idx import write_idx

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def write_folder(folder: Path, train: Dataset, test: Dataset | None = None, suffix: str = "") -> Path:
    """Write IDX files as Fashion-MNIST's are called."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, part in (("train", train), ("t10k", test)):
        if part is not None:
            write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", part.images)
            if part.labels is not None:
                write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", part.labels.astype(np.uint8))
    return folder


def found(*paths: Path | str) -> Report:
    """Check without the cache and without near-duplicates; what is to be printed as JSON must be JSON."""
    report = check(paths, near=False, cache=False)
    json.dumps([finding.as_json() for finding in report.findings])
    return report


def names(report: Report, severity: str | None = None) -> set[str]:
    return {finding.name for finding in report.findings if severity in (None, finding.severity)}


def parts(report: Report) -> dict[str, Dataset]:
    """The repaired parts of all paths, by role."""
    return {part.role or "train": part.dataset for each in report.checked for part in each.parts}


def replaced(dataset: Dataset, images: np.ndarray | None = None, labels: np.ndarray | None = None) -> Dataset:
    """The set with other images or labels."""
    return Dataset(
        dataset.images if images is None else np.ascontiguousarray(images),
        dataset.labels if labels is None else labels,
        dataset.classes,
        dataset.name,
    )


def both(data: Splits) -> tuple[Dataset, Dataset]:
    assert data.test is not None
    return data.train, data.test
