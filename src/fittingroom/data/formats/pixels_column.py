"""A CSV with all pixels of an image in one cell, blanks between them: FER2013's ``emotion,pixels,Usage``."""

import io
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE
from fittingroom.data.formats.columns import SPLIT_NAMES, label_column, named, parts_of_rows
from fittingroom.data.formats.csv_layout import LONGEST_LINE, PIXELS_NAMES, cells_of, first_line
from fittingroom.data.formats.gzipped import expansion_limit, open_bytes
from fittingroom.data.formats.splits import Images
from fittingroom.errors import DataError
from fittingroom.files.polars_check import check_polars

ROWS = 2_000  # that are taken apart at once
FER2013_CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
"""The classes by their numbers, as the data set's own description has them."""

FER2013_SIDE = 48

_PIXELS = re.compile(r"\s*\d{1,3}(?:\s+\d{1,3})*\s*")

Parts = dict[str, tuple[Images, list[str] | None]]


def has_pixels_column(path: Path) -> bool:
    """Tell by its first row whether a CSV has a column called ``pixels``.

    Raises:
        DataError: the file can't be read.
    """
    return named(cells_of(first_line(path)), PIXELS_NAMES) is not None


def read_pixels_column(path: Path, part: str) -> Parts:
    """The images of each part, and their labels as text, None where there are none.

    Args:
        path: of the CSV.
        part: of a table without a column that says so (``Usage``, ``split``).

    Raises:
        DataError: names the row of the first cell that isn't a square image.
    """
    columns = cells_of(first_line(path))
    label, usage = label_column(columns), named(columns, SPLIT_NAMES)
    images, labels, parts = [], [], []
    for block, cells in _blocks(path, ROWS):
        images.append(block)
        labels += [row[columns.index(label)] for row in cells] if label else []
        parts += [row[columns.index(usage)] for row in cells] if usage else []

    pixels = np.concatenate(images)
    rows = parts_of_rows(parts, f"{path}: column {usage}", 2) if usage else {part: np.arange(len(pixels))}
    return {name: (pixels[chosen], [labels[row] for row in chosen] if label else None) for name, chosen in rows.items()}


def is_fer2013(path: Path, parts: Parts) -> bool:
    """Whether these are FER2013's faces: its column ``emotion``, its size, its seven numbers."""
    has_its_column = "emotion" in [cell.lower() for cell in cells_of(first_line(path))]
    numbers = {label for _, labels in parts.values() for label in labels or ()}
    is_its_size = all(images.shape[1:] == (FER2013_SIDE, FER2013_SIDE) for images, _ in parts.values())
    return has_its_column and is_its_size and numbers <= set("0123456")


def pixels_column_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of such a CSV as uint8 (up to ``rows``, H, W), never holding more than one block in memory.

    Raises:
        DataError: as :func:`read_pixels_column`.
    """
    for images, _ in _blocks(path, rows):
        yield images


def _blocks(path: Path, rows: int) -> Iterator[tuple[Images, list[list[str]]]]:
    """Images and all cells of a block of rows at a time."""
    columns = cells_of(first_line(path))
    name = named(columns, PIXELS_NAMES)
    assert name is not None, "has_pixels_column says so"
    place = columns.index(name)

    row, count = 1, 0
    for lines in _lines(path, rows):
        cells, numbers = [], []
        for line in lines:
            row += 1
            if not line.strip():
                continue
            found = cells_of(line)
            if len(found) != len(columns):
                raise DataError(f"{path}: row {row:,}: {len(columns)} cells expected, {len(found):,} found")
            cells.append(found)
            numbers.append(row)
        if not cells:
            continue

        texts = [found[place] for found in cells]
        count = count or len(texts[0].split())
        yield _images(texts, count, [f"{path}: row {number:,}, column {name}" for number in numbers], path), cells
    if count == 0:
        raise DataError(f"{path}: a row for each image expected, no rows found")


def _lines(path: Path, rows: int) -> Iterator[list[str]]:
    limit = expansion_limit(path)
    with open_bytes(path) as file:
        file.readline(LONGEST_LINE)
        while block := list(islice(iter(lambda: file.readline(LONGEST_LINE), b""), rows)):
            limit -= sum(map(len, block))
            if limit < 0 or max(map(len, block)) == LONGEST_LINE:
                raise DataError(f"{path}: lines of an image each expected, far longer ones found, or too many of them")
            try:
                yield [line.decode() for line in block]
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: text in UTF-8 expected, other bytes found: save it as UTF-8") from error


def _images(texts: list[str], count: int, where: list[str], path: Path) -> Images:
    """The images of a block, whose cells all have ``count`` numbers."""
    import polars as pl

    check_polars()
    side = math.isqrt(count)
    if not 1 <= side <= MAX_SIDE or side**2 != count:
        raise DataError(
            f"{where[0]}: a square image of at most {MAX_SIDE} pixels a side expected, {count:,} pixels found"
        )

    # Polars takes a cell's numbers for columns, many times as fast as Python
    schema = {str(number): pl.UInt8() for number in range(count)}
    content = io.BytesIO("\n".join(texts).encode())
    try:
        table = pl.read_csv(content, has_header=False, separator=" ", schema=schema, quote_char=None)
        if table.null_count().sum_horizontal().sum() == 0 and len(table) == len(texts):
            return np.ascontiguousarray(table.to_numpy()).reshape(-1, side, side)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        pass
    return np.stack([_image(text, count, place) for text, place in zip(texts, where, strict=True)])


def _image(text: str, count: int, where: str) -> NDArray[np.uint8]:
    """One image, however many blanks stand between its numbers."""
    values = np.array(text.split(), np.int64) if _PIXELS.fullmatch(text) else np.empty(0, np.int64)
    if len(values) == 0 or values.max() > 255:
        raise DataError(f"{where}: whole numbers 0–255 with blanks between them expected, others found")
    if len(values) != count:
        raise DataError(f"{where}: {count:,} pixels expected as in the first row, {len(values):,} found")
    return values.astype(np.uint8).reshape(math.isqrt(count), -1)
