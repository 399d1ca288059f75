"""What a file says, as values of the types that its record names: a run's folder may have come by mail.

A record is a dataclass or a ``TypedDict``; its annotations are the only list of what a file may say, and are looked at
once. Numbers are finite, whole numbers fit into 64 bits, texts have a length that a page can show. Where that is not
enough, ``Annotated`` adds a :class:`Range`, an :class:`Among` or a :class:`Form`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from reprlib import Repr
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from fittingroom.errors import ArtifactError

LONGEST_TEXT = 100_000  # characters
LARGEST_INT = 2**63 - 1
LARGEST_FLOAT = 1e40  # beyond what float32 holds, and its square is still a number; or the largest, for "none yet"
WHAT_TO_DO = "the file was damaged or changed: put a copy of it back, or train the run anew"
WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}

T = TypeVar("T")
Reader = Callable[[Any, str], Any]  # from a plain value, and the key that it stands under


class Unexpected(Exception):
    """What is expected of a key, and what was found."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high`` that are permitted, for ``Annotated``."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Among:
    """The numbers that are permitted, for ``Annotated``."""

    choices: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """What a whole text has to match, and how messages call it, for ``Annotated``. It may be of any length."""

    pattern: re.Pattern[str]
    words: str


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Share = Annotated[float, Range(0, 1)]
Seconds = Annotated[float, Range(0)]
SHA256 = Annotated[str, Form(re.compile(r"[0-9a-f]{64}"), "a SHA-256")]
LongText = Annotated[str, Form(re.compile(r"(?s).*"), "text")]


def read_record(
    hint: type[T], value: object, where: str, *, given: Mapping[str, Any] | None = None, advice: str = WHAT_TO_DO
) -> T:
    """The record that plain values are: an instance of a dataclass, or the same dict for a ``TypedDict``.

    Keys that the record doesn't name are left alone, as a later version may have written them; those with a default
    may be missing.

    Args:
        hint: the dataclass or ``TypedDict``.
        value: as JSON gives it.
        where: what messages call it, such as the file's path.
        given: fields of a dataclass that don't come from the file.
        advice: what to do, for the message.

    Raises:
        ArtifactError: a key is missing, or its value is of another type or out of its range.

    Example:
        >>> from fittingroom.environment import Machine
        >>> read_record(Machine, {"system": "Linux", "processor": "x", "cores": 2, "device": 7, "threads": 1}, "a.json")
        Traceback (most recent call last):
        fittingroom.errors.ArtifactError: a.json: device: text expected, 7 found; the file was damaged or changed: ...
    """
    try:
        if given is None:
            return cast("T", reader_of(cast("Any", hint))(value, ""))
        return cast("T", _read_dataclass(hint, value, "", given))
    except Unexpected as problem:
        raise ArtifactError(f"{where}: {problem}; {advice}") from None


@cache
def reader_of(hint: Any) -> Reader:
    """What reads a plain value as an annotation has it, and raises :class:`Unexpected` for any other."""
    if is_dataclass(hint):
        return lambda value, key: _read_dataclass(cast("type", hint), value, key, {})
    if is_typeddict(hint):
        return _typed_dict(hint)

    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _bounded(inner[0], inner[1])
    if kind in (Required, NotRequired):
        return reader_of(inner[0])
    if kind in (UnionType, Union):
        return _one_of(inner)
    if kind is Literal:
        return _choice(inner)
    if kind is tuple:
        return _tuple(inner)
    if kind is list:
        of_item = reader_of(inner[0])
        return lambda value, key: [of_item(item, f"{key}.{i}") for i, item in enumerate(plain(list, value, key))]
    if kind in (dict, Mapping):
        of_value = reader_of(inner[1])
        return lambda value, key: {
            plain(str, name, key): of_value(item, under(key, name)) for name, item in plain(dict, value, key).items()
        }
    return (lambda value, _key: value) if hint is Any else (lambda value, key: plain(hint, value, key))


def plain(kind: type, value: Any, key: str) -> Any:
    """A value of one of JSON's own types, within what a program may be given."""
    if kind is NoneType:
        if value is not None:
            raise expected("null", value, key)
        return None

    # true and false are whole numbers to Python, and a whole number is a number
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (kind in (int, float) and isinstance(value, bool)):
        raise expected(WORDS[kind], value, key)
    if kind is float and not abs(value) <= LARGEST_FLOAT and abs(value) != sys.float_info.max:
        raise expected(f"a number of at most {LARGEST_FLOAT:g}", value, key)
    if kind is int and abs(value) > LARGEST_INT:
        raise expected("a whole number of 64 bits", value, key)
    if kind is str and len(value) > LONGEST_TEXT:
        raise expected(f"text of at most {LONGEST_TEXT:,} characters", value, key)
    return value


def expected(words: str, found: Any, key: str) -> Unexpected:
    """The problem of a value that is another one; what was found is shown in brief, without control characters."""
    return Unexpected(f"{key + ': ' if key else ''}{words} expected, {brief(found)} found")


def brief(value: Any) -> str:
    """A value in so many characters as a line of a message has room for."""
    return _BRIEF.repr(value)


class _Brief(Repr):
    """What :mod:`reprlib` gives, for numbers of more digits than Python writes too."""

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"a number of {x.bit_length():,} bits"


_BRIEF = _Brief()
_BRIEF.maxstring = _BRIEF.maxother = 60


def under(key: str, name: str) -> str:
    """What messages call a member of an object."""
    shown = name if len(name) <= 60 and name.isprintable() else brief(name)
    return f"{key}.{shown}" if key else shown


_hints = cache(get_type_hints)  # which evaluates each annotation anew


def _read_dataclass(cls: Any, value: Any, key: str, given: Mapping[str, Any]) -> Any:
    members = plain(dict, value, key)
    hints = _hints(cls, include_extras=True)
    values = dict(given)
    for field in fields(cls):
        if field.name in given:
            continue
        if field.name in members:
            values[field.name] = reader_of(hints[field.name])(members[field.name], under(key, field.name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise Unexpected(f"{under(key, field.name)} expected, it is missing")

    # A record may hold what none of its fields can say alone.
    try:
        return cls(**values)
    except ValueError as error:
        raise Unexpected(f"{key + ': ' if key else ''}{error}") from None


def _typed_dict(hint: Any) -> Reader:
    hints = _hints(hint, include_extras=True)
    readers = {name: reader_of(inner) for name, inner in hints.items()}
    required = {name for name, inner in hints.items() if get_origin(inner) is not NotRequired}

    def read(value: Any, key: str) -> Any:
        members = plain(dict, value, key)
        for name, of_value in readers.items():
            if name in members:
                of_value(members[name], under(key, name))
            elif name in required:
                raise Unexpected(f"{under(key, name)} expected, it is missing")
        return members

    return read


def _bounded(hint: Any, bound: Range | Form | Among) -> Reader:
    if isinstance(bound, Among):
        return _choice(bound.choices)
    if isinstance(bound, Form):

        def read_text(value: Any, key: str) -> Any:
            if not isinstance(value, str) or not bound.pattern.fullmatch(value):
                raise expected(bound.words, value, key)
            return value

        return read_text

    of_value, low, high = reader_of(hint), bound.low, bound.high

    def read_number(value: Any, key: str) -> Any:
        number = of_value(value, key)
        if not low <= number <= high:
            words = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise expected(words, number, key)
        return number

    return read_number


def _one_of(hints: tuple[Any, ...]) -> Reader:
    """The first of several annotations that a value has; null is told before the others are tried."""
    may_be_none = NoneType in hints
    readers = [reader_of(hint) for hint in hints if hint is not NoneType]

    def read(value: Any, key: str) -> Any:
        if value is None and may_be_none:
            return None
        for of_value in readers[:-1]:
            try:
                return of_value(value, key)
            except Unexpected:
                continue
        return readers[-1](value, key)

    return read


def _choice(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any, key: str) -> Any:
        # true equals 1 in Python, and a list can't be looked up
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise expected(" or ".join(map(str, choices)), value, key)
        return value

    return read


def _tuple(hints: tuple[Any, ...]) -> Reader:
    if len(hints) == 2 and hints[1] is ...:
        of_item = reader_of(hints[0])
        return lambda value, key: tuple(of_item(item, f"{key}.{i}") for i, item in enumerate(plain(list, value, key)))
    readers = [reader_of(hint) for hint in hints]

    def read(value: Any, key: str) -> Any:
        items = plain(list, value, key)
        if len(items) != len(readers):
            raise expected(f"a list of {len(readers)}", value, key)
        return tuple(of_item(item, f"{key}.{i}") for i, (of_item, item) in enumerate(zip(readers, items, strict=True)))

    return read
