"""The files of a Parquet data set by their parts, opened so that what is wrong with one is said in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fittingroom.data.formats.splits import part_of
from fittingroom.errors import DataError
from fittingroom.files.parquet_pages import page_problem
from fittingroom.files.polars_check import check_polars
from fittingroom.files.stand_in import stand_in_at

SMALLEST_PICTURE = 60  # bytes; a PNG of one pixel has 67
MOST_REPEATED = 20  # times that a file's bytes may be as many pictures: these don't shrink, but may be there twice
MOST_ROWS = 50_000  # that a file of any size may have: those of larger ones take a share of its bytes


def find_parquet(path: Path) -> dict[str, list[Path]]:
    """The files by their parts: those of a folder by their names (``train-00000-of-00002.parquet``), or the one file.

    Empty for a folder without them.

    Raises:
        DataError: one of several files has a name that names no part.
    """
    if not path.is_dir():
        return {part_of(path.name) or "train": [path]}
    files = sorted(file for file in path.iterdir() if file.suffix == ".parquet" and file.is_file())
    if len(files) == 1:
        return {part_of(files[0].name) or "train": files}

    parts: dict[str, list[Path]] = {}
    for file in files:
        part = part_of(file.name)
        if part is None:
            raise DataError(f"{file}: a file named after its part (train-…, test-…) expected, several files found")
        parts.setdefault(part, []).append(file)
    return parts


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open the file; what is wrong with it, also what shows only where the block reads it, becomes a DataError."""
    import polars as pl

    check_polars()
    # not Polars by its path, in which it would search for patterns and addresses
    try:
        with path.open("rb") as file:
            if problem := page_problem(file):
                raise DataError(f"{path}: a whole Parquet file expected, {problem}{stand_in_at(path)}")
            yield file
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{path}: a whole Parquet file expected, damaged or other content found ({error})") from error


def count_rows(path: Path) -> int:
    """Rows of the file. Raises DataError for more than it can hold, for which memory would be taken."""
    import polars as pl

    with opened(path) as file:
        rows = int(pl.scan_parquet(file).select(pl.len()).collect().item())
    if rows > MOST_ROWS and rows * SMALLEST_PICTURE > MOST_REPEATED * path.stat().st_size:
        raise DataError(f"{path}: claims {rows:,} rows, which a file of its size can't hold of real images")
    return rows


def has_column(path: Path, name: str) -> bool:
    """Whether a Parquet file has a column of this very name. Raises :class:`DataError` where it can't be read."""
    import polars as pl

    with opened(path) as file:
        return name in pl.scan_parquet(file).collect_schema()


def text_column(path: Path, name: str) -> list[str | None]:
    """A column of a Parquet file as text; None where a cell is empty, and everywhere in a file without the column.

    Raises:
        DataError: the file can't be read, or the column has no text.
    """
    import polars as pl

    with opened(path) as file:
        table = pl.scan_parquet(file)
        if name not in table.collect_schema():
            return [None] * count_rows(path)
        values: list[str | None] = table.select(pl.col(name).cast(pl.String)).collect()[name].to_list()
        return values
