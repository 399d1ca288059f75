"""A CSV of any kind: pixels in columns, pixels in one column, or paths of picture files; its first row tells which."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.data.formats.columns import as_text, label_column
from fittingroom.data.formats.csv_layout import (
    SMALLEST_ROW,
    cells_of,
    first_line,
    is_header,
    pixel_number,
    separator_of,
)
from fittingroom.data.formats.file_table import (
    FileTable,
    file_table,
    is_picture_name,
    path_column,
    read_tables,
    table_blocks,
    table_files,
)
from fittingroom.data.formats.gzipped import open_bytes
from fittingroom.data.formats.kaggle_csv import (
    csv_blocks,
    find_csv,
    labelled,
    read_parts,
    refuse_other_text,
    unpacked,
)
from fittingroom.data.formats.label_columns import ANSWER_COLUMNS
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.formats.pixels_column import (
    FER2013_CLASSES,
    has_pixels_column,
    is_fer2013,
    pixels_column_blocks,
    read_pixels_column,
)
from fittingroom.data.formats.splits import Images, part_of, read_class_names, splits
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.polars_check import check_polars

if TYPE_CHECKING:
    import polars as pl


def csv_data_files(path: Path) -> list[Path]:
    """Every file that :func:`read_csv` reads: the CSV files, and the pictures that they name."""
    files = list(find_csv(path).values())
    tables = [file for file in files if _is_file_table(file)]
    pictures = [picture for file in tables for picture in table_files(read_file_table(file))[1:]]
    return [*files, *dict.fromkeys(pictures)]


def read_csv(
    path: Path,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Read one CSV, or a folder with one for each part.

    Args:
        path: of the file or folder.
        preprocessing: what to make of picture files; None: what these suggest.
        skip_broken: leave out picture files that can't be read, and say so in the notes.
        decoding: is told how many picture files are decoded.

    Raises:
        DataError: names the row of what is wrong, or all pictures that can't be read.
    """
    files = find_csv(path)
    if not files:
        raise DataError(f"{path}: CSV files called …train.csv and …test.csv expected, none found")
    are_tables = {file: _is_file_table(file) for file in files.values()}
    if all(are_tables.values()):
        tables = [read_file_table(file) for file in files.values()]
        return read_tables(tables, path, preprocessing or Preprocessing(), skip_broken=skip_broken, decoding=decoding)
    if any(are_tables.values()):
        names = ", ".join(file.name for file, is_table in are_tables.items() if is_table)
        raise DataError(f"{path}: pixels in all CSV files expected, or paths in all, found paths in {names} alone")

    if not any(has_pixels_column(file) for file in files.values()):
        return read_parts(files, path)
    return _read_pixels_columns(files, path)


def csv_kinds_blocks(path: Path, rows: int, preprocessing: Preprocessing | None = None) -> Iterator[Images]:
    """Yield the images of a CSV as uint8 (up to ``rows``, H, W[, 3]), never holding more than one block in memory.

    Raises:
        DataError: as :func:`read_csv`.
    """
    if _is_file_table(path):
        yield from table_blocks(read_file_table(path), rows, preprocessing)
    elif has_pixels_column(path):
        yield from pixels_column_blocks(path, rows)
    else:
        yield from csv_blocks(path, rows)


def gives_labels(path: Path) -> bool:
    """Whether a CSV is the table of the picture files of one part, by its name, and of their labels.

    Raises:
        DataError: the file can't be read.
    """
    return part_of(path.name) is not None and _is_file_table(path) and _is_labelled(path)


def _read_pixels_columns(files: dict[str, Path], path: Path) -> Splits:
    parts = {}
    for part, file in files.items():
        read = read_pixels_column(file, part)
        for name, found in read.items():
            if name in parts:
                raise DataError(f"{path}: one set of {name} images expected, another found in {file.name}")
            parts[name] = found

    numbers = {name: None if labels is None else as_text(labels, str(path)) for name, (_, labels) in parts.items()}
    are_numbers = all(np.char.isdecimal(labels).all() for labels in numbers.values() if labels is not None)
    if not are_numbers:
        return labelled({name: (images, numbers[name]) for name, (images, _) in parts.items()}, path)

    names = read_class_names(path if path.is_dir() else path.parent)
    is_fer = names is None and all(is_fer2013(file, parts) for file in files.values() if _is_labelled(file))
    with_numbers = {
        name: (images, None if labels is None else np.array(labels, np.int64))
        for name, (images, labels) in parts.items()
    }
    return splits(with_numbers, path, FER2013_CLASSES if is_fer else None)


def _is_labelled(path: Path) -> bool:
    return label_column(cells_of(first_line(path))) is not None


def _is_file_table(path: Path) -> bool:
    """Whether a CSV names picture files: in a column called so, or without a header in one of its first row's cells."""
    line = first_line(path)
    cells = cells_of(line)
    # A row of pixels has a thousand cells: none is looked at where the whole line has no suffix of a picture's.
    lower = line.lower()
    names_pictures = any(suffix in lower for suffix in SUFFIXES) and any(map(is_picture_name, cells))
    if names_pictures or set(cells) >= ANSWER_COLUMNS:
        return True
    if path_column(cells) is None:
        return False
    pixels = sum(1 for cell in cells if pixel_number(cell) is not None)
    return is_header(cells) and pixels < SMALLEST_ROW and not has_pixels_column(path)


def text_column(path: Path, name: str) -> list[str | None] | None:
    """A column of a CSV as text, None where a cell is empty; None where the first row has no such name.

    Raises:
        DataError: the file can't be read.
    """
    import polars as pl

    check_polars()
    line = first_line(path)
    cells = cells_of(line)
    if name not in cells or not is_header(cells):
        return None
    try:
        table = pl.read_csv(
            unpacked(path), columns=[cells.index(name)], separator=separator_of(line), infer_schema=False, glob=False
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{path}: the column {name} can't be read: {str(error).splitlines()[0]}") from error
    return table.to_series().to_list()


def read_file_table(path: Path) -> FileTable:
    """What a CSV says of picture files.

    Raises:
        DataError: the file can't be read, or columns can't be told.
    """
    import polars as pl

    check_polars()
    line = first_line(path)
    cells = cells_of(line)
    has_header = not any(map(is_picture_name, cells))
    names = cells if has_header else _names_of(cells, path)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: row 1: columns of different names expected, found {', '.join(names[:20])}")
    try:
        frame = pl.read_csv(
            unpacked(path),
            has_header=False,
            skip_rows=int(has_header),
            schema=dict.fromkeys(names, pl.String()),
            separator=separator_of(line),
            quote_char='"',
            glob=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if "empty" in str(error) or "no data" in str(error):
            raise DataError(f"{path}: a row for each picture expected, no rows found") from error
        refuse_other_text(path)
        raise DataError(f"{path}: {len(names)} cells in every row expected{_longer_row(path, len(names))}") from error
    return file_table(_without_blank_end(frame), path, 1 + has_header)


def _longer_row(path: Path, count: int) -> str:
    """Which row has more cells than the first, and what to do; "" where none is found."""
    try:
        with open_bytes(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            rows = csv.reader(text, delimiter=separator_of(first_line(path)))
            row, cells = next((row, len(cells)) for row, cells in enumerate(rows, 1) if len(cells) > count)
    except (csv.Error, ValueError, StopIteration):
        return ": other rows found"
    return (
        f", {cells} found in row {row:,}: put a cell with a separator in it in quotes, and no separator after the last "
        "cell"
    )


def _without_blank_end(frame: "pl.DataFrame") -> "pl.DataFrame":
    """A table without the empty lines below its last row, which Polars takes for rows of empty cells."""
    import polars as pl

    is_filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_list()
    return frame.head(max((row + 1 for row, filled in enumerate(is_filled) if filled), default=0))


def _names_of(cells: list[str], path: Path) -> list[str]:
    """Names for the columns of a table without a header: the path, and beside it the label, if there is no more."""
    place = next(index for index, cell in enumerate(cells) if is_picture_name(cell))
    if len(cells) > 2:
        raise DataError(
            f"{path}: a first row with the names of the columns expected (file, label, split), none found: "
            f"put one above the {len(cells)} columns"
        )
    return ["file" if index == place else "label" for index in range(len(cells))]
