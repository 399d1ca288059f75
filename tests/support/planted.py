"""What the tests of ``data check`` share: files of a data set to do harm to, and what a check says of them."""

import json
from pathlib import Path

import numpy as np

from fittingroom.audit import Finding, Report, check, fast_findings
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.splits import Splits

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def write_folder(folder: Path, train: Dataset, test: Dataset | None = None, suffix: str = "") -> Path:
    """Write IDX files, called as Fashion-MNIST's are; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, part in (("train", train), ("t10k", test)):
        if part is not None:
            write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", part.images)
            if part.labels is not None:
                write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", part.labels.astype(np.uint8))
    return folder


def checked(*paths: Path | str) -> Report:
    """Check without the cache and without near-duplicates; what is to be printed as JSON must be JSON."""
    report = check(paths, near=False, cache=False)
    json.dumps([finding.as_json() for finding in report.findings])
    return report


def only(report: Report, name: str) -> Finding:
    """The finding of this name, of which there is one."""
    (finding,) = (finding for finding in report.findings if finding.name == name)
    return finding


def names(report: Report, severity: str | None = None) -> set[str]:
    """The names of all findings, or of those of one severity."""
    return {finding.name for finding in report.findings if severity in (None, finding.severity)}


def fast_errors(data: Splits) -> set[str]:
    """The names of the errors that ``train`` would warn of."""
    return {finding.name for finding in fast_findings(data) if finding.severity == "error"}


def parts(report: Report) -> dict[str, Dataset]:
    """The repaired parts of all paths, by role."""
    return {part.role or "train": part.dataset for path in report.checked for part in path.parts}


def replaced(dataset: Dataset, images: np.ndarray | None = None, labels: np.ndarray | None = None) -> Dataset:
    """The set with other images or labels."""
    return Dataset(
        dataset.images if images is None else np.ascontiguousarray(images),
        dataset.labels if labels is None else labels,
        dataset.classes,
        dataset.name,
    )


def both(data: Splits) -> tuple[Dataset, Dataset]:
    """Train and test of a set that has both."""
    assert data.test is not None
    return data.train, data.test
