"""Parquet files whose headers claim what they don't hold: Thrift's compact protocol, read and written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 3, 7, 8, 9, 12
WHOLE = (4, 5, 6)  # of 16, 32 and 64 bits

# A struct is a dict of its fields by number, each a kind and a value; a list is a kind and its values.
Struct = dict[int, tuple[int, Any]]

FOOTER_ROW_GROUPS, GROUP_COLUMNS, COLUMN_DATA = 4, 1, 3
TOTAL_SIZE, PAGE_OFFSET, DICTIONARY_OFFSET = 7, 9, 11  # of a column's data
UNPACKED_SIZE, PACKED_SIZE, PLAIN_PAGE, DICTIONARY_PAGE = 2, 3, 5, 7  # of a page's header
VALUES = 1  # of what a page's header says of its kind


def claim(file: Path, change: Callable[[Struct], None], *, dictionary: bool = False) -> None:
    """Change the header of the first page of the last column, the dictionary's or the data's, and rewrite the file."""
    content = file.read_bytes()
    footer_size = int.from_bytes(content[-8:-4], "little")
    body, (footer, _) = content[: -8 - footer_size], read_struct(content[-8 - footer_size : -8], 0)
    data = footer[FOOTER_ROW_GROUPS][1][1][0][GROUP_COLUMNS][1][1][-1][COLUMN_DATA][1]

    start = data[DICTIONARY_OFFSET if dictionary else PAGE_OFFSET][1]
    header, end = read_struct(body, start)
    change(header)
    written = write_struct(header)
    grown = len(written) - (end - start)
    data[TOTAL_SIZE] = (data[TOTAL_SIZE][0], data[TOTAL_SIZE][1] + grown)
    if dictionary:
        data[PAGE_OFFSET] = (data[PAGE_OFFSET][0], data[PAGE_OFFSET][1] + grown)

    packed = write_struct(footer)
    file.write_bytes(body[:start] + written + body[end:] + packed + len(packed).to_bytes(4, "little") + b"PAR1")


def set_number(struct: Struct, field: int, number: int) -> None:
    """Give a whole number another value."""
    struct[field] = (struct[field][0], number)


def read_struct(content: bytes, at: int) -> tuple[Struct, int]:
    """A struct and where it ends."""
    fields: Struct = {}
    number = 0
    while (head := content[at]) != 0:
        at, kind, number = at + 1, head & 15, number + (head >> 4)
        if not head >> 4:
            number, at = _read_whole(content, at)
        fields[number], at = _read_value(content, at, kind)
    return fields, at + 1


def write_struct(fields: Struct) -> bytes:
    """The bytes of a struct."""
    out, before = b"", 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - before
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _write_whole(number)
        out, before = out + _write_value(kind, value), number
    return out + b"\0"


def _read_value(content: bytes, at: int, kind: int) -> tuple[tuple[int, Any], int]:
    if kind in (TRUE, FALSE):
        return (kind, None), at
    if kind in WHOLE:
        number, at = _read_whole(content, at)
        return (kind, number), at
    if kind == BINARY:
        length, at = _read_varint(content, at)
        return (kind, content[at : at + length]), at + length
    if kind == STRUCT:
        inner, at = read_struct(content, at)
        return (kind, inner), at
    if kind == LIST:
        head, at, values = content[at], at + 1, []
        count = head >> 4
        if count == 15:
            count, at = _read_varint(content, at)
        for _ in range(count):
            (_, value), at = _read_value(content, at, head & 15)
            values.append(value)
        return (kind, (head & 15, values)), at
    size = {BYTE: 1, DOUBLE: 8}[kind]
    return (kind, content[at : at + size]), at + size


def _write_value(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE):
        return b""
    if kind in WHOLE:
        return _write_whole(value)
    if kind == BINARY:
        return _write_varint(len(value)) + bytes(value)
    if kind == STRUCT:
        return write_struct(value)
    if kind == LIST:
        inner, values = value
        head = bytes([len(values) << 4 | inner]) if len(values) < 15 else bytes([0xF0 | inner])
        count = b"" if len(values) < 15 else _write_varint(len(values))
        return head + count + b"".join(_write_value(inner, each) for each in values)
    return bytes(value)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte, at = content[at], at + 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def _write_varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _read_whole(content: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(content, at)
    return number >> 1 ^ -(number & 1), at


def _write_whole(number: int) -> bytes:
    return _write_varint(number * 2 if number >= 0 else -number * 2 - 1)
