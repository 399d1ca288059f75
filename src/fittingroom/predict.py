"""A trained model as something to give pictures to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact import Artifact, open_artifact
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError


@dataclass(frozen=True)
class Classifier:
    """An opened artifact with its network, ready to predict. :func:`load` makes it."""

    artifact: Artifact
    network: Any

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the index is the label."""
        return self.artifact.classes

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W) or one image (H, W), 0–255 → float32 probabilities (N, C), each row summing to 1.

        Raises:
            DataError: another dtype or image size than the model was trained on.
        """
        from fittingroom.evaluate import predict_dataset

        images = np.asarray(images)
        images = images[None] if images.ndim == 2 else images
        if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1:] != self.artifact.image_size:
            height, width = self.artifact.image_size
            raise DataError(
                f"images: uint8 (N, {height}, {width}) expected, as the model was trained on, "
                f"{images.dtype} {images.shape} found"
            )
        if len(images) == 0:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        dataset = Dataset(images, None, (), "images")
        return predict_dataset(self.network, dataset, self.artifact.normalization).probabilities

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The most probable class of each image: int64 (N,), indices into :attr:`classes`. Raises as predict_proba."""
        labels_N: NDArray[np.int64] = self.predict_proba(images).argmax(axis=1)
        return labels_N


def load(path: str | Path, *, trust_code: bool = False) -> Classifier:
    """Open the trained model of a run.

    Args:
        path: the run's folder.
        trust_code: permits executing the source that the user's own network came with.

    Raises:
        ArtifactError: no finished run there, damaged files, code that isn't trusted.
    """
    artifact = open_artifact(path)
    return Classifier(artifact, artifact.network(trust_code=trust_code))
