"""Images of a data set of any size, a block at a time, in the memory of one block. Labels are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fittingroom.data.formats.idx import idx_blocks, is_idx, read_idx_header
from fittingroom.data.formats.kaggle_csv import csv_blocks
from fittingroom.data.formats.npz import npz_blocks
from fittingroom.data.formats.parquet import parquet_blocks
from fittingroom.data.formats.splits import Images

ROWS = 2_000


def is_data_file(path: Path) -> bool:
    """Whether the file holds a data set's images: CSV, npz, Parquet by its name, or IDX. Raises DataError."""
    if path.name.lower().endswith((".csv", ".csv.gz", ".npz", ".parquet")):
        return True
    return is_idx(path) and len(read_idx_header(path).shape) != 1


def read_blocks(path: Path, rows: int = ROWS) -> Iterator[Images]:
    """Yield all images of a data file as uint8 (up to `rows`, H, W), in file order; of an npz, those of every part.

    Raises DataError where :func:`fittingroom.data.open.open_dataset` would, at the block that is wrong.
    """
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return csv_blocks(path, rows)
    if name.endswith(".npz"):
        return npz_blocks(path, rows)
    if name.endswith(".parquet"):
        return parquet_blocks(path, rows)
    return idx_blocks(path, rows)
