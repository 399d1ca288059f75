"""A recipe with a change that no single key makes, and in which keys two recipes differ."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

from fittingroom.errors import RecipeError
from fittingroom.files.records import brief
from fittingroom.recipes.recipe import Recipe, Stage

# What a key that a recipe doesn't write stands for, of the recipe and of its stages.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    prefix: {
        key.name: list(key.default) if isinstance(key.default, tuple) else key.default
        for key in dataclasses.fields(kind)
        if key.default is not dataclasses.MISSING
    }
    for prefix, kind in (("", Recipe), ("stages.", Stage))
}


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe for ``epochs`` epochs in all: stages are shortened from the end, or the last one is lengthened.

    So many are trained, whatever ``min_steps`` the recipe has. It warns where only stages are left in which the head
    learns alone.

    Raises:
        RecipeError: less than one epoch.
    """
    if epochs < 1:
        raise RecipeError(f"epochs: at least 1 expected, {epochs} found")
    stages, left = [], epochs
    for i, stage in enumerate(recipe.stages):
        share = left if i == len(recipe.stages) - 1 else min(stage.epochs, left)
        if share:
            stages.append(dataclasses.replace(stage, epochs=share, warmup=min(stage.warmup, share)))
        left -= share

    # A head alone on a body that knows other images is seldom what was meant by a short training.
    frozen = [stage.freeze is not None for stage in recipe.stages]
    if all(frozen[: len(stages)]) and not all(frozen):
        alone = sum(stage.epochs for stage in recipe.stages[: frozen.index(False)])
        warnings.warn(
            f"epochs = {epochs}: only the head learns; {recipe.name or 'the recipe'} lets all weights learn after "
            f"{alone} epoch{'s' * (alone != 1)}",
            stacklevel=2,
        )
    return dataclasses.replace(recipe, stages=tuple(stages), min_steps=0)


def with_lr(recipe: Recipe, lr: float) -> Recipe:
    """The recipe with ``lr`` as the first stage's peak rate; later stages keep their ratio to it."""
    factor = lr / recipe.stages[0].lr
    stages = tuple(dataclasses.replace(stage, lr=stage.lr * factor) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines such as ``stages.0.lr: 0.01 → 0.02`` for each key on which two recipes, as plain values, differ.

    A key that one of them leaves out has its default there.
    """
    defaults = DEFAULTS["stages." if "stages." in prefix else ""]
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = (values.get(key, defaults.get(key)) for values in (old, new))
        if key == "stages" and before and after and len(before) == len(after):
            for i, pair in enumerate(zip(before, after, strict=True)):
                lines += differences(*pair, prefix=f"{prefix}stages.{i}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_as_written(before)} → {_as_written(after)}")
    return lines


def _as_written(value: Any) -> str:
    """A value as a recipe has it, in TOML, which has no word for nothing."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else brief(value)
