"""TOML as text: what ``tomllib`` leaves out. Lines of keys for messages, ``KEY=VALUE`` overrides, and writing."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 200  # characters of an override that a message repeats
MAX_BYTES = 1 << 20  # of a file of TOML; a recipe that somebody wrote has some thousands
MAX_DOTS = 32  # in a key, whose parts tomllib goes through again for each of them


def parse_toml(text: str) -> dict[str, Any]:
    """Plain values of TOML text, in a time that its length lets one expect.

    Raises:
        ValueError: no TOML, nested too deep, a number too long, more text than anybody wrote for this, or a date.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"at most {MAX_BYTES:,} characters expected, {len(text):,} found")

    # A key stands before an equals sign, the name of a table alone in brackets; what is split has a sign in between.
    pieces = ["\n", *re.split(r"([=\n,{\[\]])", text), "\n"]
    for before, piece, after in zip(pieces[:-2:2], pieces[1::2], pieces[2::2], strict=True):
        if piece.count(".") > MAX_DOTS and (after == "=" or (before, after) == ("[", "]")):
            raise ValueError(f"keys of at most {MAX_DOTS + 1} parts expected, {piece.strip()[:40]}… found")

    try:
        raw = tomllib.loads(text)
        date = _first_date(raw)
    except RecursionError:
        raise ValueError("fewer lists and tables within each other expected") from None
    if date is not None:
        raise ValueError(f"numbers, text, true or false expected, the date or time {date} found: put it into quotes")
    return raw


def _first_date(value: Any) -> object:
    """The first value that JSON has no word for, which in TOML is a date or a time; None where there is none."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next((date for each in inner if (date := _first_date(each)) is not None), None)
    return None if isinstance(value, str | int | float) else value


def apply_override(raw: dict[str, Any], override: str) -> str | None:
    """Set a key of a recipe's plain values as ``--set`` does.

    Args:
        raw: is changed.
        override: such as ``stages.0.lr=0.02``.

    Returns:
        What is wrong with the override; None where it was carried out.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        return f"`overrides` {override}: KEY=VALUE expected, such as stages.0.lr=0.02"
    try:
        value = parse_toml(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # so that --set mirror=random needs no quotes inside quotes
    except ValueError as error:
        return f"`overrides` {override[:LONGEST]}: {error}"
    return None if set_key(raw, keys, value) else f"`overrides` {override}: the recipe has no {path.strip()}"


def set_key(raw: dict[str, Any], keys: Sequence[str], value: Any) -> bool:
    """Set the place that the keys lead to, such as ``stages``, ``0``, ``lr``; tables on the way are made.

    Returns:
        Whether there is such a place: a list isn't made longer.
    """
    target: Any = raw
    for key in keys[:-1]:
        if isinstance(target, dict):
            target = target.setdefault(key, {})
        elif isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        else:
            return False

    # the last key is set where the others are only followed
    last = keys[-1]
    if isinstance(target, dict):
        target[last] = value
    elif isinstance(target, list) and last.isdecimal() and int(last) < len(target):
        target[int(last)] = value
    else:
        return False
    return True


def lines_of_keys(text: str) -> dict[str, int]:
    """1-based line of each key path of a TOML text, for messages; keys inside inline tables share their line."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""

    # tomllib keeps no lines; these three kinds are all that a recipe is made of
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            name = match[1]
            prefix = f"{name}.{counts.get(name, 0)}."
            counts[name] = counts.get(name, 0) + 1
            lines[prefix[:-1]] = number
        elif match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            prefix = f"{match[1]}."
            lines[match[1]] = number
        elif match := re.match(r"\s*([\w.-]+|\"[^\"]*\")\s*=", line):
            lines[prefix + match[1].strip('"')] = number
    return lines


def to_toml(raw: Mapping[str, Any]) -> str:
    """TOML text: scalars and lists first, then tables, then arrays of tables, as the format demands."""
    scalars, tables, arrays = [], [], []
    for key, value in raw.items():
        name = _key_text(key)
        if isinstance(value, Mapping):
            if value:
                tables.append(f"\n[{name}]\n{_pairs(value)}")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            arrays += [f"\n[[{name}]]\n{_pairs(item)}" for item in value]
        else:
            scalars.append(f"{name} = {_value_text(value)}\n")
    return "".join(scalars + tables + arrays)


def _pairs(table: Mapping[str, Any]) -> str:
    """The lines of a table; what is nested in it is written inline."""
    return "".join(f"{_key_text(key)} = {_value_text(value)}\n" for key, value in table.items())


def _key_text(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value_text(key)


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key_text(key)} = {_value_text(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value_text(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # JSON's strings, numbers and booleans are TOML's too, except that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
