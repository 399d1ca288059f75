"""A recipe changed by keyword arguments, as :func:`fittingroom.train` takes its keys from Python."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from fittingroom.errors import RecipeError
from fittingroom.recipes.changes import with_epochs, with_lr
from fittingroom.recipes.code_keys import named
from fittingroom.recipes.reading import recipe_from_dict
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.recipes.steps import sets_epochs

KEYS = tuple(field.name for field in dataclasses.fields(Recipe))
STAGE_KEYS = tuple(field.name for field in dataclasses.fields(Stage) if field.name not in KEYS)
SHARED = ("epochs", "lr")  # that are shared out among the stages, which no single key of the recipe does


def with_keys(recipe: Recipe, keys: Mapping[str, Any], *, others: Iterable[str] = ()) -> Recipe:
    """The recipe with some of its keys set; ``epochs`` and ``lr`` as ``--epochs`` and ``--lr`` do.

    Arguments of a model belong to it: another ``model`` has none, unless ``model_args`` are given too.

    Args:
        recipe: is left as it is.
        keys: values by keys of :class:`Recipe`, and ``epochs`` and ``lr``; None for one that isn't given.
        others: further names that the caller takes, one of which may be meant by an unknown one.

    Raises:
        RecipeError: unknown keys, each with the one that may be meant, or values that are wrong; a line for each.

    Example:
        >>> from fittingroom.recipes.reading import load_recipe
        >>> with_keys(load_recipe("plain"), {"epochs": 3, "mirror": "random"}).epochs
        3
        >>> with_keys(load_recipe("plain"), {"epoch": 3})
        Traceback (most recent call last):
        fittingroom.errors.RecipeError: epoch: unknown; did you mean epochs?
    """
    given = {key: value for key, value in keys.items() if value is not None or key not in SHARED}
    refuse_unknown_keys(given, others)
    values = {key: plain(named(value, key)) for key, value in given.items() if key not in SHARED}
    if values:
        raw = recipe.as_dict() | values
        if "model" in values and values["model"] != recipe.model and "model_args" not in values:
            raw.pop("model_args", None)

        if "min_steps" not in values and any(map(sets_epochs, values)):
            raw["min_steps"] = 0  # a number of epochs that somebody asks for is the number that is trained

        # None is a key's absence, as TOML has no other word for it
        raw = {key: value for key, value in raw.items() if value is not None}
        recipe = recipe_from_dict(raw)
    if "epochs" in given:
        recipe = with_epochs(recipe, _number("epochs", given["epochs"], int))
    return with_lr(recipe, _number("lr", given["lr"], int, float)) if "lr" in given else recipe


def refuse_unknown_keys(keys: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise RecipeError for names that are no key of a recipe, with what each may have meant."""
    known = [*KEYS, *SHARED, *others]
    problems = []
    for key in keys:
        if key in KEYS or key in SHARED:
            continue
        close = difflib.get_close_matches(key, [*known, *STAGE_KEYS], n=1)
        if key in STAGE_KEYS:
            problems.append(f"{key}: a key of stages, each of which has its own: stages=[fr.Stage(…, {key}=…)]")
        elif close:
            problems.append(f"{key}: unknown; did you mean {close[0]}?")
        else:
            problems.append(f"{key}: unknown; a recipe has {', '.join(KEYS)}")
    if problems:
        raise RecipeError("\n".join(problems))


def plain(value: Any) -> Any:
    """A value as TOML would give it: a stage as a table, tuples as lists."""
    if isinstance(value, Stage):
        return {key: plain(item) for key, item in dataclasses.asdict(value).items() if item is not None}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "item"):  # a number out of an array
        return value.item()
    return value


def _number(key: str, value: Any, *kinds: type) -> Any:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, kinds):
        expected = "a whole number" if kinds == (int,) else "a number"
        raise RecipeError(f"{key}: {expected} expected, {value!r} found")
    return value
