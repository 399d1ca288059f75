"""The user's own code, which a study keeps in its folder and executes only where it is trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fittingroom.own_code.collect import read_code
from fittingroom.own_code.kept import SOURCE, KeptCode, KeptCodes, keep_code
from fittingroom.own_code.name import CodeName
from fittingroom.recipes.code_keys import kind_of, own_names
from fittingroom.recipes.own_names import read_kept, with_kept_code, with_own_code
from fittingroom.recipes.recipe import Recipe

Names = Mapping[str, str]  # of own code, as a recipe spells it, each with its kind


def names_of_code(recipes: Iterable[Recipe]) -> dict[str, str]:
    """The names of own code in the recipes of a study; one that has brought its code along has it still."""
    return {name: kind_of(key) for recipe in recipes for key, name in own_names(recipe)}


def keep_study_code(folder: Path, names: Names) -> dict[str, KeptCode]:
    """Copy into the study's folder all code that its recipes name: what their user gave."""
    brought = [name if isinstance(name, CodeName) else CodeName(name, read_code(name, names[name])) for name in names]
    return keep_code(folder, brought)


def executed_files(folder: Path, names: Names, kept: KeptCodes) -> list[str]:
    """The files that resuming a study executes: its own copies, and what a study of 0.1 names instead."""
    copies = [str(folder / code.folder / code.main) for code in kept.values()]
    outside = [name for name in names if name not in kept]
    of_trials = map(str, sorted(folder.rglob(SOURCE)))
    return [*copies, *outside, *of_trials]


def with_study_code(recipe: Recipe, folder: Path, kept: KeptCodes, *, trusted: bool) -> Recipe:
    """A recipe of the study with the code that its names mean.

    Raises:
        ArtifactError: code that isn't trusted, or was changed.
        RecipeError: the study keeps no code of that name.
    """
    # A study of 0.1 kept no code: its user was shown the path before saying that it is trusted.
    if not kept and trusted:
        return with_own_code(recipe)
    wanted = {name: kept[name] for _, name in own_names(recipe) if name in kept}
    return with_kept_code(recipe, read_kept(folder, wanted, trusted=trusted), folder)
