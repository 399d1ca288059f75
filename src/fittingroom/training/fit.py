"""The whole in-memory fit: hold out, normalise, settle the precision, train. Nothing is written but checkpoints."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization, normalization_of
from fittingroom.data.splits import Splits
from fittingroom.errors import RecipeError
from fittingroom.evaluation.predictions import JudgedPredictions
from fittingroom.events import NO_HOOKS, Hooks
from fittingroom.models import ModelSource, find_model
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.picture_keys import images_problem
from fittingroom.recipes.recipe import Recipe
from fittingroom.training.checkpoint import Checkpoints
from fittingroom.training.context import TrainContext
from fittingroom.training.device import pick_device
from fittingroom.training.hold_out import hold_out, learned_from_count
from fittingroom.training.inference import judge, predict_dataset
from fittingroom.training.loop import fit_network
from fittingroom.training.precision import resolve_precision
from fittingroom.training.start_weights import StartWeights, known_normalization, refuse_without_start
from fittingroom.training.turns import own_turn


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit comes to.

    Attributes:
        network: on ``device``, in evaluation mode, with the weights that the recipe chooses to ship.
        normalization: what pixels of 0–255 go through before it.
        train_set: what was learned from.
        validation_set: what was held out; None where the recipe holds nothing out.
        device: as it was picked, such as ``cpu``.
        precision: as it was resolved, ``float32`` or ``bf16``.
        epochs: that were trained; fewer than the recipe's where it stopped early.
        seconds: of training, over all resumes.
    """

    network: nn.Module
    normalization: Normalization
    train_set: Dataset
    validation_set: Dataset | None
    device: str
    precision: str
    epochs: int
    seconds: float


def fit(
    splits: Splits,
    recipe: Recipe,
    *,
    device: str = "auto",
    precision: str | None = None,
    group_N: NDArray[np.int64] | None = None,
    model_source: ModelSource | None = None,
    start: StartWeights | None = None,
    checkpoints: Checkpoints | None = None,
    hooks: Hooks = NO_HOOKS,
    group: ProcessGroup = ALONE,
    snapshot_file: Path | None = None,
) -> Fitted:
    """Train a recipe on images in memory.

    Args:
        splits: a labelled training set, and a validation set if the data has its own; a test set is not read.
        recipe: decides what is learned. The same recipe, data, precision and threads give the same weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``float32`` or ``bf16``, resolved by the caller; None resolves the recipe's here. Fits that belong
            together are given one, as ``auto`` may come out differently on another worker's processor.
        group_N: int64 (N,), the same for training images that are to stay on one side when some are held out; None
            where nothing is tied.
        model_source: the recipe's model where the caller has it; None finds what the recipe names, and executes that
            file if it is one.
        start: weights to start from; None starts from new ones.
        checkpoints: where the state is kept, from the newest of which the fit goes on; None keeps none.
        hooks: follow the training, and may end it.
        group: the processes that train together, each of which calls this with the same data and recipe.
        snapshot_file: where the main process writes, at most every two seconds, what the network says of a few
            validation images; see :mod:`fittingroom.evaluation.snapshot`.

    Raises:
        RecipeError: the recipe is wrong, or doesn't suit the data, as one that asks for another size or other channels
            doesn't; no such device.
        DataError: the training set has no labels.
        Interrupted, TrainingDiverged, PeerLost: as for :func:`fittingroom.training.loop.fit_network`.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.training.fit import fit
        >>> recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32"])
        >>> fitted = fit(fr.open_dataset("sample"), recipe, device="cpu")
        >>> fitted.epochs, len(fitted.train_set), len(fitted.validation_set)
        (1, 1800, 200)
    """
    # Readers of pictures make them as the recipe asks; images of another size would be trained on silently.
    train = splits.train
    if problem := images_problem(recipe.size, recipe.channels, train.image_size, train.channels):
        raise RecipeError(f"{train.name}: {problem}")

    if recipe.threshold != "none" and train.num_classes != 2:
        raise RecipeError(f"threshold: two classes expected, {train.name} has {train.num_classes}")
    in_vain = [key for key in ("saturation", "hue") if train.channels == 1 and getattr(recipe, key)]
    if in_vain and group.is_main:
        warnings.warn(f"{train.name}: {' and '.join(in_vain)} change nothing: its images are grey", stacklevel=2)

    model_source = model_source or find_model(recipe.model)
    recipe = settled(recipe, learned_from_count(splits, recipe), train.image_size)  # of a run it is so already
    device = pick_device(device)

    # Held out first: what is learned of the pixels, too, is learned of the training images alone.
    train_set, validation_set = hold_out(splits, recipe, group_N)
    normalization = _normalization(recipe, train_set, start)
    if precision is None:
        classes, size, channels = train_set.num_classes, train_set.image_size, train_set.channels
        precision = resolve_precision(recipe, model_source, classes, size, device, channels=channels).name

    context = TrainContext(
        device=device,
        precision=precision,
        checkpoints=checkpoints,
        hooks=hooks,
        group=group,
        snapshot_file=snapshot_file if group.is_main else None,
    )
    with own_turn(group):
        state = fit_network(train_set, validation_set, recipe, model_source, normalization, context, start)
    return Fitted(
        network=state.shipped,
        normalization=normalization,
        train_set=train_set,
        validation_set=validation_set,
        device=device,
        precision=precision,
        epochs=state.progress.epoch,
        seconds=state.progress.seconds,
    )


def _normalization(recipe: Recipe, train_set: Dataset, start: StartWeights | None) -> Normalization:
    """What pixels go through: by the training set, or as the weights know it."""
    if start is None:
        refuse_without_start(recipe)
    elif recipe.normalize == "model":
        return known_normalization(start)
    return normalization_of(recipe.normalize, train_set)


def judge_on_validation(fitted: Fitted) -> JudgedPredictions | None:
    """What the fitted network says of the validation images, uncalibrated; None where none were held out."""
    if fitted.validation_set is None:
        return None
    device = torch.device(fitted.device)
    predictions = predict_dataset(fitted.network, fitted.validation_set, fitted.normalization, device=device)
    return judge(predictions, fitted.validation_set)
