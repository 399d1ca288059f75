"""The keys of a recipe that may name code of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fittingroom.own_code.name import is_own

KINDS = ("model", "loss", "optimizer", "augmentation")  # keys of a recipe that may name own code, and "schedule"


def named(value: Any, kind: str) -> Any:
    """A value of a recipe, in which a class or function of the user's own becomes its name, with its code."""
    if not callable(value) or isinstance(value, str):
        return value
    from fittingroom.own_code.from_object import name_object

    return name_object(value, kind)


def own_names(recipe: Any) -> Iterator[tuple[str, str]]:
    """Key and name of each piece of own code that a recipe names, such as ``("loss", "mine.py:focal")``.

    The key of a stage's is ``stages.0.schedule``.
    """
    for key in KINDS:
        if is_own(name := getattr(recipe, key)):
            yield key, name
    for number, stage in enumerate(recipe.stages):
        if is_own(stage.schedule):
            yield f"stages.{number}.schedule", stage.schedule


def kind_of(key: str) -> str:
    """What a key is for: ``stages.0.schedule`` → ``schedule``."""
    return key.rpartition(".")[2]
