"""What the page tells of a run beside its answers: how good it is, a sheet of examples, its mistakes, its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.errors import FittingRoomError
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.runs.run import Run

EXAMPLES = 100
MISTAKES = 60  # of one kind, the surest first
EXAMPLES_FILE = "examples.npz"


def summary(run: Run) -> dict[str, Any]:
    """Accuracy on test (or validation) with its interval, the confusion matrix, and what else there is to see."""
    result = run.result if run.is_finished else {"test": None, "validation": None}
    on = next((split for split in ("test", "validation") if result[split]), None)
    scores = result[on] if on else None
    return {
        "judged_on": on,
        "accuracy": scores and scores["accuracy"],
        "interval": scores and scores["interval"],
        "n": scores and scores["n"],
        "confusion": scores and scores["confusion"],
        "report": report_of(run) is not None,
        "mistakes": on is not None and _predictions(run, on).exists(),
    }


def report_of(run: Run) -> Path | None:
    """The run's ``report.html``, if it has one."""
    file = run.path / "report.html"
    return file if file.exists() else None


def examples(run: Run, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """A hundred images of the test set, evenly of all classes, which the run keeps from the first time on.

    Looking at images is no look at the test set: the model isn't judged on them.
    """
    file = run.path / EXAMPLES_FILE
    try:
        if not file.exists():
            _keep_examples(run, file)
        with np.load(file, allow_pickle=False) as kept:
            images, labels = kept["images"], kept["labels"]
    except (FittingRoomError, OSError, ValueError, KeyError):
        return []  # its data is not at hand, or the folder can't be written to
    return [
        {"image": png_uri(image), "class": classes[label]} for image, label in zip(images, labels.tolist(), strict=True)
    ]


def mistakes(run: Run, truth: str, predicted: str) -> list[dict[str, Any]]:
    """Images of class ``truth`` that were taken for ``predicted``, the surest first: row, probability, image."""
    import polars as pl

    on = summary(run)["judged_on"]
    if on is None:
        return []
    table = pl.read_parquet(_predictions(run, on)).filter(pl.col("label") == truth, pl.col("predicted") == predicted)
    table = table.with_columns(p=pl.max_horizontal(pl.col("^p[0-9]+$"))).sort("p", descending=True).head(MISTAKES)
    digests = table["image"].to_list()
    images = _images_by_hash(run, on, digests)
    return [
        {"row": row, "probability": probability, "image": images.get(digest)}
        for digest, row, probability in table.select("image", "row", "p").iter_rows()
    ]


def _predictions(run: Run, on: str) -> Path:
    return run.path / ("predictions.parquet" if on == "test" else "predictions-validation.parquet")


def _images_by_hash(run: Run, on: str, digests: list[str]) -> dict[str, str]:
    """The images of these hashes, as data URIs; those that are not at hand are left out."""
    try:
        splits = run.open_data()
    except FittingRoomError:
        return {}
    dataset = splits.test if on == "test" else splits.validation or splits.train
    if dataset is None:
        return {}
    wanted = set(digests)
    hashes = (digest.hex() for digest in dataset.image_hashes())
    return {digest: png_uri(dataset.images[row]) for row, digest in enumerate(hashes) if digest in wanted}


def _keep_examples(run: Run, file: Path) -> None:
    splits = run.open_data()
    dataset = splits.test or splits.train
    labels = dataset.labels
    assert labels is not None, "a run's data is labelled"
    share = -(-EXAMPLES // dataset.num_classes)
    rows = np.concatenate([np.flatnonzero(labels == label)[:share] for label in range(dataset.num_classes)])[:EXAMPLES]
    with atomic_write(file) as stream:
        np.savez_compressed(stream, images=dataset.images[rows], labels=labels[rows])
