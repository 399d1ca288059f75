"""A trained model as something to give pictures to, without torch: ``model.onnx`` has all that is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import WEIGHTS, Artifact, open_artifact
from fittingroom.artifact.onnx_model import MODEL, Answers, OnnxModel
from fittingroom.artifact.ood_score import DoubtScale, is_doubtful
from fittingroom.errors import ArtifactError, DataError


class Classified(NamedTuple):
    """What a model says of N images.

    Attributes:
        probabilities: float32 (N, C), each row summing to 1.
        labels: int64 (N,), indices of the largest.
        doubt: float64 (N,), 0–1: the share of validation images that looked more like those of the training; None
            where the run has no scale for it.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    doubt: NDArray[np.float64] | None

    @property
    def unfamiliar(self) -> NDArray[np.bool_] | None:
        """Whether an image looks like nothing the model was trained on: bool (N,), at 5 % false alarms."""
        return None if self.doubt is None else is_doubtful(self.doubt)

    def of(self, rows: slice) -> Classified:
        """What it says of some of them."""
        doubt = None if self.doubt is None else self.doubt[rows]
        return Classified(self.probabilities[rows], self.labels[rows], doubt)


@dataclass(frozen=True)
class Classifier:
    """An opened model, ready to predict. :func:`load` makes it.

    Attributes:
        artifact: what it is.
        background: what is around the things in the training images, 0–255.
        doubt_scale: what its energies mean; None for a run without validation images, or without ``model.onnx``.

    Example:
        >>> import fittingroom as fr
        >>> model = fr.load("runs/plain-1")
        >>> answer = model.classify(fr.open_dataset("sample").test.images[:5])
        >>> answer.probabilities.shape, answer.labels.dtype, answer.doubt.shape
        ((5, 10), dtype('int64'), (5,))
    """

    artifact: Artifact
    background: int
    doubt_scale: DoubtScale | None
    _answer: Callable[[NDArray[np.uint8]], Answers] = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the index is the label."""
        return self.artifact.classes

    def classify(self, images: NDArray[np.uint8]) -> Classified:
        """uint8 (N, H, W) or one image (H, W), 0–255 → probabilities, labels and doubt.

        Raises:
            DataError: another dtype or image size than the model was trained on.
        """
        images = np.asarray(images)
        images = images[None] if images.ndim == 2 else images
        if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1:] != self.artifact.image_size:
            height, width = self.artifact.image_size
            raise DataError(
                f"images: uint8 (N, {height}, {width}) expected, as the model was trained on, "
                f"{images.dtype} {images.shape} found"
            )
        answers = self._answer(images)
        doubt = None if self.doubt_scale is None else self.doubt_scale.doubt(answers.energies)
        return Classified(answers.probabilities, answers.labels, doubt)

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities of :meth:`classify`: float32 (N, C). Raises as it does."""
        return self.classify(images).probabilities

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The most probable class of each image: int64 (N,), indices into :attr:`classes`. Raises as classify."""
        return self.classify(images).labels


def load(path: str | Path, *, trust_code: bool = False, threads: int | None = None) -> Classifier:
    """Open the trained model of a run: its ``model.onnx``, or the network itself where there is none.

    Args:
        path: the run's folder.
        trust_code: permits executing the source that the user's own network came with; ``model.onnx`` needs no code.
        threads: of the processor, for one call of ONNX Runtime; None for all, or ``OMP_NUM_THREADS``.

    Raises:
        ArtifactError: no finished run there, damaged files, files that don't belong together, code that isn't trusted.

    Example:
        >>> import fittingroom as fr
        >>> model = fr.load("runs/plain-1")
        >>> images = fr.open_dataset("sample").test.images  # uint8 (1000, 28, 28)
        >>> names = [model.classes[label] for label in model.predict(images)]
        >>> len(names), max(names.count(name) for name in model.classes) < 500  # of ten classes of 100 images each
        (1000, True)
    """
    artifact = open_artifact(path)
    file = artifact.path / MODEL
    if not file.exists():
        return Classifier(artifact, 0, None, _by_torch(artifact, trust_code))
    model = OnnxModel(file, threads=threads)
    weights = artifact.path / WEIGHTS
    is_of_these = not weights.exists() or hashlib.sha256(weights.read_bytes()).hexdigest() == model.card.weights
    if model.card.classes != artifact.classes or model.card.image_size != artifact.image_size or not is_of_these:
        raise ArtifactError(
            f"{file}: the model of {WEIGHTS} beside it expected, another one found; "
            f"`fittingroom export {artifact.path}` makes it anew"
        )
    return Classifier(artifact, model.card.background, model.card.doubt, model.answer)


def _by_torch(artifact: Artifact, trust_code: bool) -> Callable[[NDArray[np.uint8]], Answers]:
    """The network itself, for what could not be exported."""
    from fittingroom.artifact.export import Shipped

    return Shipped(artifact.network(trust_code=trust_code), artifact.normalization).answer
