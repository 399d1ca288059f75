"""Where a training's first weights come from: a finished run that it goes on from, or a file of weights.

A run is gone on from as it ships: its weights, its classes by name, its preprocessing and its normalization.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.artifact.artifact import MAX_WEIGHTS, WEIGHTS, Artifact, open_artifact
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.download import Progress
from fittingroom.data.normalization import Scale
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, DataError
from fittingroom.files.run_file import read_run_file
from fittingroom.own_code.name import CodeName, OwnCode, attribute_of
from fittingroom.recipes.code_keys import own_names
from fittingroom.recipes.picture_keys import LARGEST_SIDE
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import Ancestor, DataIdentity, Environment, StartingPoint, StartKind
from fittingroom.runs.run import Run
from fittingroom.runs.starting_point import Hashes, count_among, image_hashes, read_seen, start_weights
from fittingroom.training.hold_out import hold_out

if TYPE_CHECKING:
    from fittingroom.models import ModelSource
    from fittingroom.training.start_weights import StartWeights

NEW = "none"  # what ``weights`` says for new ones
USUAL_SIZE = (224, 224)  # of the images of a network whose own are larger than any that are trained on here


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
    code: OwnCode | None

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return self.run.name

    @property
    def model(self) -> str:
        """The name of its network, with the code that it means."""
        return self.artifact.model if self.code is None else CodeName(self.artifact.model, self.code)

    def kept_names(self) -> list[tuple[str, str]]:
        """Kind and name of each piece of the run's own code but its network, by the copies that it keeps."""
        kept = self.run.environment.code
        return [
            (kind, f"{self.run.path / kept[name].folder / kept[name].main}:{attribute_of(name)}")
            for kind, name in own_names(self.run.recipe)
            if kind != "model" and name in kept
        ]

    def recipe_for(self, recipe: Recipe | None) -> Recipe:
        """A recipe for its network, by default its own.

        Model and arguments are those of the weights, and pixels go through what they went through. How pictures become
        images is the run's, where the recipe doesn't say otherwise.
        """
        recipe = recipe or self.run.recipe
        prepared = self.artifact.preprocessing
        return replace(
            recipe,
            model=self.model,
            model_args=dict(self.artifact.model_args),
            normalize="model",
            size=recipe.size or prepared.size,
            channels=recipe.channels or self.artifact.channels,  # type: ignore[arg-type]  # 1 or 3, as an artifact is
            resize=recipe.resize or prepared.resize,
            background=recipe.background or prepared.background,
        )

    def recipe_on(self, splits: Splits, recipe: Recipe) -> Recipe:
        """The recipe with the run's own cut where the data is its own: what it learned from validates nothing."""
        if not self._cuts(splits):
            return recipe
        own = self.run.recipe
        return replace(recipe, validation=own.validation, split_seed=own.split_seed)

    def cut_on(self, splits: Splits, environment: Environment) -> Environment:
        """The record with what the run kept together, in the same case."""
        if not self._cuts(splits):
            return environment
        own = self.run.environment
        return replace(environment, cut=own.cut, together=own.together)

    def _cuts(self, splits: Splits) -> bool:
        """Whether the run's own cut is to be made again: its validation images came from these, in this order."""
        before = self.run.environment.data
        is_cut = splits.validation is None and before.validation is None
        return is_cut and DataIdentity.of(splits.train).is_same_data(before.train)

    def weights(self, train: Dataset, recipe: Recipe, source: ModelSource) -> bytes:
        """The content of its file of weights."""
        return read_run_file(self.run.path / WEIGHTS, "weights", limit=MAX_WEIGHTS)

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

            # A run that went on itself has seen the images of all that came before it.
            if environment.start is not None:
                earlier, unknown = read_seen(self.run.path, environment.start)
                if earlier is None:
                    return None, unknown
                hashes = np.unique(np.concatenate([hashes, earlier]), axis=0)

        # Data that is gone keeps nobody from going on: whether validation is among it stays unknown, which is said.
        except (DataError, ArtifactError, OSError) as error:
            return None, str(error)
        return hashes, ""

    def point(self, hashes: Hashes | None, weights: bytes, train: Dataset) -> StartingPoint:
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
            earlier=_ancestors(environment.start),
        )


def open_origin(run: Run | str | Path, *, trust_code: bool = False) -> Origin:
    """Open a run to go on from.

    Raises:
        ArtifactError: it isn't finished, has several members (they are listed), or code that isn't trusted.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    artifact = open_artifact(run.path)
    return Origin(run, artifact, artifact.own_code(trusted=trust_code))


@dataclass(frozen=True, eq=False)
class WeightsOrigin:
    """A file of weights that a training starts from, or those that timm has for a network.

    Attributes:
        name: of the file, or ``timm:NAME``.
        kind: ``file`` or ``timm``, as the record has it.
        path: of the file.
        scales: mean and std of each channel, red, green and blue, that pixels went through, on the scale of 0–255;
            empty where they aren't known.
    """

    name: str
    kind: StartKind
    path: Path
    scales: tuple[tuple[float, ...], tuple[float, ...]]

    def recipe_for(self, recipe: Recipe) -> Recipe:
        """The recipe with the size of images that the network knows, where it doesn't say one."""
        from fittingroom.models.timm_networks import is_timm, own_size

        if recipe.size is not None or not is_timm(recipe.model):
            return recipe
        height, width = own_size(recipe.model)
        size = (height, width) if max(height, width) <= LARGEST_SIDE else USUAL_SIZE
        return replace(recipe, size=size)

    def recipe_on(self, splits: Splits, recipe: Recipe) -> Recipe:
        """The recipe as it is."""
        return recipe

    def cut_on(self, splits: Splits, environment: Environment) -> Environment:
        """The record as it is."""
        return environment

    def weights(self, train: Dataset, recipe: Recipe, source: ModelSource) -> bytes:
        """The tensors of the file, those of timm's networks fitted to these images.

        Raises:
            DataError: they can't be read, or are those of another network.
        """
        import torch

        from fittingroom.models import build_model
        from fittingroom.models.timm_networks import is_timm
        from fittingroom.training.checkpoint import tensors_to_bytes
        from fittingroom.training.pretrained import fit_to_timm, read_weights_file

        tensors = read_weights_file(self.path)
        if is_timm(recipe.model):
            with torch.random.fork_rng([]):
                network = build_model(
                    source,
                    num_classes=train.num_classes,
                    image_size=train.image_size,
                    channels=train.channels,
                    model_args=recipe.model_args,
                )
            tensors = fit_to_timm(
                recipe.model,
                tensors,
                network,
                num_classes=train.num_classes,
                channels=train.channels,
                where=str(self.path),
            )
        return tensors_to_bytes(tensors)

    def seen(self, now: Splits) -> tuple[Hashes | None, str]:
        """Unknown, as a file doesn't say what it was trained on; which is not worth a warning each time."""
        return None, ""

    def point(self, hashes: Hashes | None, weights: bytes, train: Dataset) -> StartingPoint:
        """The record of it."""
        # Grey is one channel: the mean of the three, to whose sum the first convolution is fitted.
        mean, std = (scale if train.channels == 3 or not scale else (sum(scale) / len(scale),) for scale in self.scales)
        return StartingPoint(
            kind=self.kind, name=self.name, weights_sha256=hashlib.sha256(weights).hexdigest(), mean=mean, std=std
        )


def open_weights(recipe: Recipe, weights: str | Path | None, progress: Progress | None = None) -> WeightsOrigin | None:
    """What a training of ``recipe`` starts from.

    Args:
        recipe: its model decides.
        weights: a file; ``none`` for new weights. None: for a network of timm its own, fetched if need be; for others
            new ones.
        progress: called while they are fetched.

    Raises:
        DataError: the file isn't there, or they can't be fetched.
    """
    from fittingroom.models.timm_networks import is_timm, own_scales

    if str(weights) == NEW or (weights is None and not is_timm(recipe.model)):
        return None
    scales = own_scales(recipe.model) if is_timm(recipe.model) else ((), ())
    if weights is not None:
        path = Path(weights)
        if not path.is_file():
            raise DataError(f"{path}: a file of weights expected, no such file found")
        return WeightsOrigin(path.name, "file", path, scales)

    from fittingroom.training.pretrained import fetch_timm_weights

    fetched = fetch_timm_weights(recipe.model, progress or (lambda _what, _done, _all: None))
    return WeightsOrigin(recipe.model, "timm", fetched, scales)


@dataclass(frozen=True, eq=False)
class Begun:
    """What a new run is to keep of its start: the record, the content of the file of weights, and the images seen."""

    point: StartingPoint
    weights: bytes
    seen: Hashes | None


def begin_from(
    origin: Origin | WeightsOrigin, splits: Splits, recipe: Recipe, source: ModelSource, environment: Environment
) -> Begun:
    """Settle a start before a folder is made: whether the weights fit, what of the head is kept, what they have seen.

    Warns where validation images are among those that the weights were trained on, or where that can't be told.

    Raises:
        RecipeError: the weights don't fit the network for these images.
        ArtifactError, DataError: they are damaged.
    """
    from fittingroom.training.start_weights import known_normalization

    weights = origin.weights(splits.train, recipe, source)
    seen, unknown = origin.seen(splits)
    point = origin.point(seen, weights, splits.train)
    start = start_weights(weights, point)
    if recipe.normalize == "model":
        known_normalization(start)
    point = replace(point, head=_fit_in(start, splits.train, recipe, source))

    # Not said of the images of the test set, which is looked at when it is judged by.
    _, validation = hold_out(splits, recipe, bundles_of(environment, splits))
    validation = validation if environment.folds is None else splits.train
    if seen is None and unknown:
        warnings.warn(f"what {point.name} was trained on can't be told: {unknown}", stacklevel=4)
    elif seen is not None and validation is not None and (among := count_among(validation, seen)):
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


def _ancestors(start: StartingPoint | None) -> tuple[Ancestor, ...]:
    if start is None:
        return ()
    last = Ancestor(kind=start.kind, name=start.name, weights_sha256=start.weights_sha256, train=start.train)
    return (last, *start.earlier)


def _numbers(scale: Scale) -> tuple[float, ...]:
    return tuple(map(float, scale)) if isinstance(scale, tuple) else (float(scale),)
