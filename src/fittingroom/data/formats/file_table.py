"""A table of picture files: CSV or Parquet with a column of paths, one of labels and, if there is one, one of parts.

    file,label,split            the paths count from the table's folder, or from the one folder beside the table
    photos/1.jpg,cat,train      in which the first of them lies; absolute ones are taken as they are
    photos/2.jpg,dog,test

Paths may lead out of the table's folder, as those that ``data split`` writes do: whatever they name is read as a
picture and as nothing else, and the notes say where it lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fittingroom.data.formats.columns import (
    GROUP,
    SPLIT_NAMES,
    as_text,
    named,
    numbered,
    part_flags,
    parts_of_flags,
    parts_of_rows,
)
from fittingroom.data.formats.label_columns import (
    label_column_of,
    listed,
    one_hot_labels,
    only_other_column,
    refuse_answers_on_rows,
    refuse_unclear_labels,
)
from fittingroom.data.formats.many_pictures import Decoding, decode, greyed_note, refuse_broken, resolve
from fittingroom.data.formats.missing_pictures import MAX_ROWS_SHOWN, problem_of, refuse_missing
from fittingroom.data.formats.splits import Images, Labels, part_of, read_class_names, splits
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

if TYPE_CHECKING:
    import polars as pl

PATH_NAMES = (
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "path",
    "image",
    "img",
    "image_path",
    "img_path",
    "image_file",
    "image_name",
    "image_id",
    "picture",
    "photo",
    "files",
    "filenames",
    "filepaths",
    "paths",
    "images",
    "id_code",
)
"""What a column of paths may be called, the likeliest first."""

ID = "id"
"""What it is called in many competitions, whose files are called ``<id>.jpg``; a column of another name goes before."""

_WHOLE_WITH_POINT = re.compile(r"\s*\d+\.0*\s*")
WEB = re.compile(r"[a-z]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileTable:
    """What a table says.

    Attributes:
        path: of the table.
        names: the paths as the table has them.
        labels: the class of each row as text; None where a cell is empty. None: there is no such column.
        parts: of each row, as it stands in the table; None: there is no such column.
        groups: of each row, what the column ``group`` says, None for an empty cell; None: there is no such column.
        first_row: the number of the first row in the file.
        labels_from: where the labels stand, in words, where no column is called as theirs is.
    """

    path: Path
    names: list[str]
    labels: list[str | None] | None
    parts: list[str] | None
    groups: list[str | None] | None
    first_row: int
    labels_from: str | None = None


def path_column(columns: Sequence[str]) -> str | None:
    """The column that is called as paths are; None where there is none."""
    return named(columns, (*PATH_NAMES, ID))


def is_picture_name(cell: str) -> bool:
    """Whether a cell is the name of a picture file by its suffix."""
    return cell.strip().lower().endswith(SUFFIXES)


def file_table(frame: pl.DataFrame, path: Path, first_row: int) -> FileTable:
    """What a table says, by the names of its columns.

    Args:
        frame: its columns of any types.
        path: of its file.
        first_row: the number of its first row there.

    Raises:
        DataError: no rows, no column of paths, an empty path, columns of which none can be told to be the labels.
    """
    import polars as pl

    place = path_column(frame.columns)
    if place is None:
        raise DataError(f"{path}: a column called {', '.join(PATH_NAMES[:4])} expected, found {listed(frame.columns)}")
    if frame.is_empty():
        raise DataError(f"{path}: a row for each picture expected, no rows found")

    refuse_answers_on_rows(frame, path)
    label, part = label_column_of(frame), named(frame.columns, SPLIT_NAMES)
    flags = part_flags(frame.columns) if part is None else {}
    labels_from = None
    if label is None:
        known = [name for name in (place, part, *flags, named(frame.columns, [GROUP])) if name]
        if (one_hot := one_hot_labels(frame, known, path)) is not None:
            frame = frame.with_columns(label=pl.Series(one_hot))
            label, labels_from = "label", "the names of the columns that are 1"
        elif (label := only_other_column(frame, known)) is not None:
            labels_from = f"those of the column {label!r}, the only one beside the paths"
    if label is None:
        refuse_unclear_labels(frame, known, path)

    def text(column: str) -> list[str | None]:
        values = frame[column]
        # pandas makes 3.0 of 3 where a cell of the column is empty
        if values.dtype.is_float() and bool((values.drop_nulls() == values.drop_nulls().floor()).all()):
            values = values.cast(pl.Int64)
        cells = [value if value and value.strip() else None for value in values.cast(pl.String).to_list()]
        given = [cell for cell in cells if cell]
        if given and all(map(_WHOLE_WITH_POINT.fullmatch, given)):
            cells = [cell and cell.strip().partition(".")[0] for cell in cells]
        return cells

    names, parts = text(place), None if part is None else [value or "" for value in text(part)]
    if None in names:
        raise DataError(f"{path}: row {names.index(None) + first_row:,}, column {place}: a path expected, none found")
    if flags:
        parts = parts_of_flags({flag: text(flag) for flag in flags}, str(path), first_row)
    labels, group = None if label is None else text(label), named(frame.columns, [GROUP])
    groups = None if group is None else text(group)
    return FileTable(path, [name or "" for name in names], labels, parts, groups, first_row, labels_from)


def table_files(table: FileTable) -> list[Path]:
    """The table and every picture of it that is there."""
    found, _ = _located(table)
    return [table.path, *dict.fromkeys(file for file in found if file.is_file())]


def shown_files(table: FileTable, path: Path) -> list[str]:
    """The file of each row as :attr:`Dataset.files` has it for a set opened at ``path``, whether it is there or not."""
    return [_shown(file, path) for file in _located(table)[0]]


def read_tables(
    tables: Sequence[FileTable],
    path: Path,
    preprocessing: Preprocessing,
    *,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Read the pictures of one table, or of one for each part.

    Args:
        tables: without a column of parts, a table is of the part that its name says, or train.
        path: that was opened, a table or its folder.
        preprocessing: what to make of each picture; what it leaves open is decided by the pictures of train.
        skip_broken: leave out pictures that are missing or can't be read, and say so in the notes.
        decoding: is told how many pictures of a part are decoded.

    Raises:
        DataError: all missing and broken pictures, in one error.
    """
    parts, outside = _rows_of_parts(tables)
    count = sum(map(len, parts.values()))
    missing = [why for rows in parts.values() for row in rows if (why := problem_of(row.file, row.where))]
    if missing and not skip_broken:
        refuse_missing(missing, count, path, tables[0].names[0], _located(tables[0])[0][0])

    first = parts["train"] if "train" in parts else next(iter(parts.values()))
    there = [file for file in dict.fromkeys(row.file for row in first) if file.is_file()]
    record, notes = resolve(there, preprocessing)
    has_groups = any(table.groups is not None for table in tables)
    images: dict[str, Images] = {}
    kept: dict[str, list[_Row]] = {}
    known: dict[str, dict[str, list[Any]]] = {}
    broken: list[str] = []
    left_out: list[str] = []
    greyed: list[str] = []
    for part, rows in parts.items():
        files, where = [row.file for row in rows], [row.where for row in rows]
        read = _decoded(files, where, record, partial(decoding, f"decoding {part}"))
        images[part], kept[part] = read.images, list(compress(rows, read.is_good))
        known[part] = {"files": [_shown(row.file, path) for row in kept[part]], "sources": read.sources}
        if has_groups:
            known[part]["groups"] = [row.group for row in kept[part]]
        broken += read.broken
        left_out += [_shown(file, path) for file, good in zip(files, read.is_good, strict=True) if not good]
        greyed += [_shown(file, path) for file in read.greyed]

    if not skip_broken:
        refuse_broken(broken, count, path)
    numbers, classes = _numbers(kept, path)
    filled = {part: (images[part], numbers[part]) for part in images if len(images[part])}
    if not filled:
        raise DataError(f"{path}: a picture that can be read expected, none of {count:,} found")
    notes += [f"{table.path.name}: the labels are {table.labels_from}" for table in tables if table.labels_from]
    notes += [*_notes(broken, outside, path), *greyed_note(greyed, sum(map(len, images.values())), preprocessing)]
    return splits(filled, path, classes, known=known, preprocessing=record, notes=notes, left_out=left_out)


class _Row(NamedTuple):
    """A row of a table: its file, what a message calls it, its label and its group."""

    file: Path
    where: str
    label: str | None
    group: str | None


def _rows_of_parts(tables: Sequence[FileTable]) -> tuple[dict[str, list[_Row]], list[Path]]:
    """The rows of each part, of all tables together, and the files that lie outside of their table's folder."""
    parts: dict[str, list[_Row]] = {}
    outside: list[Path] = []
    for table in tables:
        files, where = _located(table)
        rows = list(map(_Row, files, where, table.labels or repeat(None), table.groups or repeat(None)))
        for part, chosen in _parts_of(table).items():
            parts.setdefault(part, []).extend(rows[place] for place in chosen)

        # a table that is named by a relative path may have absolute ones in it
        folder, whole = table.path.parent, table.path.parent.absolute()
        outside += [
            file for file in files if not (file.is_relative_to(folder) or file.absolute().is_relative_to(whole))
        ]
    return parts, outside


def table_blocks(table: FileTable, rows: int, preprocessing: Preprocessing | None) -> Iterator[Images]:
    """Yield the pictures of a table as uint8 (up to ``rows``, H, W[, 3]), in its order.

    Raises:
        DataError: missing and broken pictures, those of a block in one error.
    """
    files, where = _located(table)
    missing = [message for file, row in zip(files, where, strict=True) if (message := problem_of(file, row))]
    if missing:
        refuse_missing(missing, len(files), table.path, table.names[0], files[0], may_skip=False)
    record, _ = resolve(files, preprocessing or Preprocessing())
    for start in range(0, len(files), rows):
        block = slice(start, start + rows)
        read = _decoded(files[block], where[block], record)
        refuse_broken(read.broken, len(files), table.path, may_skip=False)
        yield read.images


class _Pictures(NamedTuple):
    """The pictures of a part: the images that could be read, which rows those are of, their sources.

    And what is wrong with the others, and the coloured ones that were made grey.
    """

    images: Images
    is_good: list[bool]
    sources: list[bytes]
    broken: list[str]
    greyed: list[Path]


def _decoded(
    files: Sequence[Path],
    rows: Sequence[str],
    record: Preprocessing,
    report: Callable[[int, int], None] = lambda _done, _all: None,
) -> _Pictures:
    """The pictures of these rows. Each file is read once."""
    unique = list(dict.fromkeys(file for file in files if file.is_file()))
    decoded = decode(unique, record, report)
    images, why = decoded.images, decoded.broken
    good_files = [file for file, good in zip(unique, decoded.is_good, strict=True) if good]
    place = {file: row for row, file in enumerate(good_files)}

    good = [file in place for file in files]
    broken = [
        f"{row}: {why[file]}" if file in why else problem_of(file, row) or row
        for file, row in zip(files, rows, strict=True)
        if file not in place
    ]
    chosen = [place[file] for file in files if file in place]
    sources = [decoded.sources[row] for row in chosen]
    images = images if chosen == list(range(len(images))) else images[chosen]
    return _Pictures(images, good, sources, broken, decoded.greyed)


def _located(table: FileTable) -> tuple[list[Path], list[str]]:
    """The file of each row, whether it is there or not, and what an error message calls the row."""
    names = [name.strip().replace("\\", "/") for name in table.names]
    where = [f"{table.path}: row {row:,}" for row in range(table.first_row, table.first_row + len(names))]
    web = next((row for row, name in enumerate(names) if WEB.match(name)), None)
    if web is not None:
        raise DataError(
            f"{where[web]}: a path expected, an address found ({names[web][:60]}): download the pictures first"
        )

    folder, suffix = _base(table.path.parent, names[0])
    files = [
        Path(os.path.normpath(folder / (name if not suffix or is_picture_name(name) else name + suffix)))
        for name in names
    ]
    return files, where


def _base(folder: Path, name: str) -> tuple[Path, str]:
    """The folder from which the paths count, and what the names lack at their end, by the first of them."""
    suffixes = ("",) if is_picture_name(name) else ("", *SUFFIXES)
    for suffix in suffixes:
        if (folder / f"{name}{suffix}").is_file():
            return folder, suffix
    try:
        beside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return folder, ""
    found = [(inner, suffix) for suffix in suffixes for inner in beside if (inner / f"{name}{suffix}").is_file()]
    return found[0] if len(found) == 1 else (folder, "")


def _parts_of(table: FileTable) -> dict[str, list[int]]:
    if table.parts is None:
        return {part_of(table.path.name) or "train": list(range(len(table.names)))}
    chosen = parts_of_rows(table.parts, str(table.path), table.first_row)
    return {part: rows.tolist() for part, rows in chosen.items()}


def _numbers(parts: dict[str, list[_Row]], path: Path) -> tuple[dict[str, Labels | None], tuple[str, ...]]:
    """The labels of each part as numbers, and the classes. A part without any label is unlabelled."""
    names: dict[str, np.ndarray | None] = {}
    for part, rows in parts.items():
        values = [row.label for row in rows]
        if all(value is None for value in values):
            names[part] = None
            continue
        if None in values:
            where = rows[values.index(None)].where
            raise DataError(f"{where}: a label expected as in other rows of {part}, none found")
        names[part] = as_text([value or "" for value in values], str(path))
    order = read_class_names(path if path.is_dir() else path.parent)

    # numbers count the lines of classes.txt, as they do for every other format
    found = {str(name) for values in names.values() if values is not None for name in np.unique(values)}
    if (
        order
        and found
        and all(name.isdecimal() and int(name) < len(order) for name in found)
        and not found & set(order)
    ):
        return {part: None if values is None else values.astype(np.int64) for part, values in names.items()}, order
    return numbered(names, str(path), order)


def _notes(broken: Sequence[str], outside: Sequence[Path], path: Path) -> list[str]:
    notes = []
    if broken:
        more = f" and {len(broken) - MAX_ROWS_SHOWN:,} more" if len(broken) > MAX_ROWS_SHOWN else ""
        notes.append(f"left out, as they can't be read: {'; '.join(broken[:MAX_ROWS_SHOWN])}{more}")
    if outside:
        notes.append(
            f"{len(outside):,} pictures lie outside of the table's folder, the first is {_shown(outside[0], path)}"
        )
    return notes


def _shown(file: Path, path: Path) -> str:
    """A file's path from the table's folder, with ``/`` between its parts."""
    folder = path if path.is_dir() else path.parent
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # of Windows, on another drive
        return file.name
