"""``predictions.parquet`` read back: what a model said of each image of a labelled set. Torch is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.errors import ArtifactError

FORMAT = "1"


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """A model's probabilities and the truth, a row an image.

    Attributes:
        classes: names; index = label.
        images: SHA-256 of (shape, pixels) of each image, hexadecimal.
        labels: true classes, int64 (N,), 0 to C - 1.
        probabilities: float32 (N, C); rows sum to 1.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image; the first of several that tie."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1))


def read_predictions(path: Path, classes: Sequence[str]) -> PredictionTable:
    """Read what :meth:`fittingroom.training.inference.Predictions.save` wrote of a labelled set.

    Args:
        path: the Parquet file.
        classes: names in the order of the model's outputs, as in the run's ``config.json``.

    Raises:
        ArtifactError: the file is missing, damaged, of another format, without labels, or of other classes.
    """
    import polars as pl

    try:
        written = pl.read_parquet_metadata(path).get("format")
        table = pl.read_parquet(path, columns=["image", "label", *(f"p{i}" for i in range(len(classes)))])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path}: predictions of {len(classes)} classes expected: {error}") from None
    if written != FORMAT:
        raise ArtifactError(f"{path}: format {FORMAT} expected, {written!r} found: another version of fittingroom's")
    number = {name: i for i, name in enumerate(classes)}
    strange = set(table["label"].unique()) - number.keys()
    if strange:
        raise ArtifactError(f"{path}: labels among the model's classes expected, found {sorted(map(str, strange))}")
    return PredictionTable(
        classes=tuple(classes),
        images=tuple(table["image"]),
        labels=np.array([number[name] for name in table["label"]], dtype=np.int64),
        probabilities=table.drop("image", "label").to_numpy().astype(np.float32, copy=False),
    )
