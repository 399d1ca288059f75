"""The cells of Parquet files that hold pictures: which column it is, and their bytes, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.data.formats.columns import IMAGE_NAMES, named
from fittingroom.data.formats.csv_layout import SMALLEST_ROW, pixel_number
from fittingroom.data.formats.gzipped import ALWAYS_ALLOWED
from fittingroom.data.formats.parquet_file import MOST_REPEATED, count_rows, opened
from fittingroom.errors import DataError

if TYPE_CHECKING:
    import polars as pl

FETCHED = 20_000  # rows whose pictures are read at once, of small pictures
FETCHED_BYTES = 256 << 20  # of pictures that are read at once


def contents_of(path: Path) -> Iterator[tuple[int, list[bytes | None]]]:
    """The bytes of many pictures at once, with the number of rows before them; None where a cell is empty."""
    import polars as pl

    with opened(path) as file:
        table = pl.scan_parquet(file)
        name = _image_column(table.collect_schema(), path)
        count = count_rows(path)
        if count == 0:
            raise DataError(f"{path}: a row for each image expected, no rows found")

        # many at once: each time, Polars reads a row group from its start
        size = path.stat().st_size
        rows = max(1, min(FETCHED, FETCHED_BYTES * count // max(1, size)))
        left = max(ALWAYS_ALLOWED, MOST_REPEATED * size)
        for start in range(0, count, rows):
            column = _binary(table.select(name).slice(start, rows).collect()[name], path)

            # all rows may share one entry of the file, whose bytes Polars has once and Python once for each row
            sizes = column.bin.size().fill_null(0).to_numpy()
            left -= int(sizes.sum())
            if left < 0:
                raise DataError(f"{path}: more pictures expected in its bytes, the same ones found again and again")
            ends = np.cumsum(sizes, dtype=np.int64)
            first = 0
            while first < len(column):
                taken = int(np.searchsorted(ends, (ends[first - 1] if first else 0) + FETCHED_BYTES, "right"))
                some = column[first : max(first + 1, taken)]
                yield start + first, some.to_list()
                first += len(some)


def pictures_column(schema: pl.Schema) -> str | None:
    """The column of pictures: one that is called so, or the only one of bytes; None where there is none."""
    import polars as pl

    holding = [
        name
        for name, kind in schema.items()
        if kind == pl.Binary or (isinstance(kind, pl.Struct) and "bytes" in [field.name for field in kind.fields])
    ]
    return named(holding, IMAGE_NAMES) or (holding[0] if len(holding) == 1 else None)


def _image_column(schema: pl.Schema, path: Path) -> str:
    """The same, for pictures that are to be read. Raises DataError where no column can hold them."""
    name = pictures_column(schema) or named(schema.names(), IMAGE_NAMES)
    if name is None and sum(1 for column in schema.names() if pixel_number(column) is not None) >= SMALLEST_ROW:
        raise DataError(
            f"{path}: pictures in one column expected, a column for each pixel found: save the table as CSV (with "
            "pandas, table.to_csv(path, index=False)), which is read so"
        )
    if name is None:
        raise DataError(
            f"{path}: a column called image expected, found {', '.join(schema.names()[:20])}: "
            "call the one with the pictures' bytes image, or the one with their paths file"
        )
    return name


def picture_bytes(column: pl.Series, path: Path, rows_before: int = 0) -> list[bytes]:
    """The bytes of the pictures in a column of bytes, or of structs with a field ``bytes``.

    Args:
        column: of a table.
        path: of its file, for messages.
        rows_before: rows of the file that lie before those of the column.

    Raises:
        DataError: another column, or one with an empty cell.
    """
    contents: list[bytes | None] = _binary(column, path).to_list()
    if None in contents:
        row = rows_before + contents.index(None) + 1
        raise DataError(f"{path}: row {row:,}: a picture's bytes expected, none found")
    return [content for content in contents if content is not None]


def _binary(column: pl.Series, path: Path) -> pl.Series:
    import polars as pl

    is_of_paths = False
    if isinstance(column.dtype, pl.Struct) and "bytes" in column.struct.fields:
        is_of_paths = "path" in column.struct.fields and column.struct.field("path").null_count() < len(column)
        column = column.struct.field("bytes").alias(column.name)
    if column.dtype != pl.Binary:
        lists = isinstance(column.dtype, pl.List | pl.Array)
        advice = ": give lists of pixels to fittingroom.Dataset.from_arrays, or save them as npz" if lists else ""
        raise DataError(f"{path}: pictures as bytes in column {column.name} expected, {column.dtype} found{advice}")
    if is_of_paths and len(column) == column.null_count() > 0:
        raise DataError(
            f"{path}: pictures as bytes in column {column.name} expected, paths alone found: write these into a column "
            "called file, or save the data with embedded pictures (with datasets, by to_parquet)"
        )
    return column
