"""What a training starts from, and what its run keeps of it: ``start.safetensors`` and ``start-images.npy``.

A run is gone on from as it ships: its weights, its classes by name, its preprocessing and its normalization. The new
run has a copy of the weights, so that it can be resumed and verified without the other, and the hashes of all images
that they were trained on, so that whoever judges it knows what it has seen.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import SOURCE, WEIGHTS, Artifact, open_artifact, read_trusted_code
from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.normalization import Normalization, Scale
from fittingroom.errors import ArtifactError, DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import DataIdentity, Environment, StartingPoint
from fittingroom.runs.run import Run
from fittingroom.training.hold_out import hold_out

if TYPE_CHECKING:
    from fittingroom.models import ModelSource
    from fittingroom.training.start_weights import StartWeights

START, IMAGES = "start.safetensors", "start-images.npy"
DIGEST = 32  # bytes of a SHA-256

Hashes = NDArray[np.uint8]
"""The SHA-256 of images, of their pixels and of their files, sorted and each once: uint8 (N, 32)."""


@dataclass(frozen=True, eq=False)
class Origin:
    """A finished run that a training goes on from.

    Attributes:
        run: of one model.
        artifact: its model.
        code: the source of a user's own network, which may be executed; None for a model of the package.
    """

    run: Run
    artifact: Artifact
    code: str | None

    @property
    def name(self) -> str:
        """As the ledger calls it."""
        return self.run.name

    @property
    def model_source(self) -> ModelSource:
        """The constructor of its network."""
        from fittingroom.models import model_from_code, package_model

        model = self.artifact.model
        if self.code is None:
            return package_model(model)
        return model_from_code(model, self.code, model.rpartition(":")[2], str(self.run.path / SOURCE))

    def recipe_for(self, recipe: Recipe | None) -> Recipe:
        """A recipe for its network, by default its own.

        Model and arguments are those of the weights, and pixels go through what they went through. How pictures become
        images is the run's, where the recipe doesn't say otherwise.
        """
        recipe = recipe or self.run.recipe
        prepared = self.artifact.preprocessing
        return replace(
            recipe,
            model=self.artifact.model,
            model_args=dict(self.artifact.model_args),
            normalize="model",
            size=recipe.size or prepared.size,
            channels=recipe.channels or self.artifact.channels,  # type: ignore[arg-type]  # 1 or 3, as an artifact is
            resize=recipe.resize or prepared.resize,
            background=recipe.background or prepared.background,
        )

    def recipe_on(self, splits: Splits, recipe: Recipe) -> Recipe:
        """The recipe with the run's own cut where the data is its own: what it learned from validates nothing."""
        before = self.run.environment.data
        if splits.validation is not None or before.validation is not None:
            return recipe
        if not DataIdentity.of(splits.train).is_of_images(before.train):
            return recipe
        own = self.run.recipe
        return replace(recipe, validation=own.validation, split_seed=own.split_seed)

    def weights_file(self) -> bytes:
        """The content of its file of weights."""
        try:
            return (self.run.path / WEIGHTS).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{self.run.path / WEIGHTS}: can't be read: {error.strerror or error}") from None

    def seen(self, now: Splits) -> tuple[Hashes | None, str]:
        """The images that its weights were trained on, what they started from included; or None, and why not.

        Args:
            now: the data of the new run, which need not be opened twice where it is the same.
        """
        environment = self.run.environment
        is_same = DataIdentity.of(now.train).is_same_data(environment.data.train)
        try:
            splits = replace(now, validation=now.validation if environment.data.validation else None)
            splits = splits if is_same else self.run.open_data()
            train, _ = hold_out(splits, self.run.recipe, bundles_of(environment, splits))
            hashes = image_hashes(train)
            if environment.start is not None:
                earlier, unknown = read_seen(self.run.path, environment.start)
                if earlier is None:
                    return None, unknown
                hashes = np.unique(np.concatenate([hashes, earlier]), axis=0)
        except (DataError, ArtifactError, OSError) as error:
            return None, str(error)
        return hashes, ""

    def point(self, hashes: Hashes | None, weights: bytes) -> StartingPoint:
        """The record of it."""
        environment, normalization = self.run.environment, self.artifact.normalization
        return StartingPoint(
            kind="run",
            name=self.name,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            classes=self.artifact.classes,
            mean=_numbers(normalization.mean),
            std=_numbers(normalization.std),
            hashes=None if hashes is None else len(hashes),
            train=environment.data.train,
            validation=environment.data.validation,
            earlier=environment.start,
        )


def open_origin(run: Run | str | Path, *, trust_code: bool = False) -> Origin:
    """Open a run to go on from.

    Raises:
        ArtifactError: it isn't finished, has several members (they are listed), or code that isn't trusted.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    artifact = open_artifact(run.path)
    code = None
    if artifact.code_sha256 is not None:
        code = read_trusted_code(run.path, artifact.code_sha256, trusted=trust_code)
    return Origin(run, artifact, code)


@dataclass(frozen=True, eq=False)
class Begun:
    """What a new run is to keep of its start: the record, the content of the file of weights, and the images seen."""

    point: StartingPoint
    weights: bytes
    seen: Hashes | None


def begin_from(origin: Origin, splits: Splits, recipe: Recipe, source: ModelSource, environment: Environment) -> Begun:
    """Settle a start before a folder is made: whether the weights fit, what of the head is kept, what they have seen.

    Warns where validation images are among those that the weights were trained on, or where that can't be told.

    Raises:
        RecipeError: the weights don't fit the network for these images.
        ArtifactError: they are damaged.
    """
    weights = origin.weights_file()
    seen, unknown = origin.seen(splits)
    point = origin.point(seen, weights)
    point = replace(point, head=_fit_in(start_weights(weights, point), splits.train, recipe, source))

    # Not said of the images of the test set, which is looked at when it is judged by.
    _, validation = hold_out(splits, recipe, bundles_of(environment, splits))
    if seen is None:
        warnings.warn(f"what {point.name} was trained on can't be told: {unknown}", stacklevel=4)
    elif validation is not None and (among := count_among(validation, seen)):
        point = replace(point, validated_by=among)
        warnings.warn(
            f"{among:,} of the {len(validation):,} validation images are ones that {point.name} was trained on: the "
            "accuracy on validation says too much, and so does what is chosen by it",
            stacklevel=4,
        )
    return Begun(point, weights, seen)


def _fit_in(start: StartWeights, train: Dataset, recipe: Recipe, source: ModelSource) -> str:
    """Refuse weights that don't fit the network for these images; what of the head is kept, in words."""
    import torch

    from fittingroom.models import build_model
    from fittingroom.models.head import class_dimensions
    from fittingroom.training.start_weights import head_sentence, refuse_misfit

    arguments: dict[str, Any] = {
        "num_classes": train.num_classes,
        "image_size": train.image_size,
        "channels": train.channels,
        "model_args": recipe.model_args,
    }
    with torch.random.fork_rng([]):
        model = build_model(source, **arguments)
    head = class_dimensions(model, source, **arguments)
    refuse_misfit(start, model, head)
    return head_sentence(start, head, train.classes)


def image_hashes(dataset: Dataset) -> Hashes:
    """The hashes of a set's images: of the pixels and, where they were read from files, of these."""
    digests = [*dataset.image_hashes(), *(dataset.sources or ())]
    return np.unique(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST), axis=0)


def count_among(dataset: Dataset, hashes: Hashes) -> int:
    """How many images of a set are among ``hashes``, by their pixels or by their files."""
    return int(is_among(dataset, hashes).sum())


def is_among(dataset: Dataset, hashes: Hashes) -> NDArray[np.bool_]:
    """Whether each image is among ``hashes``: bool (N,)."""
    known = {row.tobytes() for row in hashes}
    pixels = dataset.image_hashes()
    sources: Sequence[bytes] = dataset.sources or pixels
    return np.array([p in known or s in known for p, s in zip(pixels, sources, strict=True)], dtype=bool)


def write_seen(folder: Path, hashes: Hashes) -> None:
    """Write ``start-images.npy``."""
    with atomic_write(folder / IMAGES) as file:
        np.save(file, hashes, allow_pickle=False)


def read_seen(folder: Path, point: StartingPoint) -> tuple[Hashes | None, str]:
    """The images that the start of the run in ``folder`` was trained on; or None, and why they aren't known."""
    if point.hashes is None:
        return None, f"the images that {point.name} was trained on, from which it started, aren't known"
    file = folder / IMAGES
    try:
        hashes = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return None, f"{file}: the hashes of images expected, but it can't be read: {error}"
    if hashes.dtype != np.uint8 or hashes.shape != (point.hashes, DIGEST):
        return None, f"{file}: {point.hashes:,} hashes of {DIGEST} bytes expected, {hashes.dtype} {hashes.shape} found"
    return hashes, ""


def write_weights(folder: Path, weights: bytes) -> None:
    """Write ``start.safetensors``."""
    with atomic_write(folder / START) as file:
        file.write(weights)


def copy_start(folder: Path, member: Path) -> None:
    """Give a member of a run of several seeds what the run keeps of its start; without taking its room again."""
    for name in (START, IMAGES):
        source, target = folder / name, member / name
        if not source.exists() or target.exists():
            continue
        try:
            os.link(source, target)
        except OSError:  # a file system without links
            shutil.copyfile(source, target)


def start_weights(weights: bytes, point: StartingPoint) -> StartWeights:
    """The weights of a start, from the content of its file.

    Raises:
        ArtifactError: they are damaged.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    from fittingroom.training.start_weights import StartWeights

    try:
        tensors = safetensors.torch.load(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{point.name}: weights in safetensors expected, but they are damaged: {error}") from None
    normalization = Normalization(_scale(point.mean), _scale(point.std)) if point.mean else None
    return StartWeights(
        name=point.name,
        tensors=tensors,
        classes=point.classes or None,
        normalization=normalization,
        sentence=f"{point.in_words}: {point.head}",
    )


def read_weights(folder: Path, point: StartingPoint) -> bytes:
    """The copy of the starting weights that a run has.

    Raises:
        ArtifactError: it is missing, or not the one that was recorded.
    """
    file = folder / START
    try:
        weights = file.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{file}: the weights that the run started from expected, but they can't be read: {error.strerror or error}"
        ) from None
    if hashlib.sha256(weights).hexdigest() != point.weights_sha256:
        raise ArtifactError(f"{file}: it was changed since the run was started: its SHA-256 is not the recorded one")
    return weights


def _numbers(scale: Scale) -> tuple[float, ...]:
    return tuple(map(float, scale)) if isinstance(scale, tuple) else (float(scale),)


def _scale(numbers: tuple[float, ...]) -> Scale:
    if len(numbers) == 1:
        return numbers[0]
    red, green, blue = numbers
    return red, green, blue
