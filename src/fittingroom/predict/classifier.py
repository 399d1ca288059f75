"""A trained model as something to give pictures to, without torch: ``model.onnx`` has all that is needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import WEIGHTS, Artifact, open_artifact, sha256_of_weights
from fittingroom.artifact.onnx_model import MODEL, OnnxModel
from fittingroom.artifact.ood_score import OodScale, is_out_of_distribution
from fittingroom.data.preprocessing import FORMATS, SeenPicture, see_picture
from fittingroom.environment import warn_of_many_threads
from fittingroom.errors import ArtifactError, naming_extras
from fittingroom.evaluation.predictions import Predictions, refuse_nan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from PIL import Image
    from torch import Tensor

    from fittingroom.data.dataset import Dataset

    Single: TypeAlias = NDArray[Any] | Tensor | Image.Image | str | Path | bytes
    Given: TypeAlias = Single | Dataset | Sequence[Single]


class HasPath(Protocol):
    """A run: what predicts knows no more of it."""

    @property
    def path(self) -> Path:
        """Its folder."""


@dataclass(frozen=True, eq=False)
class Classified(Predictions):
    """What a model says of N images.

    Attributes:
        probabilities: float32 (N, C), each row summing to 1.
        predicted: int64 (N,), indices of the largest; of two classes with a threshold what that says.
        energies, residuals: float32 (N,), of which the score is made.
        typical: (k + 1)/(n + 1), k those of the n validation images that are at least as strange: float64 (N,), 0–1.
            None where the run has no scale for it. See :mod:`fittingroom.artifact.ood_score`.
    """

    typical: NDArray[np.float64] | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """The same as ``predicted``, by the name that ``model.onnx`` and the server give it."""
        return self.predicted

    @property
    def doubt(self) -> NDArray[np.float64] | None:
        """1 − :attr:`typical`, as 0.1 had it: float64 (N,), 0–1."""
        return None if self.typical is None else 1 - self.typical

    @property
    def unfamiliar(self) -> NDArray[np.bool_] | None:
        """Whether an image is flagged, by ``typical`` ≤ 0.05: bool (N,), at 5% false alarms."""
        return None if self.typical is None else is_out_of_distribution(self.typical)

    def subset(self, rows: slice) -> Classified:
        """What it says of some of them."""
        some = super().subset(rows)
        typical = None if self.typical is None else self.typical[rows]
        return Classified(some.probabilities, some.predicted, some.energies, some.residuals, typical)


@dataclass(frozen=True, repr=False)
class Classifier:
    """An opened model, ready to predict. :func:`load` makes it.

    Attributes:
        artifact: what it is.
        background: what is around the things in the training images, 0–255; of coloured ones (red, green, blue).
        ood_scale: what its energies and residuals mean; None for a run with fewer than 100 validation images, or
            without ``model.onnx``.

    Example:
        >>> import fittingroom as fr
        >>> model = fr.load("runs/plain-1")
        >>> answer = model.classify(fr.open_dataset("sample").test.images[:5])
        >>> answer.probabilities.shape, answer.labels.dtype, answer.typical.shape
        ((5, 10), dtype('int64'), (5,))
    """

    artifact: Artifact
    background: int | tuple[int, int, int]
    ood_scale: OodScale | None
    _answer: Callable[[NDArray[np.uint8]], Predictions] = field(repr=False)

    def __repr__(self) -> str:
        """``Classifier('runs/plain-1': 10 classes, 28×28 in grey)``."""
        height, width = self.artifact.image_size
        colour = "colour" if self.artifact.channels == 3 else "grey"
        return f"Classifier({str(self.artifact.path)!r}: {len(self.classes)} classes, {height}×{width} in {colour})"

    def __reduce__(self) -> tuple[Callable[..., Classifier], tuple[str]]:
        """A pickle names the run's folder, which has to be there where it is opened, and holds no model."""
        return load, (str(self.artifact.path.absolute()),)

    @property
    def doubt_scale(self) -> OodScale | None:
        """The old name of :attr:`ood_scale`, for this release."""
        warnings.warn("Classifier.doubt_scale is called ood_scale now", DeprecationWarning, stacklevel=2)
        return self.ood_scale

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the index is the label."""
        return self.artifact.classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image: (H, W), or (H, W, 3) where the model knows colour."""
        return self.artifact.image_size + ((3,) if self.artifact.channels == 3 else ())

    def image_of(
        self, content: bytes, where: str = "the picture", *, formats: tuple[str, ...] = FORMATS
    ) -> NDArray[np.uint8]:
        """The bytes of a picture file → the image that the model takes, in the way in which its training images came.

        Args:
            content: PNG, JPEG, …, of any size up to 50 million pixels.
            where: what an error message calls it.
            formats: that are tried, by Pillow's names.

        Raises:
            DataError: no picture, a damaged one, or one too large.
        """
        return self.see(content, where, formats=formats).image

    def see(self, content: bytes, where: str, *, formats: tuple[str, ...] = FORMATS, look: bool = False) -> SeenPicture:
        """The same as :meth:`image_of`, with the picture's own size and, with ``look``, whether it loses its colour."""
        # Only the conversion of product photos asks for it, and what that makes is grey.
        background = int(np.mean(self.background))
        return see_picture(
            content,
            where,
            self.artifact.preprocessing,
            formats=formats,
            training_background=background,
            look=look,
        )

    def classify(self, images: Given) -> Classified:
        """Probabilities, labels and out-of-distribution scores of images.

        Args:
            images: arrays or tensors of the training's size: uint8 (N, H, W) or one (H, W), 0–255, in colour
                (N, H, W, 3) or one (H, W, 3); also with the channels' axis where PyTorch has it, and floats of 0–1.
                Pictures of any size: a path (of a file, a folder, a pattern, a data set), an image of Pillow's, the
                bytes of a file. A :class:`Dataset`. Or a list of any but data sets. Pictures and data sets become
                images as in ``fittingroom predict``; what is worth knowing of that is said in a warning.

        Raises:
            DataError: what can't be read, or arrays of another size or scale than the model was trained on.
            ArtifactError: the model answers NaN.
        """
        if not (type(images) is np.ndarray and images.dtype == np.uint8 and images.shape[1:] == self.image_shape):
            from fittingroom.predict.given import images_given

            images = images_given(self, images)
        said = self._answer(images)
        refuse_nan(said, self.artifact.path)
        typical = None
        if self.ood_scale is not None and said.energies is not None:
            typical = self.ood_scale.typical(said.energies, said.residuals)
        return Classified(said.probabilities, said.predicted, said.energies, said.residuals, typical)

    def sets(self, said: Predictions, coverage: float = 0.95) -> list[list[str]]:
        """The classes, for each image, that hold the right one in ``coverage`` (0–1) of pictures like the validation's.

        The first answer is always the first of them. See :mod:`fittingroom.evaluation.conformal`.

        Args:
            said: what :meth:`classify` gave.
            coverage: the share of images whose set is to hold the right class.

        Raises:
            ArtifactError: the run has too few validation images for it, or was trained before 0.2.
        """
        from fittingroom.evaluation.conformal import sets_of

        limit = self.set_limit(coverage)
        return [
            [self.classes[label] for label in labels] for labels in sets_of(said.probabilities, limit, said.predicted)
        ]

    def set_limit(self, coverage: float) -> float:
        """The score up to which a class is in such a set, 0–1. Raises as :meth:`sets` does."""
        scores = self.artifact.conformal
        if scores is None:
            why = "it was trained without any, or by a version before 0.2"
            raise ArtifactError(f"{self.artifact.path}: scores of validation images expected, none found: {why}")
        try:
            return scores.limit(coverage)
        except ValueError as error:
            raise ArtifactError(f"{self.artifact.path}: sets that hold {100 * coverage:g}%: {error}") from None

    def predict_proba(self, images: Given) -> NDArray[np.float32]:
        """The probabilities of :meth:`classify`: float32 (N, C). Takes what it takes, and raises as it does."""
        return self.classify(images).probabilities

    def predict(self, images: Given) -> NDArray[np.int64]:
        """The class of each image: int64 (N,), indices into :attr:`classes`.

        That is the most probable one; of two classes, where the run chose a threshold, what that says. Takes what
        :meth:`classify` takes, and raises as it does.
        """
        return self.classify(images).predicted

    def predict_names(self, images: Given) -> list[str]:
        """The same by the names of the classes, N of them. Takes what :meth:`classify` takes, and raises as it does.

        Example:
            >>> import fittingroom as fr
            >>> fr.load("runs/plain-1").predict_names("shoe.jpg")[0] in fr.open_dataset("sample").train.classes
            True
        """
        return [self.classes[label] for label in self.predict(images).tolist()]


def load(
    path: HasPath | str | Path, *, trust_code: bool = False, threads: int | None = None, device: str = "cpu"
) -> Classifier:
    """Open the trained model of a run: its ``model.onnx``, or the network itself where there is none.

    Args:
        path: a run, or its folder.
        trust_code: permits executing the source that the user's own network came with; ``model.onnx`` needs no code.
        threads: of the processor, for one call of ONNX Runtime; None for all, or ``OMP_NUM_THREADS``.
        device: where the network computes if there is no ``model.onnx``, ``auto`` for the best there is; ONNX Runtime
            computes on the CPU.

    Raises:
        ArtifactError: no finished run there, damaged files, files that don't belong together, code that isn't trusted.

    Example:
        >>> import fittingroom as fr
        >>> model = fr.load("runs/plain-1")
        >>> images = fr.open_dataset("sample").test.images  # uint8 (1000, 28, 28)
        >>> names = model.predict_names(images)
        >>> names = [model.classes[label] for label in model.predict(images)]
        >>> len(names), max(names.count(name) for name in model.classes) < 500  # of ten classes of 100 images each
        (1000, True)
    """
    artifact = open_artifact(path if isinstance(path, str | Path) else path.path)
    warn_of_many_threads(threads)
    file = artifact.path / MODEL
    if not file.exists():
        return Classifier(artifact, 0, None, _by_torch(artifact, trust_code, threads, device))

    # A folder may have been trained anew, or put together by hand: both files must be of one model.
    model = OnnxModel(file, threads=threads)
    metadata, weights = model.metadata, artifact.path / WEIGHTS
    is_of_these = not weights.exists() or sha256_of_weights(artifact.path) == metadata.weights
    is_of_these &= (metadata.classes, metadata.image_size) == (artifact.classes, artifact.image_size)
    is_of_these &= metadata.preprocessing in (None, artifact.preprocessing)
    is_of_these &= (metadata.temperature, metadata.threshold) == (artifact.temperature, artifact.threshold)
    if not is_of_these:
        raise ArtifactError(
            f"{file}: the model of {WEIGHTS} beside it expected, another one found; "
            f"`fittingroom export {artifact.path}` makes it anew"
        )
    return Classifier(artifact, metadata.background, metadata.ood_scale, model.answer)


@naming_extras()
def _by_torch(
    artifact: Artifact, trust_code: bool, threads: int | None, device: str
) -> Callable[[NDArray[np.uint8]], Predictions]:
    """The network itself, for what could not be exported."""
    from fittingroom.artifact.shipped import Shipped
    from fittingroom.training.device import pick_device, prepare_torch

    prepare_torch(threads, deterministic=False)
    place = pick_device(device)
    network = artifact.network(trust_code=trust_code)
    shipped = Shipped(network, artifact.normalization, artifact.temperature, artifact.threshold).to(place)
    return partial(shipped.answer, device=place)
