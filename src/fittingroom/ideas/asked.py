"""What is asked of a study: each idea as a whole recipe, and what it changes in the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from fittingroom.errors import RecipeError
from fittingroom.recipes.changes import differences
from fittingroom.recipes.own_names import with_code_of
from fittingroom.recipes.reading import parse_recipe
from fittingroom.recipes.recipe import Recipe

Ideas = Sequence[str | Sequence[str] | Recipe] | Mapping[str, str | Sequence[str] | Recipe]
SAYS_NOTHING = ("name", "description")  # keys of a recipe that decide nothing


def ideas_of(ideas: Ideas, baseline: Recipe) -> dict[str, Recipe]:
    """Each idea's whole recipe by its name.

    Raises:
        RecipeError: none, one that changes nothing, two that are the same, or any problem of a recipe.
    """
    pairs = list(ideas.items()) if isinstance(ideas, Mapping) else [(_name(idea), idea) for idea in ideas]
    if not pairs:
        raise RecipeError("one idea or more expected, such as mirror=random")

    recipes: dict[str, Recipe] = {}
    for name, idea in pairs:
        changed = idea if isinstance(idea, Recipe) else _changed(baseline, [idea] if isinstance(idea, str) else idea)

        # All pairs begin with the baseline's seed: an idea that is nothing but another seed is none.
        changed = dataclasses.replace(changed, seed=baseline.seed)
        if not changes(baseline, changed):
            raise RecipeError(f"idea {name}: it changes nothing in the baseline")
        same = next((other for other, known in recipes.items() if not changes(known, changed)), None)
        if name in recipes or same:
            raise RecipeError(f"idea {name}: it is the same as {same or name}")
        recipes[name] = changed
    return recipes


def changes(baseline: Recipe, changed: Recipe) -> tuple[str, ...]:
    """What differs, a line for each key, beside names and what is said of a recipe."""
    old, new = (
        {key: value for key, value in recipe.as_dict().items() if key not in SAYS_NOTHING}
        for recipe in (baseline, changed)
    )
    return tuple(differences(old, new))


def trains_to_its_end(recipe: Recipe) -> bool:
    """Whether no validation images choose how long it trains, so that it can be judged by folds."""
    return recipe.keep != "best" and not recipe.early_stop


def _changed(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """A recipe with some keys set, as ``KEY=VALUE``."""
    changed = parse_recipe(recipe.to_toml(), overrides=overrides)
    return dataclasses.replace(with_code_of(changed, recipe), name=recipe.name)


def _name(idea: str | Sequence[str] | Recipe) -> str:
    if isinstance(idea, Recipe):
        return idea.name or "recipe"
    return idea if isinstance(idea, str) else ", ".join(idea)
