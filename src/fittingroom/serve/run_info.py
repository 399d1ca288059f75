"""What the page shows of a run beside its answers: its scores, a sheet of examples, its mistakes, its report."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import WEIGHTS
from fittingroom.artifact.onnx_model import MODEL
from fittingroom.errors import DataError, FittingRoomError
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.runs.environment_record import DataIdentity
from fittingroom.runs.run import Run

MAX_EXAMPLES = 100
MAX_MISTAKES = 60  # of one kind, the surest first
EXAMPLES_FILE = "examples.npz"
LARGEST_EXAMPLES = 2 * MAX_EXAMPLES * 3 << 16  # bytes, unpacked: images of 256×256 in colour, with room to spare
UNJUDGED: dict[str, Any] = {"test": None, "validation": None}


FileIdentity: TypeAlias = tuple[int, ...]


def weights_of(run: Run) -> FileIdentity | None:
    """What tells a run's model from one that takes its place: device, inode, size, time. None: there is none."""
    for name in (WEIGHTS, MODEL):
        try:
            found = (run.path / name).stat()
        except OSError:
            continue
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return None


def summary(run: Run | None) -> dict[str, Any]:
    """Accuracy on test (or validation) with its interval, the confusion matrix, and what else there is to see.

    Of no run, such as one whose folder was replaced, there is nothing.
    """
    # The model is written before the result, and a run may have been stopped between the two.
    result = _readable_result(run) if run and run.is_finished else UNJUDGED
    judged_on = next((split for split in ("test", "validation") if result[split]), None)
    scores = result[judged_on] if judged_on else None

    return {
        "judged_on": judged_on,
        "accuracy": scores and scores["accuracy"],
        "interval": scores and scores["interval"],
        "n": scores and scores["n"],
        "balanced_accuracy": scores and scores.get("balanced_accuracy"),  # where classes are of very different sizes
        "confusion": scores and scores["confusion"],
        "report": run is not None and report_of(run) is not None,
        "mistakes": run is not None and judged_on is not None and run.predictions_file(judged_on).exists(),
    }


def report_of(run: Run) -> Path | None:
    """The run's ``report.html``, if it has one."""
    file = run.path / "report.html"
    return file if file.exists() else None


def examples(run: Run, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Up to a hundred images of the test set, or of train where there is none, evenly of all classes.

    The run keeps them from the first time on.
    To show images is no evaluation on the test set: the model isn't judged on them.
    """
    file = run.path / EXAMPLES_FILE
    try:
        if not file.exists():
            _keep_examples(run, file)
        images, labels = _kept_examples(file)
        return [{"image": png_uri(image), "class": classes[label]} for image, label in zip(images, labels, strict=True)]

    # Its data is not at hand, the folder can't be written to, or the file is not what was kept.
    except (FittingRoomError, OSError, ValueError, KeyError, IndexError, MemoryError, zipfile.BadZipFile):
        return []


def _kept_examples(file: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """Images and labels of the sheet. Raises ValueError for a file that would unpack to more than a sheet has."""
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_EXAMPLES:
            raise ValueError("a sheet of a hundred images expected")
    with np.load(file, allow_pickle=False) as kept:
        images, labels = kept["images"], kept["labels"]
    is_sheet = images.dtype == np.uint8 and 0 < len(images) <= MAX_EXAMPLES and images.ndim in (3, 4)
    if not is_sheet or labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError("a sheet of a hundred images expected")
    return images, labels.tolist()


def mistakes(run: Run, truth: str, predicted: str) -> list[dict[str, Any]]:
    """Images of class ``truth`` that were taken for ``predicted``, the surest first: row, file, probability, image."""
    judged_on = summary(run)["judged_on"]
    if judged_on is None:
        return []
    table = read_predictions(run.predictions_file(judged_on), run.artifact.classes)
    number = table.classes.index
    rows = np.flatnonzero((table.truth == number(truth)) & (table.predicted == number(predicted)))
    surest = rows[np.argsort(-table.confidence[rows], kind="stable")][:MAX_MISTAKES].tolist()

    # Predictions name images by their hashes, whatever has become of the data's order since.
    try:
        images = run.images(judged_on, {table.images[row] for row in surest})
    except FittingRoomError:
        images = {}  # its data is not at hand
    return [
        {
            "row": row,
            "file": None if table.files is None else table.files[row],
            "probability": float(table.confidence[row]),
            "image": png_uri(images[table.images[row]]) if table.images[row] in images else None,
        }
        for row in surest
    ]


def _readable_result(run: Run) -> dict[str, Any]:
    """What ``result.json`` says; a damaged one hides neither this model nor the others beside it."""
    try:
        return run.result
    except FittingRoomError:
        return UNJUDGED


def _keep_examples(run: Run, file: Path) -> None:
    """Write the sheet into the run's folder. Raises FittingRoomError where the data is not at hand."""
    splits = run.open_data()
    dataset = splits.test or splits.train

    # A sent run may name a folder of anyone's: its pictures are shown only if the run knows them by their fingerprint.
    recorded = run.environment.data.test if splits.test else run.environment.data.train
    if recorded is None or not DataIdentity.of(dataset).is_of_images(recorded):
        raise DataError(f"{dataset.name}: these are not the images that {run.path} was made with")
    labels = dataset.labels
    assert labels is not None, "a run's data is labelled"

    # The first of each class, rounded up, so that few classes fill the sheet, too.
    share = -(-MAX_EXAMPLES // dataset.num_classes)
    rows = [np.flatnonzero(labels == label)[:share] for label in range(dataset.num_classes)]
    shown = np.concatenate(rows)[:MAX_EXAMPLES]
    with atomic_write(file, follow_links=False) as stream:
        np.savez_compressed(stream, images=dataset.images[shown], labels=labels[shown])
