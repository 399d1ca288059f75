"""The search space: which keys of a recipe are searched, and where. TOML in, every problem reported at once.

lr = { low = 0.01, high = 0.3, log = true }           # the peak rate of all stages, as --lr
label_smoothing = { low = 0.0, high = 0.2, step = 0.05 }
shift = { low = 0, high = 2 }
mirror = ["none", "random", "alternating"]
"stages.0.warmup" = { low = 0.0, high = 1.0 }         # any key, as in --set
"model_args.widths" = [[16, 32, 64], [24, 48, 96]]
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from fittingroom.errors import RecipeError
from fittingroom.files.regular_file import read_regular_text
from fittingroom.own_code.name import is_own
from fittingroom.recipes.changes import with_lr
from fittingroom.recipes.code_keys import kind_of, own_names
from fittingroom.recipes.fields import in_lines, is_finite
from fittingroom.recipes.reading import recipe_from_dict
from fittingroom.recipes.recipe import Recipe, Stage, find_problems
from fittingroom.recipes.steps import sets_epochs
from fittingroom.recipes.toml_text import MAX_BYTES, lines_of_keys, parse_toml, set_key

LR = "lr"  # no key of a recipe: stands for the first stage's, to which the others keep their ratio
MODEL_KEYS = ("model", "model_args")
PICTURE_KEYS = ("size", "channels", "resize", "background", "photo")
RANGE_KEYS = ("low", "high", "log", "step")
NOT_SEARCHED = {
    "seed": "a seed that does well is luck; tune ends with fresh ones",
    "split_seed": "trials have to be judged on the same validation images",
    "validation": "trials have to be judged on the same validation images",
    **dict.fromkeys(PICTURE_KEYS, "all trials learn from the images as they were opened: search each value by itself"),
    "judge": "trials have to be judged by one score: tune's objective names it",
    "name": "it decides nothing",
    "description": "it decides nothing",
}


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``whole`` ones or real ones, ``step`` apart if that is given."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the search could come to this value."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        steps = (value - self.low) / (self.step or (1 if self.whole else math.inf))
        return self.low <= value <= self.high and math.isclose(steps, round(steps), abs_tol=1e-9)

    def ends(self) -> list[float]:
        """The two values that show whether a recipe takes the whole range."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Choices:
    """Two values or more, of any kind that TOML has."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return label(value) in map(label, self.values)

    def ends(self) -> list[Any]:
        """All of them."""
        return list(self.values)


SearchSpace = Mapping[str, Range | Choices]
TryModel = Callable[[Recipe], object]


def label(value: Any) -> str | float | bool:
    """A value as Optuna can keep it: a list or a table as JSON text."""
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def apply(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values of the searched keys. Raises :class:`RecipeError` where they don't go together."""
    raw = recipe.as_dict()
    if any(map(sets_epochs, values)):
        raw["min_steps"] = 0  # trials of several lengths would all be stretched to one
    for path, value in values.items():
        if path != LR:
            set_key(raw, path.split("."), value)
    changed = recipe_from_dict(raw)
    return with_lr(changed, values[LR]) if LR in values else changed


def names_in_study(recipe: Recipe, space: SearchSpace) -> dict[str, str]:
    """The names of own code that a study's recipe and its space have, each with its kind."""
    names = {name: kind_of(key) for key, name in own_names(recipe)}
    for path, entry in space.items():
        if isinstance(entry, Choices):
            names |= {str(value): kind_of(path) for value in entry.values if is_own(value)}
    return names


def baseline_values(recipe: Recipe, space: SearchSpace) -> dict[str, Any] | None:
    """What the recipe itself has for the searched keys; None if a value lies outside of the space, or is not given."""
    raw = recipe.as_dict()
    values = {path: recipe.stages[0].lr if path == LR else _get(raw, path) for path in space}
    values |= {path: getattr(recipe, path, None) for path, value in values.items() if value is None}  # unwritten: off
    return values if all(space[path].holds(value) for path, value in values.items()) else None


def read_space(path: Path) -> str:
    """The text of a search space. Raises :class:`RecipeError` where it can't be read."""
    try:
        return read_regular_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: a search space in TOML expected, but it can't be read: {error}") from None


def parse_space(
    text: str, recipe: Recipe, try_model: TryModel = lambda _recipe: None, *, where: str = "space"
) -> SearchSpace:
    """A search space for a recipe from TOML text.

    Args:
        text: TOML.
        recipe: whose keys are searched.
        try_model: raises :class:`RecipeError` for a recipe whose model can't be built.
        where: the file's name, for messages.

    Raises:
        RecipeError: one line for each problem, with the key and its line.
    """
    try:
        raw = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"{where}: not valid TOML: {error}") from None

    # The keys and their entries first; the recipe is asked about the values of those that are well formed.
    entries = _flattened(raw)
    space: dict[str, Range | Choices] = {}
    problems = []
    for path, entry in entries.items():
        if problem := _key_problem(path, recipe) or _entry_problem(entry, _kind_of(path)):
            problems.append((path, problem))
        else:
            space[path] = _parsed_entry(entry, _kind_of(path))
    problems += [(path, problem) for path in space if (problem := _value_problem(path, space, recipe, try_model))]
    if "lr" in entries and "stages.0.lr" in entries:
        problems.append(("lr", "stands for stages.0.lr, which is searched too; leave one out"))

    # All at once: who mends one mistake doesn't want to be shown the next.
    lines = lines_of_keys(text)
    messages = [f"{where}{_line(path, lines)}: {path}: {problem}" for path, problem in problems]
    if not entries:
        messages = [
            f"{where}: at least one key to search expected, none found; such as lr = {{ low = 0.01, high = 0.1 }}"
        ]
    if messages:
        raise RecipeError(in_lines(messages))
    return space


def _flattened(raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``stages.0.lr`` → its entry, however the tables above it were written."""
    entries: dict[str, Any] = {}
    for key, value in raw.items():
        # A table is an entry where it has a range's keys or holds plain values, however mistaken; else it is a path's.
        inner = isinstance(value, Mapping) and bool(value) and not set(value) & {*RANGE_KEYS, "choices"}
        nested = inner and any(isinstance(item, Mapping | list) for item in value.values())
        entries |= _flattened(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return entries


def _key_problem(path: str, recipe: Recipe) -> str | None:
    """What is wrong with a key, whatever its entry."""
    first, _, rest = path.partition(".")
    if reason := NOT_SEARCHED.get(path):
        return f"not to be searched: {reason}"
    if path == LR:
        return None

    if first == "stages":
        number, _, key = rest.partition(".")
        if not number.isdecimal() or int(number) >= len(recipe.stages) or not key:
            last = len(recipe.stages) - 1
            return f"stages.0.lr{f' up to stages.{last}.lr' if last else ''} expected, or another key of a stage"
        return _unknown(key, [f.name for f in fields(Stage)])

    # Which arguments a model takes is known only when it is built.
    if first == "model_args":
        return None if rest else "an argument of the model expected, such as model_args.widths"
    return _unknown(path, [f.name for f in fields(Recipe)])


def _unknown(key: str, known: list[str]) -> str | None:
    """The problem with an unknown key, with the one that was probably meant; None for a known key."""
    if key in known:
        return None
    close = difflib.get_close_matches(key, known, n=1)
    return f"the recipe has no such key; {f'did you mean {close[0]}?' if close else 'known are ' + ', '.join(known)}"


def _kind_of(path: str) -> type[int] | type[float] | None:
    """Whether a key holds whole or real numbers; None where that is for the space to say, as it is for the model's."""
    hints = get_type_hints(Stage if path.startswith("stages.") else Recipe)
    hint = float if path == LR else hints.get(path.rpartition(".")[2] if path.startswith("stages.") else path)
    return next((kind for kind in (int, float) if kind is hint or kind in get_args(hint)), None)


def _entry_problem(entry: Any, kind: type | None) -> str | None:
    """What is wrong with a range or with choices, the recipe aside."""
    if isinstance(entry, Mapping) and set(entry) == {"choices"}:
        entry = entry["choices"]
    if isinstance(entry, list):
        labels = [label(value) for value in entry]
        differ = len(set(labels)) == len(labels) >= 2
        return None if differ else f"two choices or more that differ expected, {entry} found"
    if not isinstance(entry, Mapping):
        return f"a range {{ low = …, high = … }} or a list of choices expected, {entry!r} found"
    return _keys_problem(entry, kind) or _range_problem(entry)


def _keys_problem(entry: Mapping[str, Any], kind: type | None) -> str | None:
    """What is wrong with a range's keys and the kinds of their values."""
    if unknown := [key for key in entry if key not in RANGE_KEYS]:
        return f"{', '.join(unknown)} unknown; low, high, log and step expected, or choices alone"
    if missing := [key for key in ("low", "high") if key not in entry]:
        return f"{' and '.join(missing)} missing"

    # Of Python's numbers, true and false are whole ones; TOML's inf and nan are real ones.
    numbers = {key: entry[key] for key in ("low", "high", "step") if key in entry}
    kinds = (int,) if kind is int else (int, float)
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, kinds) or not is_finite(value):
            return f"{'a whole number' if kind is int else 'a number'} expected for {key}, {value!r} found"
    if not isinstance(entry.get("log", False), bool):
        return f"true or false expected for log, {entry['log']!r} found"
    return None


def _range_problem(entry: Mapping[str, Any]) -> str | None:
    """What is wrong with a range whose values are numbers."""
    low, high, step = entry["low"], entry["high"], entry.get("step")
    if low >= high:
        return f"low < high expected, {low} and {high} found"
    if entry.get("log") and low <= 0:
        return f"low > 0 expected with log, {low} found"
    if entry.get("log") and step is not None:
        return "log or step expected, both found"
    if step is not None and not 0 < step <= high - low:
        return f"a step above 0 and up to {high - low:g} expected, {step} found"
    return None


def _parsed_entry(entry: Any, kind: type | None) -> Range | Choices:
    """An entry in which there is nothing wrong."""
    if isinstance(entry, list):
        return Choices(tuple(entry))
    if "choices" in entry:
        return Choices(tuple(entry["choices"]))

    numbers = {key: entry[key] for key in ("low", "high", "step") if key in entry}
    whole = kind is int or (kind is None and all(isinstance(number, int) for number in numbers.values()))
    exact = {key: int(number) if whole else float(number) for key, number in numbers.items()}
    return Range(**exact, log=entry.get("log", False), whole=whole)


def _value_problem(path: str, space: SearchSpace, recipe: Recipe, try_model: TryModel) -> str | None:
    """What is wrong for the recipe at an end of a range, or with a choice, whatever the other keys' values."""
    others = [{other: end} for other in space if other != path for end in space[other].ends()]
    one_of_model = sum(key.partition(".")[0] in MODEL_KEYS for key in space) == 1  # several may only go together
    for value in space[path].ends():
        # A value that goes only with another searched key is no problem: the search may come to both.
        alone, *together = [_problems_with({path: value} | other, path, recipe) for other in [{}, *others]]
        if lasting := [problem for problem in alone if all(problem in problems for problems in together)]:
            return lasting[0]

        if path.partition(".")[0] in MODEL_KEYS and one_of_model:
            try:
                try_model(apply(recipe, {path: value}))
            except RecipeError as error:
                return str(error)
    return None


def _problems_with(values: Mapping[str, Any], path: str, recipe: Recipe) -> list[str]:
    """What the recipe with these values has to say of one key, or of what lies below it."""
    raw = recipe.as_dict()
    for key, value in values.items():
        set_key(raw, _recipe_key(key).split("."), value)
    key = _recipe_key(path)
    return [text for place, text in find_problems(raw) if place == key or place.startswith(key + ".")]


def _recipe_key(path: str) -> str:
    return "stages.0.lr" if path == LR else path


def _get(raw: Mapping[str, Any], path: str) -> Any:
    """A recipe's value of a key, the recipe as plain values; None where it has none."""
    value: Any = raw
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _line(path: str, lines: Mapping[str, int]) -> str:
    """``, line 3`` by the nearest enclosing key."""
    while path:
        if line := lines.get(path):
            return f", line {line}"
        path = path.rpartition(".")[0]
    return ""
