"""What the pages of a Parquet file claim, held against what the file can hold, before Polars reads any.

Polars takes the memory that a page's header asks for at once, and where it can't have it the process ends: three
kilobytes were enough for either. Here footer and page headers alone are read, as parquet.thrift has them
(https://github.com/apache/parquet-format), in Thrift's compact protocol.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

LARGEST_FOOTER = 16 << 20  # bytes; a table of 785 columns has about 0.1 MB for each group of rows
ALWAYS_ALLOWED = 64 << 20  # bytes that any page may unpack to
MOST_UNPACKED = 8  # times its size in the file, of a larger page: what is large and real doesn't shrink that much
MANY_VALUES, VALUES_A_BYTE = 1 << 24, 100  # of a column in one group of rows: so many, or so many for each byte
FIRST_READ, LARGEST_HEADER = 4_096, 4 << 20  # bytes of a page's header, which may hold its smallest and largest value
DEEPEST = 32  # structs in structs
MOST_KNOWN = 1_000  # files whose answer is remembered

DATA, DICTIONARY, DATA_2 = 0, 2, 3  # kinds of pages
REPEATED = 2  # a column of lists, whose values aren't those of its rows
ENCODINGS = (0, 2, 3, 4, 5, 6, 7, 8, 9)  # Polars panics at others
BYTES_OF = {1: 4, 2: 8, 3: 12, 4: 4, 5: 8, 6: 4}  # that a value of each kind takes in a dictionary, at least
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12  # kinds of values
WHOLE = (4, 5, 6)

Fields = dict[int, Any]  # of a struct, by number: numbers, structs and lists; None for what is skipped

_known: dict[tuple[int, ...], str | None] = {}


class _Untrue(Exception):
    """What a file claims that can't be."""


def page_problem(file: BinaryIO) -> str | None:
    """What is untrue in the headers of an open Parquet file, in words; None for nothing. It is left where it was.

    A file on disk is looked at once, as long as it stays the same.
    """
    try:
        status = os.fstat(file.fileno())
    except OSError:  # in memory
        return _problem(file)
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = _problem(file)
    return _known[key]


def _problem(file: BinaryIO) -> str | None:
    place = file.tell()
    try:
        size = file.seek(0, os.SEEK_END)
        footer, end = _footer(file, size)
        schema = _list(footer, 2)
        kinds = [element.get(1) for element in schema[1:] if not element.get(5)]  # of what has no columns within
        has_lists = any(element.get(3) == REPEATED for element in schema)
        groups = _list(footer, 4)
        if (values := _whole(footer, 3)) != (rows := sum(_whole(group, 3) for group in groups)):
            raise _Untrue(f"it claims {values:,} rows, and its groups of rows {rows:,}")
        for group in groups:
            columns = [_struct(column, 3) for column in _list(group, 1)]
            if [column.get(1) for column in columns] != kinds:
                raise _Untrue("its columns aren't those of its schema")
            for column in columns:
                _check_column(file, column, end)
                if not has_lists and (values := _whole(column, 5)) != (rows := _whole(group, 3)):
                    raise _Untrue(f"a column claims {values:,} values in {rows:,} rows")
    except _Untrue as problem:
        return str(problem)
    finally:
        file.seek(place)
    return None


def _footer(file: BinaryIO, size: int) -> tuple[Fields, int]:
    """The footer, and where it begins."""
    if size < 12:
        raise _Untrue("it has no footer")
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or not 0 < length <= min(size - 12, LARGEST_FOOTER):
        raise _Untrue("its footer can't be found")

    file.seek(size - 8 - length)
    try:
        return _Thrift(file.read(length)).struct(), size - 8 - length
    except IndexError:
        raise _Untrue("its footer is cut off") from None


def _check_column(file: BinaryIO, column: Fields, end: int) -> None:
    """Hold the pages of a column, in one group of rows, against their place in the file and its number of values."""
    values, size = _whole(column, 5), _whole(column, 7)
    _check_encodings(column.get(2) or [])
    place = _whole(column, 11 if 11 in column else 9)
    if values > max(MANY_VALUES, VALUES_A_BYTE * size):
        raise _Untrue(f"it claims {values:,} values in {size:,} bytes")
    if place + size > end:
        raise _Untrue(f"it claims a column of {size:,} bytes at {place:,}, and ends at {end:,}")

    # pages follow each other until they have all values; a dictionary has none of these, and an index is skipped
    end, left = place + size, values
    while left > 0 and place < end:
        header, length = _page_header(file, place, end)
        unpacked, packed = _whole(header, 2), _whole(header, 3)
        place += length + packed
        if place > end or unpacked > max(ALWAYS_ALLOWED, MOST_UNPACKED * packed):
            raise _Untrue(f"a page claims {packed:,} bytes that unpack to {unpacked:,}, in a column of {size:,}")

        kind = header.get(1)
        if kind == DICTIONARY:
            about = _struct(header, 7)
            if (count := _whole(about, 1)) * BYTES_OF.get(_whole(column, 1), 1) > unpacked:
                raise _Untrue(f"a dictionary claims {count:,} values in {unpacked:,} bytes")
            _check_encodings([about.get(2)])
        elif kind in (DATA, DATA_2):
            about = _struct(header, 5 if kind == DATA else 8)
            left -= (count := _whole(about, 1))
            levels = 0 if kind == DATA else _whole(about, 5) + _whole(about, 6)
            if left < 0 or levels > packed:
                raise _Untrue(f"a page claims {count:,} values of a column of {values:,}")
            _check_encodings([about.get(2), about.get(3), about.get(4)] if kind == DATA else [about.get(4)])
    if left:
        raise _Untrue(f"a column claims {values:,} values, and its pages {values - left:,}")


def _check_encodings(numbers: list[Any]) -> None:
    if strange := [number for number in numbers if number not in ENCODINGS]:
        raise _Untrue(f"it claims an encoding {strange[0]} of its values")


def _page_header(file: BinaryIO, place: int, end: int) -> tuple[Fields, int]:
    """The header of a page, and its length."""
    for most in (FIRST_READ, LARGEST_HEADER):
        file.seek(place)
        thrift = _Thrift(file.read(min(most, end - place)))
        try:
            return thrift.struct(), thrift.at
        except IndexError:
            continue
    raise _Untrue("a page's header has no end")


def _whole(fields: Fields, number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise _Untrue(f"it claims a size of {'nothing' if value is None else value}")
    return value


def _struct(fields: Fields, number: int) -> Fields:
    value = fields.get(number)
    if not isinstance(value, dict):
        raise _Untrue("a part of its headers is missing")
    return value


def _list(fields: Fields, number: int) -> list[Fields]:
    value = fields.get(number)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _Untrue("a part of its headers is missing")
    return value


class _Thrift:
    """Reads a struct from its start, with IndexError where the bytes don't suffice."""

    def __init__(self, content: bytes):
        self._content, self.at, self._depth = content, 0, 0

    def struct(self) -> Fields:
        """The struct that begins here."""
        content, number = self._content, 0
        fields: Fields = {}
        while head := content[self.at]:
            self.at += 1
            number = number + (head >> 4) if head >> 4 else self._whole()
            if number in fields:
                raise _Untrue("a part of its headers is there twice")
            kind = head & 15
            fields[number] = None if kind in (TRUE, FALSE) else self._value(kind)
        self.at += 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in WHOLE:
            return self._whole()

        # a file may nest as deep as it is long, and Python not
        if kind in (STRUCT, LIST, SET):
            self._depth += 1
            if self._depth > DEEPEST:
                raise _Untrue("its headers are nested too deeply")
            inner = self.struct() if kind == STRUCT else self._list()
            self._depth -= 1
            return inner

        if kind == BINARY:
            return self._skip(self._varint())
        if kind in (TRUE, FALSE, BYTE):  # in a list, true and false take a byte
            return self._skip(1)
        if kind == DOUBLE:
            return self._skip(8)
        raise _Untrue("its headers hold what Parquet doesn't")

    def _list(self) -> list[Any]:
        head = self._content[self.at]
        self.at += 1
        count, kind = head >> 4, head & 15
        return [self._value(kind) for _ in range(self._varint() if count == 15 else count)]

    def _skip(self, length: int) -> None:
        self.at += length
        if self.at > len(self._content):
            raise IndexError

    def _varint(self) -> int:
        content, at, number, shift = self._content, self.at, 0, 0
        while (byte := content[at]) > 127:
            number |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if shift > 63:
                raise _Untrue("its headers hold a number without end")
        self.at = at + 1
        return number | byte << shift

    def _whole(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)
