"""Fields of a dataclass with the range that is permitted, and what is wrong with plain values for them.

The annotations are the only list of what a field takes: numbers, text, true or false, one of several words
(``Literal``), a table (``Mapping``) or a list (``tuple``), each of them perhaps absent (``| None``). A field that takes
its value in more than one form has a check of its own.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fittingroom.files.records import brief
from fittingroom.own_code.name import is_own

MAX_LINES = 30  # of what is wrong with a recipe: somebody's own has a few mistakes, another kind of file thousands


def bounded(
    default: Any = dataclasses.MISSING,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    unwritten: bool = False,
) -> Any:
    """A number field with its permitted range.

    Args:
        default: without one, the field is required.
        low, high: the smallest and largest value; without one, there is none.
        open_low, open_high: exclude the bound itself.
        unwritten: the default is left out where the values are written, as for :func:`unwritten`.
    """
    bounds = {"low": low, "high": high, "open_low": open_low, "open_high": open_high, "unwritten": unwritten}
    return field(default=default, metadata=bounds)


def unwritten(default: Any) -> Any:
    """A field whose default is left out where the values are written.

    A key that came later has one that changes nothing: what was written before there was such a key stays equal to what
    is written now, and a run goes on that was started then.
    """
    return field(default=default, metadata={"unwritten": True})


def checked(default: Any, check: Callable[[Any], str | None], *, unwritten: bool = False) -> Any:
    """A field whose plain value has more than one form; ``check`` says what is wrong with one, None for nothing."""
    return field(default=default, metadata={"check": check, "unwritten": unwritten})


def choice_or_code(*choices: str) -> Callable[[Any], str | None]:
    """What is wrong with a value that is to be one of several words, or the name of code of the user's own."""

    def problem(value: Any) -> str | None:
        if isinstance(value, str) and (value in choices or is_own(value)):
            return None
        words = f"{', '.join(choices)} or your own" if choices else "your own"
        return f"{words} as path/to/file.py:name or package.module:name expected, {brief(value)} found"

    return problem


def unwritten_table() -> Any:
    """A field for a table, of which an empty one is left out where the values are written."""
    return field(default_factory=dict, metadata={"unwritten": True})


def in_lines(messages: Sequence[str]) -> str:
    """All that is wrong, a line each; of very much, the first lines and how many there are."""
    more = f"\nand {len(messages) - MAX_LINES:,} more of the kind" if len(messages) > MAX_LINES else ""
    return "\n".join(messages[:MAX_LINES]) + more


_hints_of = cache(get_type_hints)  # which evaluates each annotation anew, and recipes are read often


def field_problems(cls: type, raw: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """What keeps plain values from being the fields of a dataclass.

    Args:
        cls: the dataclass.
        raw: plain values by the names of fields, as TOML or JSON gives them.
        prefix: of the names in the answer, such as ``stages.0.``.

    Returns:
        Pairs of (prefix + field, what is wrong): unknown and missing keys, values of another type than the
        annotation, numbers out of bounds.
    """
    fields = {known.name: known for known in dataclasses.fields(cls)}
    hints = _hints_of(cls)
    problems: list[tuple[str, str]] = []

    # in the order of the text, so that a reader corrects it from top to bottom
    for key, value in raw.items():
        if key not in fields and len(problems) >= MAX_LINES:
            problems.append((prefix + key, "unknown key"))  # which nobody will read: what was meant takes long to find
        elif key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(fields)}"
            problems.append((prefix + key, f"unknown key; {hint}"))
        elif problem := _field_problem(value, hints[key], fields[key].metadata):
            problems.append((prefix + key, problem))

    for name, known in fields.items():
        is_required = known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING
        if is_required and name not in raw:
            problems.append((prefix + name, "missing"))
    return problems


def _field_problem(value: Any, hint: Any, metadata: Mapping[str, Any]) -> str | None:
    """What is wrong with one value, by the field's own check where it has one."""
    if "check" in metadata:
        problem: str | None = metadata["check"](value)
        return problem
    return _value_problem(value, hint, metadata)


def _value_problem(value: Any, hint: Any, bounds: Mapping[str, Any]) -> str | None:
    """What is wrong with one value, given its type annotation and its range."""
    kind = _without_none(hint)
    if get_origin(kind) is Literal:
        # true counts as 1 in Python, and is no choice between numbers
        choices = get_args(kind)
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return None
        return f"{', '.join(map(str, choices[:-1]))} or {choices[-1]} expected, {brief(value)} found"

    # a whole number is a float too, but true and false, which Python counts as 1 and 0, are no numbers
    if kind is int or kind is float:
        accepted = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            return f"{'a whole number' if kind is int else 'a number'} expected, {brief(value)} found"
        return _range_problem(value, bounds)

    # text is a sequence too; what a table or a list holds is checked where it is known
    if kind is str:
        return None if isinstance(value, str) else f"text expected, {brief(value)} found"
    if kind is bool:
        return None if isinstance(value, bool) else f"true or false expected, {brief(value)} found"
    if get_origin(kind) is Mapping:
        return None if isinstance(value, Mapping) else f"a table expected, {brief(value)} found"
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return None if is_list else f"a list expected, {brief(value)} found"


def _without_none(hint: Any) -> Any:
    """``int | None`` → ``int``."""
    if type(None) not in get_args(hint):
        return hint
    (kind,) = (kind for kind in get_args(hint) if kind is not type(None))
    return kind


def is_finite(value: float) -> bool:
    """Whether a number is none of the infinities and of a size that a float can have: an int may have 400 digits."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _range_problem(value: float, bounds: Mapping[str, Any]) -> str | None:
    if "low" not in bounds:
        return None
    low, high = bounds["low"], bounds["high"]
    above = value > low if bounds["open_low"] else value >= low
    below = value < high if bounds["open_high"] else value <= high
    if is_finite(value) and above and below:
        return None

    def shown(bound: float) -> str:
        return f"{bound:,.0f}" if float(bound).is_integer() and abs(bound) >= 10_000 else f"{bound:g}"

    lower = f"{'>' if bounds['open_low'] else '≥'} {shown(low)}" if math.isfinite(low) else ""
    upper = f"{'<' if bounds['open_high'] else '≤'} {shown(high)}" if math.isfinite(high) else ""
    return f"{' and '.join(filter(None, (lower, upper)))} expected, {brief(value)} found"
