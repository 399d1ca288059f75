"""Parquet as Hugging Face keeps images: ``image`` (a struct of ``bytes``, ``path``), ``label``, metadata with names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fittingroom.data.formats.arrays import as_labels
from fittingroom.data.formats.gzipped import expansion_limit
from fittingroom.data.formats.splits import Images, Labels, part_of, splits
from fittingroom.data.large import allocate
from fittingroom.data.preprocessing import decode_grey, encode_png
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write

if TYPE_CHECKING:
    import polars as pl

    from fittingroom.data.dataset import Dataset, Splits

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels")
SMALLEST_PICTURE = 60  # bytes; a PNG of one pixel has 67
ROWS = 2_000  # that are decoded at once
FETCHED = 20_000  # rows whose pictures are read at once
UNLABELLED = -1  # what Hugging Face writes where there is no label
PART_FILES = re.compile(r"(train|validation|test)-00000-of-00001\.parquet")
"""The names of the files that :func:`write_parquet_part` writes."""


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


def parquet_files(path: Path) -> list[Path]:
    """Every file that :func:`read_parquet` reads."""
    return [file for files in find_parquet(path).values() for file in files]


def read_parquet(path: Path) -> Splits:
    """Read one Parquet file, or a folder of shards.

    Class names come from the metadata (``huggingface``), where they are there; labels that are all -1 count
    as none.

    Raises:
        DataError: names the file and the row of a picture that isn't grey or can't be read.
    """
    shards = find_parquet(path)
    if not shards:
        raise DataError(f"{path}: files called train-….parquet expected, none found")
    parts = {part: _read(files) for part, files in shards.items()}
    return splits(parts, path, _class_names(next(iter(shards.values()))[0]))


def write_parquet(path: Path, dataset: Dataset) -> None:
    """Write one part as PNGs in Hugging Face's layout, class names included; whole or not at all.

    Raises:
        OSError: the file can't be written.
    """
    import polars as pl

    images = [{"bytes": encode_png(image), "path": None} for image in dataset.images]
    columns = {"image": pl.Series(images, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String}))}
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if dataset.labels is not None:
        columns["label"] = pl.Series(dataset.labels)
        features["label"] = {"names": list(dataset.classes), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    with atomic_write(path) as file:
        pl.DataFrame(columns).write_parquet(file, metadata=metadata)


def write_parquet_part(folder: Path, part: str, dataset: Dataset) -> None:
    """Write one part of a folder, called as Hugging Face calls the only shard of one."""
    write_parquet(folder / f"{part}-00000-of-00001.parquet", dataset)


def parquet_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of a Parquet file as uint8 (up to ``rows``, H, W), in the memory of a few blocks.

    Raises:
        DataError: as :func:`read_parquet`.
    """
    import polars as pl

    with _opened(path) as file:
        table = pl.scan_parquet(file)
        name = _image_column(table.collect_schema().names(), path)
        size = None
        count = table.select(pl.len()).collect().item()
        if count == 0:
            raise DataError(f"{path}: a row for each image expected, no rows found")

        # many blocks at once: each time, Polars reads a row group from its start
        for first in range(0, count, FETCHED):
            contents = picture_bytes(table.select(name).slice(first, FETCHED).collect()[name], path, first)
            for start in range(0, len(contents), rows):
                images = _decoded(contents[start : start + rows], path, first + start)

                # _decoded compares within a block
                size = size or images.shape[1:]
                if images.shape[1:] != size:
                    expected, found = ("{}×{}".format(*sides) for sides in (size, images.shape[1:]))
                    where = f"{path}: row {first + start + 1:,}"
                    raise DataError(f"{where}: {expected} pixels expected as in row 1, {found} found")
                yield images


def _read(files: list[Path]) -> tuple[Images, Labels | None]:
    """All images and labels of the shards of a part, one after another."""
    # images go where they stay at once: a list of blocks would take twice the memory
    count = sum(_count(file) for file in files)
    images: Images | None = None
    labels_of_files = []
    row = 0
    for file in files:
        for block in parquet_blocks(file, ROWS):
            if images is None:
                images = allocate((count, *block.shape[1:]), np.uint8)

            # within a file, its blocks have been compared already
            if block.shape[1:] != images.shape[1:]:
                expected, found = ("{}×{}".format(*array.shape[1:]) for array in (images, block))
                raise DataError(f"{file}: images of {expected} expected as in {files[0].name}, {found} found")
            images[row : row + len(block)] = block
            row += len(block)

        labels_of_files.append(_labels(file))

    labels = [numbers for numbers in labels_of_files if numbers is not None]
    if labels and len(labels) < len(files):
        raise DataError(
            f"{files[0].parent}: labels in all of {', '.join(file.name for file in files)} expected, or in none"
        )
    assert images is not None
    return images, np.concatenate(labels) if labels else None


def _image_column(columns: Sequence[str], path: Path) -> str:
    name = next((name for name in IMAGE_NAMES if name in columns), None)
    if name is None:
        raise DataError(f"{path}: a column called image expected, found {', '.join(columns[:20])}")
    return name


def _decoded(contents: list[bytes], path: Path, rows_before: int) -> Images:
    first = rows_before + 1
    images = [decode_grey(content, f"{path}: row {row:,}") for row, content in enumerate(contents, first)]
    for row, image in enumerate(images, first):
        if image.shape != images[0].shape:
            expected, found = ("{}×{}".format(*picture.shape) for picture in (images[0], image))
            raise DataError(f"{path}: row {row:,}: {expected} pixels expected as in row {first:,}, {found} found")
    return np.stack(images)


def _count(path: Path) -> int:
    """Rows of the file, if it can hold as many."""
    import polars as pl

    with _opened(path) as file:
        rows = int(pl.scan_parquet(file).select(pl.len()).collect().item())
    if rows * SMALLEST_PICTURE > expansion_limit(path):
        raise DataError(f"{path}: claims {rows:,} rows, which a file of its size can't hold of real images")
    return rows


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the file (a path, Polars would search for patterns and addresses); what is wrong becomes a DataError."""
    import polars as pl

    try:
        with path.open("rb") as file:
            yield file
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{path}: a whole Parquet file expected, damaged or other content found ({error})") from error


def picture_bytes(column: pl.Series, path: Path, rows_before: int = 0) -> list[bytes]:
    """The bytes of the pictures in a column of bytes, or of structs with a field ``bytes``.

    Args:
        column: of a table.
        path: of its file, for messages.
        rows_before: rows of the file that lie before those of the column.

    Raises:
        DataError: another column, or one with an empty cell.
    """
    import polars as pl

    if isinstance(column.dtype, pl.Struct) and "bytes" in column.struct.fields:
        column = column.struct.field("bytes")
    if column.dtype != pl.Binary:
        raise DataError(f"{path}: pictures as bytes in column {column.name} expected, {column.dtype} found")
    if column.null_count():
        row = rows_before + int(column.is_null().arg_max() or 0) + 1
        raise DataError(f"{path}: row {row:,}: a picture's bytes expected, none found")
    return column.to_list()


def _labels(path: Path) -> Labels | None:
    import polars as pl

    with _opened(path) as file:
        table = pl.scan_parquet(file)
        name = next((name for name in LABEL_NAMES if name in table.collect_schema().names()), None)
        if name is None:
            return None
        column = table.select(name).collect()[name]

    if not column.dtype.is_integer():
        raise DataError(f"{path}: whole numbers in column {column.name} expected, {column.dtype} found")
    if column.null_count():
        row = int(column.is_null().arg_max() or 0) + 1
        raise DataError(f"{path}: row {row:,}, column {column.name}: a label expected, none found")

    labels = column.to_numpy()
    return None if (labels == UNLABELLED).all() else as_labels(labels, f"{path}: column {column.name}")


def _class_names(path: Path) -> list[str] | None:
    import polars as pl

    with path.open("rb") as file:
        metadata = pl.read_parquet_metadata(file)
    try:
        features = json.loads(metadata["huggingface"])["info"]["features"]
        return next((list(map(str, features[name]["names"])) for name in LABEL_NAMES if name in features), None)
    except (KeyError, TypeError, ValueError):
        return None  # made by something else than Hugging Face's library
