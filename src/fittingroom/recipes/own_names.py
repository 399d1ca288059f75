"""The names in a recipe that mean code of the user's own, and the recipe with that code at hand.

A name that a user gives is read by :func:`with_own_code`; one that stands in a file of a run or a study, which may come
from a stranger, is only ever given the code that the folder keeps, by :func:`with_kept_code`. What trains executes what
a name has brought along, and never a path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.errors import RecipeError
from fittingroom.own_code.name import CodeName, ForeignName, OwnCode, attribute_of
from fittingroom.recipes.code_keys import KINDS, kind_of, own_names
from fittingroom.recipes.recipe import Recipe

if TYPE_CHECKING:
    from fittingroom.own_code.kept import KeptCodes

_PLURAL = {"loss": "losses"}


def with_own_code(recipe: Recipe) -> Recipe:
    """The recipe with the code that its names mean, read from where the user has it; nothing is executed.

    For names that the user gave.

    Raises:
        RecipeError: a file or module that isn't there, or can't be read; a name out of a run's file.
    """

    def read(kind: str, name: str) -> CodeName:
        from fittingroom.own_code.collect import read_code

        if isinstance(name, ForeignName):
            raise RecipeError(
                f"{kind} {name}: the recipe is that of a run, whose {kind} is code of its author's own. Read that "
                f'code, then name it: {kind}="FILE.py:{attribute_of(name)}"'
            )
        return name if isinstance(name, CodeName) else CodeName(name, read_code(name, kind))

    return _changed(recipe, read)


def as_foreign(recipe: Recipe) -> Recipe:
    """The recipe out of a file of a run or a study: what code it names is executed only if its user names it."""
    return _changed(recipe, lambda _kind, name: ForeignName(name))


def with_code_of(recipe: Recipe, other: Recipe) -> Recipe:
    """The recipe with the code that another one has at hand, for the names that both have."""
    known = {str(name): name for _, name in own_names(other)}
    return _changed(recipe, lambda _kind, name: known.get(name, name))


def with_kept_code(recipe: Recipe, codes: Mapping[str, OwnCode], where: Path) -> Recipe:
    """The recipe with the code that a folder keeps for its names.

    Args:
        recipe: of a run or a study.
        codes: what is kept, and trusted, by the name.
        where: the folder, for messages.

    Raises:
        RecipeError: of a name nothing is kept: it stays what its author said, and is not executed.
    """

    def kept(kind: str, name: str) -> CodeName:
        if name not in codes:
            kinds = _PLURAL.get(kind, f"{kind}s")
            raise RecipeError(
                f"{where}: {kind} {str(name)!r}: one of this package's {kinds} expected in a file of a run, or code "
                "that the folder keeps; what else it names is not executed"
            )
        return CodeName(name, codes[name])

    return _changed(recipe, kept)


def code_names(recipe: Recipe) -> list[CodeName]:
    """The names of a recipe whose code is at hand, each once."""
    names = {name: name for _, name in own_names(recipe) if isinstance(name, CodeName)}
    return list(names.values())


def options_for_code(named: Iterable[tuple[str, str]], folder: Path, kept: KeptCodes) -> list[str]:
    """What names the kept copies of a recipe's own code on the command line, ``--set loss=RUN/code/…/mine.py:focal``.

    Args:
        named: kind and name, as :func:`own_names` gives them.
        folder: of the run or the study.
        kept: its record of them.
    """
    words = []
    for kind, name in named:
        if copy := kept.get(name):
            spelled = f"{folder / copy.folder / copy.main}:{attribute_of(name)}"
            words += ["--model", spelled] if kind == "model" else ["--set", f"{kind}={spelled}"]
    return words


def read_kept(folder: Path, kept: KeptCodes, *, trusted: bool) -> dict[str, OwnCode]:
    """All code that a folder keeps, by the names that mean it. Raises ArtifactError where it isn't trusted."""
    from fittingroom.own_code.kept import read_kept_code

    return {name: read_kept_code(folder, copy, name, trusted=trusted) for name, copy in kept.items()}


def _changed(recipe: Recipe, change: Callable[[str, str], str]) -> Recipe:
    """The recipe with each own name changed, of which ``change`` is told kind and name."""
    names = {key: change(kind_of(key), name) for key, name in own_names(recipe)}
    if not names:
        return recipe
    stages = tuple(
        dataclasses.replace(stage, schedule=names.get(f"stages.{number}.schedule", stage.schedule))
        for number, stage in enumerate(recipe.stages)
    )
    changes: dict[str, Any] = {key: name for key, name in names.items() if key in KINDS}
    return dataclasses.replace(recipe, stages=stages, **changes)
