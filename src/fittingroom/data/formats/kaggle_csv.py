"""Kaggle's CSV: a row an image, ``label,pixel1,…,pixel784``, pixels row by row from the top left."""

import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE, Dataset, Splits
from fittingroom.data.formats.arrays import as_labels
from fittingroom.data.formats.gzipped import expansion_limit, is_gzip, open_bytes
from fittingroom.data.formats.splits import Images, Labels, by_part, splits
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".csv.gz")
LABEL_NAMES = ("label", "class", "target", "y")
LABEL_NAMES_IN_WORDS = f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
LONGEST_LINE = 1 << 20  # bytes; the longest header of 256×256 images has 0.7 MB
PART_FILES = re.compile(r"(train|validation|test)\.csv(\.gz)?")
"""The names of the files that :func:`write_csv_part` writes, raw or packed."""

_PIXEL_NAME = re.compile(r"(?:pixel|px|p)?[ _]?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PIXEL = rb" *\+?0*(?:25[0-5]|2[0-4]\d|1\d\d|\d?\d)(?:\.0*)?"  # pandas writes whole numbers as 9.0, too
_LABEL = rb" *\+?0*\d{1,3}(?:\.0*)?"


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first line says.

    Attributes:
        columns: their names, made up where there is no header.
        label: the name of the label's column; None: there is none.
        has_header: whether the first line is one, and not an image.
    """

    columns: list[str]
    label: str | None
    has_header: bool

    @property
    def pixels(self) -> list[str]:
        """The names of the other columns."""
        return [name for name in self.columns if name != self.label]

    @property
    def side(self) -> int:
        """Of the square images, in pixels."""
        return math.isqrt(len(self.columns) - (self.label is not None))


def find_csv(path: Path) -> dict[str, Path]:
    """The CSV files (.csv or .csv.gz) by their parts: those of a folder by their names, or the one at ``path``.

    Empty for a folder without them. A ``sample_submission.csv`` and others whose names name no part are skipped.

    Raises:
        DataError: two files are the same part.
    """
    if not path.is_dir():
        return by_part([path])
    return by_part([file for file in sorted(path.iterdir()) if file.name.lower().endswith(SUFFIXES) and file.is_file()])


def csv_files(path: Path) -> list[Path]:
    """Every file that :func:`read_kaggle_csv` reads."""
    return list(find_csv(path).values())


def read_kaggle_csv(path: Path) -> Splits:
    """Read one CSV, or a folder with one for train and one for test.

    With or without a header; the label in the first column or in the one called ``label``; no label column
    makes the part unlabelled. Whole numbers may be written as 9.0. Images are square.

    Raises:
        DataError: names the row (the line of the file) and the column of the first cell that isn't a whole number
            0–255.
    """
    files = find_csv(path)
    if not files:
        raise DataError(f"{path}: CSV files called …train.csv and …test.csv expected, none found")
    return splits({part: _read(file) for part, file in files.items()}, path)


def write_kaggle_csv(path: Path, dataset: Dataset) -> None:
    """Write ``label,pixel1,…`` (without ``label`` for an unlabelled set), whole or not at all; gzip if named .gz.

    Raises:
        DataError: the images aren't square, for the format has no height and width.
        OSError: the file can't be written.
    """
    import polars as pl

    height, width = dataset.image_size
    if height != width:
        raise DataError(f"{path}: a CSV holds square images, {height}×{width} found: convert to npz or parquet")

    # Polars writes columns, so that each pixel's values are laid beside each other first
    pixels = np.ascontiguousarray(dataset.images.reshape(len(dataset), -1).T)
    columns = {} if dataset.labels is None else {"label": dataset.labels}
    table = pl.DataFrame(columns | {f"pixel{number}": column for number, column in enumerate(pixels, 1)})

    with atomic_write(path) as file:
        if path.suffix == ".gz":
            file.write(gzip.compress(table.write_csv().encode(), mtime=0))
        else:
            table.write_csv(file)


def write_csv_part(folder: Path, part: str, dataset: Dataset) -> None:
    """Write one part of a folder, as :func:`write_kaggle_csv` does."""
    write_kaggle_csv(folder / f"{part}.csv", dataset)


def csv_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of a CSV as uint8 (up to ``rows``, H, W), never holding more than one block in memory.

    Raises:
        DataError: as :func:`read_kaggle_csv`.
    """
    layout = _layout(path)
    is_empty = True
    with open_bytes(path) as file:
        if layout.has_header:
            file.readline()
        lines = iter(partial(file.readline, LONGEST_LINE), b"")
        while block := b"".join(islice(lines, rows)):
            if block.strip():
                is_empty = False
                yield _parse(io.BytesIO(block), layout, path)[0]
    if is_empty:
        raise DataError(f"{path}: a row for each image expected, no rows found")


def _read(path: Path) -> tuple[Images, Labels | None]:
    layout = _layout(path)
    return _parse(_content(path), layout, path, skip_lines=int(layout.has_header))


def _parse(
    content: Path | io.BytesIO, layout: _Layout, path: Path, skip_lines: int = 0
) -> tuple[Images, Labels | None]:
    """Images and labels of the rows in ``content``, which is the file at ``path`` or a part of it."""
    table = _table(content, layout, path, skip_lines)

    # an empty cell is null as an empty line is: only the text tells which it was
    if table.null_count().sum_horizontal().sum():
        _refuse_bad_cell(path, layout)
        table = table.drop_nulls()
    if table.is_empty():
        raise DataError(f"{path}: a row for each image expected, no rows found")

    images = _rows(table.select(layout.pixels).to_numpy(order="fortran")).reshape(-1, layout.side, layout.side)
    labels = as_labels(table[layout.label].to_numpy(), str(path)) if layout.label else None
    return images, labels


def _table(content: Path | io.BytesIO, layout: _Layout, path: Path, skip_lines: int) -> "pl.DataFrame":
    """The cells as numbers: uint8 pixels, uint16 labels; null where a cell or a line is empty."""
    import polars as pl

    # uint8 says of each cell that it is 0–255, and is four times as small as what a CSV is read into otherwise
    schema = pl.Schema(
        dict.fromkeys(layout.columns, pl.UInt8()) | ({layout.label: pl.UInt16()} if layout.label else {})
    )
    read = partial(pl.read_csv, has_header=False, skip_lines=skip_lines, quote_char=None, glob=False)
    try:
        return read(content, schema=schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # whole numbers written as 9.0 are no uint8 to Polars: once more by way of float32, which holds them exactly
        if isinstance(content, io.BytesIO):
            content.seek(0)
        try:
            return _whole_numbers(read(content, schema=dict.fromkeys(layout.columns, pl.Float32())), schema)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            _refuse_bad_cell(path, layout)
            raise DataError(f"{path}: {str(error).splitlines()[0]}") from error


def _whole_numbers(table: "pl.DataFrame", schema: "pl.Schema") -> "pl.DataFrame":
    """Numbers that are whole, however they were written.

    Raises:
        polars.exceptions.InvalidOperationError: one is not.
    """
    import polars as pl

    whole = table.cast(schema)
    if not table.equals(whole.cast(table.schema)):
        raise pl.exceptions.InvalidOperationError("whole numbers expected")
    return whole


def _rows(table_NP: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a table of columns out row by row; in blocks that fit the processor's cache, twice as fast as at once."""
    rows_NP = np.empty(table_NP.shape, table_NP.dtype)
    for start in range(0, len(rows_NP), 1000):
        rows_NP[start : start + 1000] = table_NP[start : start + 1000]
    return rows_NP


def _content(path: Path) -> Path | io.BytesIO:
    """The path itself, or the whole content if it is gzip."""
    with open_bytes(path) as file:
        if not is_gzip(path):
            return path

        limit, content = expansion_limit(path), io.BytesIO()
        while block := file.read(1 << 20):
            content.write(block)
            if content.tell() > limit:
                raise DataError(
                    f"{path}: at most {limit:,} bytes expected when decompressed, more found: "
                    "no real images shrink that much; decompress it yourself if you trust it"
                )
    content.seek(0)
    return content


def _layout(path: Path) -> _Layout:
    line = _first_line(path)
    cells = [cell.strip().strip('"') for cell in line.split(",")]
    if len(cells) == 1 and (mark := re.search(r"[;\t|]", line)):
        raise DataError(f"{path}: row 1: commas between the cells expected, {mark[0]!r} found: save it with commas")

    layout = _from_header(cells, path) if is_header(cells) else _without_header(cells)
    _check_shape(layout, path)
    return layout


def _first_line(path: Path) -> str:
    with open_bytes(path) as file:
        first = file.readline(LONGEST_LINE)
    if not first.strip():
        nothing = "an empty line" if first else "an empty file"
        raise DataError(f"{path}: label,pixel1,pixel2,… in row 1 expected, {nothing} found")
    if first.lstrip().startswith(b"<"):
        raise DataError(f"{path}: a CSV file expected, a web page found: download the file itself")
    if len(first) == LONGEST_LINE:
        raise DataError(f"{path}: a line of less than {LONGEST_LINE:,} bytes expected, row 1 is longer")

    # Excel puts a mark before UTF-8, and saves "Unicode text" as UTF-16, whose ASCII has NUL bytes
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: text in UTF-8 expected, other bytes found in row 1: save it as UTF-8") from error
    if "\0" in line:
        raise DataError(f"{path}: text in UTF-8 expected, NUL bytes found in row 1: not a CSV, or not in UTF-8")
    return line


def label_name(cells: list[str]) -> str | None:
    """Which of a header's names is the label's: of ``label``, ``class``, ``target``, ``y`` the first that is there."""
    return next((cell for name in LABEL_NAMES for cell in cells if cell.lower() == name), None)


def pixel_number(cell: str) -> int | None:
    """The number in a header's name of a pixel, such as ``pixel7``, ``px7`` or ``7``; None for other names."""
    match = _PIXEL_NAME.fullmatch(cell)
    return int(match[1]) if match else None


def is_header(cells: list[str]) -> bool:
    """Whether the first row is a header: it names the label, or has no number in it at all.

    Otherwise a bad cell would pass for a name. A row that counts the columns from 0 or 1 on is one too, as pandas
    writes it where they have no names.
    """
    counts = [[str(number) for number in range(first, first + len(cells))] for first in (0, 1)]
    has_names = label_name(cells) is not None or not any(_NUMBER.fullmatch(cell) for cell in cells)
    return has_names or (len(cells) >= 16 and cells in counts)


def _from_header(cells: list[str], path: Path) -> _Layout:
    label = label_name(cells)
    name, count = Counter(cells).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: row 1: columns of different names expected, {name!r} found {count:,} times")

    numbers = {cell: pixel_number(cell) for cell in cells if cell != label}
    others = [cell for cell, number in numbers.items() if number is None]

    # where some are called as pixels are, all have to be
    if 0 < len(others) < len(numbers):
        several = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        missing = "" if label else f"; a label is called {LABEL_NAMES_IN_WORDS}"
        raise DataError(
            f"{path}: row 1: the label and the pixels expected, other columns found: "
            f"{', '.join(map(repr, others[:3]))}{several}{missing}; remove what is neither"
        )

    # numbers out of order would make shuffled pixels of an image; names of another kind have no order to check
    if not others:
        first = min(next(iter(numbers.values()), None) or 0, 1)
        for expected, (cell, number) in enumerate(numbers.items(), first):
            if number != expected:
                raise DataError(
                    f"{path}: row 1, column {cells.index(cell) + 1}: pixel{expected} expected, {cell!r} found: "
                    "pixels stand in order, row by row from the top left"
                )
    return _Layout(cells, label, has_header=True)


def _without_header(cells: list[str]) -> _Layout:
    is_unlabelled = math.isqrt(len(cells)) ** 2 == len(cells)
    pixels = [f"pixel{number}" for number in range(1, len(cells) + is_unlabelled)]
    return _Layout(pixels if is_unlabelled else ["label", *pixels], None if is_unlabelled else "label", False)


def _check_shape(layout: _Layout, path: Path) -> None:
    count = len(layout.pixels)
    if count == 0 or layout.side**2 != count:
        label = f"beside the label {layout.label!r}" if layout.label else "and no column called label"
        raise DataError(f"{path}: square images expected, 784 pixels for 28×28, {count:,} pixel columns {label} found")
    if layout.side > MAX_SIDE:
        raise DataError(f"{path}: images of at most {MAX_SIDE} pixels a side expected, {layout.side} found")


def _refuse_bad_cell(path: Path, layout: _Layout) -> None:
    """Look for the first cell that is wrong; return where there is none.

    Raises:
        DataError: with its row and column.
    """
    # one expression for a whole line is many times as fast as one for each of its 785 cells
    before = layout.columns.index(layout.label) if layout.label else 0
    after = len(layout.columns) - before - 1
    cell = _LABEL if layout.label else _PIXEL
    good_line = re.compile(rb"(?:%b,){%d}%b(?:,%b){%d}\r?\n?" % (_PIXEL, before, cell, _PIXEL, after))

    first_row = 1 + layout.has_header
    with open_bytes(path) as file:
        if layout.has_header:
            file.readline()
        for row, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), first_row):
            content = line.removeprefix(b"\xef\xbb\xbf") if row == 1 else line
            # empty lines are skipped, except where Polars looks how many columns there are
            may_pass = row > first_row and not line.strip(b"\r\n")
            if not may_pass and not good_line.fullmatch(content):
                _refuse_line(content, row, path, layout)


def _refuse_line(line: bytes, row: int, path: Path, layout: _Layout) -> None:
    cells = line.rstrip(b"\r\n").split(b",")
    for name, cell in zip(layout.columns, cells, strict=False):
        is_label = name == layout.label
        if not re.fullmatch(_LABEL if is_label else _PIXEL, cell):
            is_name = is_label and re.search(rb"[^\W\d_]", cell)
            advice = ": number the classes 0, 1, 2, … and put their names into classes.txt, one a line"
            raise DataError(
                f"{path}: row {row:,}, column {name}: a whole number {'0–999' if is_label else '0–255'} expected, "
                f"{_shown(cell)} found{advice if is_name else ''}"
            )
    raise DataError(f"{path}: row {row:,}: {len(layout.columns):,} cells expected, {len(cells):,} found")


def _shown(cell: bytes) -> str:
    if not cell.strip():
        return "an empty cell"
    text = cell.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 20 else text[:20] + "…")
