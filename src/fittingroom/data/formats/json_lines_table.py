"""A table of picture files in JSON Lines, an object a row, such as ``metadata.jsonl`` of Hugging Face's image folders.

    {"file_name": "photos/1.jpg", "label": "cat", "split": "train"}

Columns are called, and paths counted, as :mod:`fittingroom.data.formats.file_table` says; a column that holds lists or
objects anywhere, such as boxes or words, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fittingroom.data.formats.columns import label_column
from fittingroom.data.formats.file_table import (
    FileTable,
    file_table,
    path_column,
    read_tables,
    table_blocks,
    table_files,
)
from fittingroom.data.formats.gzipped import open_bytes
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.formats.splits import Images, by_part, part_of
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.json_lines import MAX_BYTES, MAX_LINE, parse_line
from fittingroom.files.polars_check import check_polars
from fittingroom.files.stand_in import stand_in

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
MAX_CELLS = 5_000_000  # of the rows and all keys that occur: what a million pictures need, in half a gigabyte


def json_lines_files(path: Path) -> list[Path]:
    """Every file that :func:`read_json_lines_tables` reads: the tables, and the pictures that they name.

    Of a folder, only where the first row of its tables names pictures: logs are JSON Lines, too.
    """
    tables = list(find_tables(path).values())
    if path.is_dir() and not all(map(_names_pictures, tables)):
        return []
    pictures = [picture for table in tables for picture in table_files(read_file_table(table))[1:]]
    return [*tables, *dict.fromkeys(pictures)]


def read_json_lines_tables(
    path: Path,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Read the pictures of one table, or of a folder with one for each part.

    Args:
        path: of the file or folder.
        preprocessing: what to make of the pictures; None: what these suggest.
        skip_broken: leave out pictures that can't be read, and say so in the notes.
        decoding: is told how many pictures are decoded.

    Raises:
        DataError: names the row of what is wrong, or all pictures that can't be read.
    """
    tables = [read_file_table(table) for table in find_tables(path).values()]
    return read_tables(tables, path, preprocessing or Preprocessing(), skip_broken=skip_broken, decoding=decoding)


def json_lines_blocks(path: Path, rows: int, preprocessing: Preprocessing | None = None) -> Iterator[Images]:
    """Yield the pictures of a table as uint8 (up to ``rows``, H, W[, 3]), never holding more than one block in memory.

    Raises:
        DataError: as :func:`read_json_lines_tables`.
    """
    yield from table_blocks(read_file_table(path), rows, preprocessing)


def read_file_table(path: Path) -> FileTable:
    """What a file of JSON Lines says of picture files.

    Raises:
        DataError: the file can't be read, a line is no object, or columns can't be told.
    """
    import polars as pl

    check_polars()
    columns = _columns(path)
    return file_table(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String())), path, 1)


def gives_labels(path: Path) -> bool:
    """Whether this is the table of the picture files of one part, by its name, and of their labels."""
    return part_of(path.name) is not None and _names_pictures(path) and label_column(_first_keys(path)) is not None


def text_column(path: Path, name: str) -> list[str | None] | None:
    """A column as text, None where an object has no such key; None where none has.

    Raises:
        DataError: the file can't be read, or a line is no object.
    """
    return _columns(path).get(name)


def _columns(path: Path) -> dict[str, list[str | None]]:
    """The texts of each key that holds nothing but texts, numbers and truth values, by the key."""
    columns: dict[str, list[str | None]] = {}
    nested: set[str] = set()
    count = 0
    for count, row in enumerate(_rows(path), 1):
        for name, value in row.items():
            if isinstance(value, (list, dict)):
                nested.add(name)
            elif value is not None:
                cells = columns.setdefault(name, [])
                cells += [None] * (count - 1 - len(cells))
                cells.append(str(value))
        if count * len(columns) > MAX_CELLS:
            raise DataError(
                f"{path}: row {count:,}: at most {MAX_CELLS:,} cells expected, more found ({len(columns):,} keys in "
                "the rows so far): save it as Parquet"
            )

    if not count:
        raise DataError(f"{path}: a row for each picture expected, no rows found")
    for cells in columns.values():
        cells += [None] * (count - len(cells))
    return {name: cells for name, cells in columns.items() if name not in nested}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The object of each line but blank ones."""
    size = 0
    with open_bytes(path) as file:
        while line := file.readline(MAX_LINE + 1):
            size += len(line)
            if size > MAX_BYTES:
                raise DataError(f"{path}: at most {MAX_BYTES >> 20} MB expected, more found: save it as Parquet")
            if not line.strip():
                continue
            row = parse_line(line.removeprefix(b"\xef\xbb\xbf"))
            if row is None:
                shown = line[:40].decode("utf-8", "replace").strip()
                raise DataError(
                    f'{path}: an object of JSON in each line expected, such as {{"file_name": "1.png", "label": '
                    f'"cat"}}, found {shown!r}{stand_in(line)}'
                )
            yield row


def find_tables(path: Path) -> dict[str, Path]:
    """The tables by their parts: those of a folder by their names, or the one at ``path``.

    Raises:
        DataError: two files are the same part.
    """
    if not path.is_dir():
        return by_part([path])
    return by_part([file for file in sorted(path.iterdir()) if file.name.lower().endswith(SUFFIXES) and file.is_file()])


def _names_pictures(table: Path) -> bool:
    return path_column(_first_keys(table)) is not None


def _first_keys(table: Path) -> list[str]:
    """The keys of the first row; none where it is no object."""
    try:
        return [key for row in islice(_rows(table), 1) for key in row]
    except DataError:
        return []
