"""Kaggle's CSV: a row an image, ``label,pixel1,…,pixel784``, pixels row by row from the top left."""

import csv
import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE, Dataset, Splits
from fittingroom.data.formats.arrays import as_labels
from fittingroom.data.formats.columns import LABEL_NAMES_IN_WORDS, label_column, named, numbered, plain
from fittingroom.data.formats.gzipped import expansion_limit, is_gzip, open_bytes
from fittingroom.data.formats.splits import Images, by_part, read_class_names, splits
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".csv.gz")
LONGEST_LINE = 1 << 20  # bytes; the longest header of 256×256 images has 0.7 MB
PART_FILES = re.compile(r"(train|validation|test)\.csv(\.gz)?")
"""The names of the files that :func:`write_csv_part` writes, raw or packed."""

_PIXEL_NAME = re.compile(r"(?:pixel|px|p)?[ _]?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PIXEL = rb" *\+?0*(?:25[0-5]|2[0-4]\d|1\d\d|\d?\d)(?:\.0*)?"  # pandas writes whole numbers as 9.0, too
_LABEL = rb" *\+?0*\d{1,3}(?:\.0*)?"
_NAME = rb'(?:"(?:[^"]|"")+"|[^",\r\n]*[^",\s][^",\r\n]*)'
_COUNTER_NAMES = ("", "id", "index", "unnamed:_0")  # of a column that counts the rows

SMALLEST_ROW = 4  # pixels; rows of fewer numbers are no images
PIXELS_NAMES = ("pixels", "pixel_values")
"""What a column may be called that holds all pixels of an image, with blanks between them, as FER2013's."""

EVIDENCE_ROWS = 100_000
"""By how many rows it is told which column of a file without a header holds the labels."""

NAMES_SHARE = 0.05
"""So many of the labels must be text, at least, before it is names and no mistake in a column of numbers."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first line says.

    Attributes:
        columns: their names, made up where there is no header.
        label: the name of the label's column; None: there is none.
        has_header: whether the first line is one, and not an image.
        has_names: whether the labels are the names of the classes, and not numbers.
    """

    columns: list[str]
    label: str | None
    has_header: bool
    has_names: bool = False

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


def holds_pixels(path: Path) -> bool:
    """Tell by its first row whether a CSV holds images, and not something about pictures that lie elsewhere.

    Raises:
        DataError: the file can't be read.
    """
    cells = cells_of(first_line(path))
    if not is_header(cells):
        return sum(1 for cell in cells if _NUMBER.fullmatch(cell)) >= SMALLEST_ROW
    pixels = sum(1 for cell in cells if pixel_number(cell) is not None)
    return pixels >= SMALLEST_ROW or named(cells, PIXELS_NAMES) is not None


def read_kaggle_csv(path: Path) -> Splits:
    """Read one CSV, or a folder with one for train and one for test.

    With or without a header; the label in the first or last column, or in one called ``label`` or the like; no
    label column makes the part unlabelled. Labels are numbers or names. Whole numbers may be written as 9.0. Images
    are square.

    Raises:
        DataError: names the row (the line of the file) and the column of the first cell that isn't a whole number
            0–255.
    """
    files = find_csv(path)
    if not files:
        raise DataError(f"{path}: CSV files called …train.csv and …test.csv expected, none found")
    return read_parts(files, path)


def read_parts(files: Mapping[str, Path], path: Path) -> Splits:
    """Read the CSV of each part, of the data set at ``path``.

    Raises:
        DataError: as :func:`read_kaggle_csv`.
    """
    parts, notes = {}, []
    for part, file in files.items():
        layout = _layout(file)
        parts[part] = _parse(unpacked(file), layout, file, skip_lines=int(layout.has_header))

        # nobody has said so: it was told by the values
        if not layout.has_header and layout.label == layout.columns[-1]:
            notes.append(f"{file.name} has no header; by its values, the labels are those of the last column")
    return labelled(parts, path, notes)


def labelled(parts: Mapping[str, tuple[Images, NDArray[Any] | None]], path: Path, notes: Sequence[str] = ()) -> Splits:
    """``Splits`` of parts whose labels are numbers, or in any of them names; ``notes`` are passed through.

    Raises:
        DataError: parts that don't fit together.
    """
    if not any(labels is not None and labels.dtype.kind == "U" for _, labels in parts.values()):
        return splits(parts, path, notes=notes)
    order = read_class_names(path if path.is_dir() else path.parent)
    labels, classes = numbered({part: labels for part, (_, labels) in parts.items()}, str(path), order)
    return splits({part: (images, labels[part]) for part, (images, _) in parts.items()}, path, classes, notes=notes)


def write_kaggle_csv(path: Path, dataset: Dataset) -> None:
    """Write ``label,pixel1,…`` (without ``label`` for an unlabelled set), whole or not at all; gzip if named .gz.

    Raises:
        DataError: the images aren't square, for the format has no height and width.
        OSError: the file can't be written.
    """
    import polars as pl

    if dataset.images.ndim != 3:
        raise DataError(f"{path}: a CSV holds grey images, colour found: convert to npz or parquet")
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


def _parse(
    content: Path | io.BytesIO, layout: _Layout, path: Path, skip_lines: int = 0
) -> tuple[Images, NDArray[Any] | None]:
    """Images and labels of the rows in ``content``, which is the file at ``path`` or a part of it."""
    table = _table(content, layout, path, skip_lines)

    # an empty cell is null as an empty line is: only the text tells which it was
    if table.null_count().sum_horizontal().sum():
        _refuse_bad_cell(path, layout)
        table = table.drop_nulls()
    if table.is_empty():
        raise DataError(f"{path}: a row for each image expected, no rows found")

    images = _rows(table.select(layout.pixels).to_numpy(order="fortran")).reshape(-1, layout.side, layout.side)
    if layout.label is None:
        return images, None

    # Polars has made text of the column where it couldn't make numbers of it
    column = table[layout.label]
    is_text = not column.dtype.is_numeric()
    return images, np.array(column.to_list(), np.str_) if is_text else as_labels(column.to_numpy(), str(path))


def _table(content: Path | io.BytesIO, layout: _Layout, path: Path, skip_lines: int) -> "pl.DataFrame":
    """The cells as numbers: uint8 pixels, uint16 labels; null where a cell or a line is empty."""
    import polars as pl

    # uint8 says of each cell that it is 0–255, and is four times as small as what a CSV is read into otherwise
    of_label = pl.String() if layout.has_names else pl.UInt16()
    label: dict[str, pl.DataType] = {layout.label: of_label} if layout.label else {}
    schema = pl.Schema({**dict.fromkeys(layout.columns, pl.UInt8()), **label})
    quote = '"' if layout.has_names else None
    read = partial(pl.read_csv, has_header=False, skip_lines=skip_lines, quote_char=quote, glob=False)
    try:
        return read(content, schema=schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # names may begin anywhere: letters follow the digits in sets of both
        if isinstance(content, io.BytesIO):
            content.seek(0)
        if not layout.has_names and layout.label and _are_names(_label_cells(path, layout)):
            return _table(content, replace(layout, has_names=True), path, skip_lines)

        # whole numbers written as 9.0 are no uint8 to Polars: once more by way of float32, which holds them exactly
        floats = {**dict.fromkeys(layout.columns, pl.Float32()), **(label if layout.has_names else {})}
        try:
            return _whole_numbers(read(content, schema=floats), schema)
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


def unpacked(path: Path) -> Path | io.BytesIO:
    """The path itself, or the whole content if it is gzip.

    Raises:
        DataError: more content than real data can have.
    """
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
    line = first_line(path)
    cells = cells_of(line)
    if len(cells) == 1 and (mark := re.search(r"[;\t|]", line)):
        raise DataError(f"{path}: row 1: commas between the cells expected, {mark[0]!r} found: save it with commas")

    layout = _from_header(cells, path) if is_header(cells) else _without_header(cells, path)
    _check_shape(layout, path)
    return replace(layout, has_names=bool(layout.label) and _begins_with_a_name(path, layout))


def cells_of(line: str) -> list[str]:
    """The cells of a line, without blanks and quotation marks around them."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(",")]
    try:
        return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return [cell.strip().strip('"') for cell in line.split(",")]


def first_line(path: Path) -> str:
    """The first line of a CSV, without its end.

    Raises:
        DataError: the file can't be read, is empty, a web page, or not in UTF-8.
    """
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
    """Which of a header's names is the label's: the first there is of :data:`columns.LABEL_NAMES`; None: none is."""
    return label_column(cells)


def pixel_number(cell: str) -> int | None:
    """The number in a header's name of a pixel, such as ``pixel7``, ``px7`` or ``7``; None for other names."""
    match = _PIXEL_NAME.fullmatch(cell)
    return int(match[1]) if match else None


def is_header(cells: list[str]) -> bool:
    """Whether the first row is a header: it names the label, or has no number in it at all.

    Otherwise a bad cell would pass for a name. A row that counts the columns from 0 or 1 on is one too, as pandas
    writes it where they have no names.
    """
    has_names = label_name(cells) is not None or not any(_NUMBER.fullmatch(cell) for cell in cells)

    # a name beside the counted columns is that of the label
    counted = [cells, *([cells[1:]] if cells[0] and not _NUMBER.fullmatch(cells[0]) else [])]
    counted += [cells[:-1]] if cells[-1] and not _NUMBER.fullmatch(cells[-1]) else []
    return has_names or any(len(names) >= 16 and _counts(names) for names in counted)


def _counts(cells: list[str]) -> bool:
    return any(cells == [str(number) for number in range(first, first + len(cells))] for first in (0, 1))


def _from_header(cells: list[str], path: Path) -> _Layout:
    return _from_header_with(cells, label_name(cells), path)


def _from_header_with(cells: list[str], label: str | None, path: Path) -> _Layout:
    name, count = Counter(cells).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: row 1: columns of different names expected, {name!r} found {count:,} times")

    numbers = {cell: pixel_number(cell) for cell in cells if cell != label}
    others = [cell for cell, number in numbers.items() if number is None]

    # whatever it is called, the only column that is no pixel is the label if it stands at an end
    is_at_end = others in ([cells[0]], [cells[-1]]) and plain(others[0]) not in _COUNTER_NAMES
    if label is None and is_at_end and len(numbers) > 1:
        return _from_header_with(cells, others[0], path)

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


def _without_header(cells: list[str], path: Path) -> _Layout:
    is_unlabelled = math.isqrt(len(cells)) ** 2 == len(cells)
    pixels = [f"pixel{number}" for number in range(1, len(cells) + is_unlabelled)]
    if is_unlabelled:
        return _Layout(pixels, None, has_header=False)
    is_last = math.isqrt(len(pixels)) ** 2 == len(pixels) and _label_is_last(path)
    return _Layout([*pixels, "label"] if is_last else ["label", *pixels], "label", has_header=False)


def _label_is_last(path: Path) -> bool:
    """Tell by the values whether the labels of a file without a header stand in its last column or in its first.

    A column of labels counts 0, 1, 2, … with a fair share of each; and it is unlike the column beside it, which
    that of a corner's pixels resembles. The two must not contradict each other.

    Raises:
        DataError: the values can't tell.
    """
    lines = list(islice((line for line in _lines(path) if line.count(b",") > 2), EVIDENCE_ROWS))
    columns = [[line.split(b",", 2)[index] for line in lines] for index in (0, 1)]
    columns += [[line.rstrip(b"\r\n").rsplit(b",", 2)[index] for line in lines] for index in (-2, -1)]

    # text is no pixel
    are_names = [_are_names(columns[0]), _are_names(columns[-1])]
    if are_names[0] != are_names[1]:
        return are_names[1]

    try:
        first, second, last_but_one, last = np.array(
            [row for row in zip(*columns, strict=True) if all(_is_number(cell) for cell in row)], np.float64
        ).T
    except ValueError:
        return False  # no row of numbers: the reader says which cell is wrong
    if (first.max() > 255) != (last.max() > 255):
        return bool(last.max() > 255)

    votes = set()
    counts = [_counts_classes(first), _counts_classes(last)]
    if counts[0] != counts[1]:
        votes.add(counts[1])
    unlike = [float(np.abs(first - second).mean()), float(np.abs(last - last_but_one).mean())]
    if max(unlike) >= 3 * min(unlike) + 0.3:
        votes.add(unlike[1] > unlike[0])
    if len(votes) != 1:
        raise DataError(
            f"{path}: a first row with the names of the columns expected, none found, and the values don't tell "
            "whether the labels stand in the first column or in the last: "
            "put label,pixel1,pixel2,… or pixel1,pixel2,…,label above them"
        )
    return votes.pop()


def _counts_classes(values: NDArray[np.float64]) -> bool:
    """Whether the values are 0, 1, 2, … or 1, 2, 3, … without a gap, and each is there for a twentieth of its share."""
    found, counts = np.unique(values, return_counts=True)
    is_counting = len(found) > 1 and found[0] in (0, 1) and bool((np.diff(found) == 1).all())
    return is_counting and bool(counts.min() * len(found) * 20 >= len(values))


def _is_number(cell: bytes) -> bool:
    return _NUMBER.fullmatch(cell.decode("utf-8", "replace").strip()) is not None


def _are_names(cells: Sequence[bytes]) -> bool:
    """Whether a column of labels is one of names: all of them are text, or too many for a mistake."""
    texts = sum(1 for cell in cells if cell.strip() and not _is_number(cell))
    return texts > 0 and (texts == len(cells) or (texts > 1 and texts >= NAMES_SHARE * len(cells)))


def _begins_with_a_name(path: Path, layout: _Layout) -> bool:
    """Whether the first label is text, and enough of the others are too."""
    first = next(_lines(path, skip_header=layout.has_header), b"")
    cells = _label_cells(path, layout) if any(map(bytes.isalpha, re.findall(rb"[^\W\d_]+", first))) else []
    return bool(cells) and _are_names(cells)


def _label_cells(path: Path, layout: _Layout) -> list[bytes]:
    """The cells of the labels' column, as they stand in the file."""
    assert layout.label is not None
    place = layout.columns.index(layout.label)
    lines = islice(_lines(path, skip_header=layout.has_header), EVIDENCE_ROWS)
    rows = (_cells_of_bytes(line) for line in lines if line.strip())
    return [row[place] for row in rows if place < len(row)]


def _lines(path: Path, *, skip_header: bool = False) -> Iterator[bytes]:
    with open_bytes(path) as file:
        if skip_header:
            file.readline()
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b"")):
            yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line


def _cells_of_bytes(line: bytes) -> list[bytes]:
    """The cells of a line; a quoted one may hold commas."""
    content = line.rstrip(b"\r\n")
    return (
        re.findall(rb'((?:"(?:[^"]|"")*"|[^,])*)(?:,|$)', content)[: content.count(b",") + 1]
        if b'"' in content
        else content.split(b",")
    )


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
    label = _NAME if layout.has_names else _LABEL
    cell = label if layout.label else _PIXEL
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
    cells = _cells_of_bytes(line) if layout.has_names else line.rstrip(b"\r\n").split(b",")
    for name, cell in zip(layout.columns, cells, strict=False):
        is_label = name == layout.label
        pattern = (_NAME if layout.has_names else _LABEL) if is_label else _PIXEL
        if not re.fullmatch(pattern, cell):
            is_name = is_label and re.search(rb"[^\W\d_]", cell)
            expected = f"a whole number {'0–999' if is_label else '0–255'}"
            raise DataError(
                f"{path}: row {row:,}, column {name}: {'a name' if is_label and layout.has_names else expected} "
                f"expected, {_shown(cell)} found"
                + (": the other labels are numbers; write this one as a number too" if is_name else "")
            )
    raise DataError(f"{path}: row {row:,}: {len(layout.columns):,} cells expected, {len(cells):,} found")


def _shown(cell: bytes) -> str:
    if not cell.strip():
        return "an empty cell"
    text = cell.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 20 else text[:20] + "…")
