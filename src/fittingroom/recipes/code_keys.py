"""The keys of a recipe that may name code of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fittingroom.own_code.name import is_own

KINDS = ("model", "loss")  # keys of a recipe that may name own code


def named(value: Any, kind: str) -> Any:
    """A value of a recipe, in which a class or function of the user's own becomes its name, with its code."""
    if not callable(value) or isinstance(value, str):
        return value
    from fittingroom.own_code.from_object import name_object

    return name_object(value, kind)


def own_names(recipe: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of each piece of own code that a recipe names, such as ``("loss", "mine.py:focal")``."""
    for kind in KINDS:
        if is_own(name := getattr(recipe, kind)):
            yield kind, name
