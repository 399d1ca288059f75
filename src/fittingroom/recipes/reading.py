"""Recipes read: from TOML text, from plain values, by the name of one of the package's.

Whatever is wrong with one is said at once, each problem with the line that it stands in.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any

from fittingroom.errors import RecipeError
from fittingroom.files.records import brief
from fittingroom.files.regular_file import read_regular_text
from fittingroom.own_code.name import attribute_of
from fittingroom.recipes.code_keys import own_names
from fittingroom.recipes.fields import in_lines
from fittingroom.recipes.recipe import Recipe, Stage, find_problems
from fittingroom.recipes.steps import sets_epochs
from fittingroom.recipes.toml_text import MAX_BYTES, apply_override, lines_of_keys, parse_toml

RECIPES_DIR = Path(__file__).parent


def parse_recipe(text: str, *, where: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from TOML text.

    Args:
        text: of the TOML file.
        where: what messages call it.
        overrides: ``KEY=VALUE`` strings such as ``stages.0.lr=0.02``, applied before anything is checked.

    Raises:
        RecipeError: one line for each problem, with its path and the line of the TOML text.
    """
    if isinstance(overrides, str):
        raise RecipeError(f"`overrides`: a list of KEY=VALUE expected, one text found; write [{overrides!r}]")
    try:
        raw = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"{where}: not valid TOML: {error}") from None

    unusable = [problem for override in overrides if (problem := apply_override(raw, override))]
    keys = {override.partition("=")[0].strip() for override in overrides}
    if "min_steps" not in keys and any(map(sets_epochs, keys)):
        raw["min_steps"] = 0  # a number of epochs that somebody asks for is the number that is trained

    # a wrong value is reported with the line that it stands in, or by the option that put it in its place
    lines = lines_of_keys(text)
    wrong = [f"{_place(where, path, lines, keys)}{problem}" for path, problem in find_problems(raw)]
    if unusable or wrong:
        raise RecipeError(in_lines(unusable + wrong))
    return _from_plain(raw)


def recipe_from_dict(raw: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A recipe from plain values, as :meth:`fittingroom.recipes.recipe.Recipe.as_dict` gives them.

    Args:
        raw: the values.
        where: what messages call them.

    Raises:
        RecipeError: one line for each problem.
    """
    if not isinstance(raw, Mapping):
        raise RecipeError(f"{where}: a table of a recipe's keys expected, {brief(raw)} found")
    problems = find_problems(raw)
    if problems:
        raise RecipeError(in_lines([f"{where}: {path}: {problem}" for path, problem in problems]))
    return _from_plain(raw)


def load_recipe(name_or_path: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe of the package by name (``swift``) or any TOML file by path.

    Args:
        name_or_path: what ends in ``.toml`` is a path.
        overrides: ``KEY=VALUE`` strings, as ``fittingroom train --set`` takes them.

    Raises:
        RecipeError: unknown name (the known ones are listed), unreadable file, or every problem of the recipe.

    Example:
        >>> import fittingroom as fr
        >>> recipe = fr.load_recipe("tutorial", overrides=["stages.0.lr=0.02", "batch_size=128"])
        >>> [(stage.epochs, stage.lr) for stage in recipe.stages], recipe.batch_size
        ([(50, 0.02), (20, 0.001), (10, 0.001)], 128)
    """
    if not isinstance(name_or_path, str | Path):
        raise RecipeError(
            f"the name or path of a recipe expected, {type(name_or_path).__name__} found; images and labels are one "
            "argument: fittingroom.Dataset.from_arrays(images, labels)"
        )
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in recipe_names():
            close = difflib.get_close_matches(str(name_or_path), recipe_names(), n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise RecipeError(
                f"recipe {str(name_or_path)!r}: unknown; {hint}known are {', '.join(recipe_names())}, "
                "or give the path of a .toml file"
            )
        path = RECIPES_DIR / f"{name_or_path}.toml"

    try:
        text = read_regular_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: a recipe in TOML expected, but it can't be read: {error}") from None

    # The arguments that one of the package's recipes has are those of its model, and another one knows nothing of them.
    if path.parent == RECIPES_DIR and _names_another_model(text, overrides):
        overrides = ["model_args={}", *overrides]

    # before anybody looks at recipe.model, which may name a file that is then executed
    recipe = parse_recipe(text, where=path.name, overrides=overrides)
    _refuse_code_of_a_run(path, recipe, overrides)
    return recipe if recipe.name else dataclasses.replace(recipe, name=path.stem)


def _names_another_model(text: str, overrides: Sequence[str]) -> bool:
    """Whether the last override of ``model`` is another one than that of a recipe's TOML text."""
    raw = parse_toml(text)
    model = raw["model"]
    for override in overrides:
        if override.partition("=")[0].strip() == "model":
            apply_override(raw, override)
    return bool(raw["model"] != model)


def _refuse_code_of_a_run(path: Path, recipe: Recipe, overrides: Sequence[str]) -> None:
    """A run or a study may come from a stranger: what code its recipe names is executed only if the user names it."""
    if not any((path.parent / name).exists() for name in ("environment.json", "study.json")):
        return
    told = {override.partition("=")[0].strip() for override in overrides}
    for key, name in own_names(recipe):
        if not told & {key, key.partition(".")[0]}:
            attribute = attribute_of(name)
            kept = sorted(path.parent.glob("model_source*.py")) if key == "model" else []
            kept = kept or sorted(path.parent.glob(f"code/*/{PurePath(name.rpartition(':')[0]).name}"))
            spelled = f"{kept[0] if len(kept) == 1 else 'FILE.py'}:{attribute}"
            option = f"`model` {spelled}" if key == "model" else f"`overrides` {key}={spelled}"
            raise RecipeError(
                f"{path}: the recipe of a run, whose {key} is code of its author's own ({name}). Read that code, "
                f"then name it: {option}"
            )


def recipe_names() -> list[str]:
    """Names of the package's own recipes, sorted."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))


def _from_plain(raw: Mapping[str, Any]) -> Recipe:
    """A recipe from values that :func:`find_problems` has passed."""
    values = dict(raw)
    values["stages"] = tuple(Stage(**stage) for stage in raw["stages"])
    values["image_sizes"] = tuple((epoch, side) for epoch, side in raw.get("image_sizes", ()))
    return Recipe(**values)


def _place(where: str, path: str, lines: Mapping[str, int], overridden: Set[str]) -> str:
    """``swift.toml, line 12: stages.0.lr: ``, or the same of the overrides, by the nearest enclosing key."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        if key in overridden:
            return f"`overrides` {path}: "
        if line := lines.get(key):
            return f"{where}, line {line}: {path}: "
    return f"{where}: {path}: "
