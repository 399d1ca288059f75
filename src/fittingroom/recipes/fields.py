"""Fields of a dataclass with the range that is permitted, and what is wrong with plain values for them."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, get_args, get_type_hints


def bounded(
    default: Any = dataclasses.MISSING,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> Any:
    """A number field with its permitted range; ``open_low`` and ``open_high`` exclude the bound itself."""
    bounds = {"low": low, "high": high, "open_low": open_low, "open_high": open_high}
    return field(default=default, metadata=bounds)


def field_problems(cls: type, raw: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """What keeps plain values from being the fields of a dataclass: pairs of (``prefix`` + field, what is wrong).

    Unknown and missing keys, values of another type than the annotation, numbers out of bounds.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    problems = []
    for key, value in raw.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(fields)}"
            problems.append((prefix + key, f"unknown key; {hint}"))
        elif problem := _value_problem(value, hints[key], fields[key].metadata):
            problems.append((prefix + key, problem))
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in raw:
            problems.append((prefix + name, "missing"))
    return problems


def _value_problem(value: Any, hint: Any, bounds: Mapping[str, Any]) -> str | None:
    """What is wrong with one value, given its type annotation and its range."""
    allowed = [arg for arg in get_args(hint) if arg is not type(None)] if _is_optional(hint) else [hint]
    kind = allowed[0]
    if kind is int or kind is float:
        accepted = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            return f"{'a whole number' if kind is int else 'a number'} expected, {value!r} found"
        return _range_problem(value, bounds)
    if get_args(kind) and all(isinstance(choice, str) for choice in get_args(kind)):
        choices = get_args(kind)
        if value in choices:
            return None
        return f"{', '.join(choices[:-1])} or {choices[-1]} expected, {value!r} found"
    if kind in (str, bool):
        name = {str: "text", bool: "true or false"}[kind]
        return None if isinstance(value, kind) else f"{name} expected, {value!r} found"
    shape: type = Mapping if "Mapping" in str(kind) else Sequence
    if not isinstance(value, shape) or isinstance(value, str):
        return f"{'a table' if shape is Mapping else 'a list'} expected, {value!r} found"
    return None


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _range_problem(value: float, bounds: Mapping[str, Any]) -> str | None:
    if not bounds:
        return None
    low, high = bounds["low"], bounds["high"]
    above = value > low if bounds["open_low"] else value >= low
    below = value < high if bounds["open_high"] else value <= high
    if math.isfinite(value) and above and below:
        return None
    lower = f"{'>' if bounds['open_low'] else '≥'} {low:g}" if math.isfinite(low) else ""
    upper = f"{'<' if bounds['open_high'] else '≤'} {high:g}" if math.isfinite(high) else ""
    return f"{' and '.join(filter(None, (lower, upper)))} expected, {value!r} found"
