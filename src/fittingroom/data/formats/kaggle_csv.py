"""Kaggle's CSV: a row an image, ``label,pixel1,…,pixel784``, pixels row by row from the top left."""

import gzip
import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.arrays import as_labels
from fittingroom.data.formats.columns import as_text, numbered
from fittingroom.data.formats.csv_layout import (
    LONGEST_LINE,
    Layout,
    are_names,
    cells_of_bytes,
    label_cells,
    layout_of,
    shown_name,
    without_endless_lines,
)
from fittingroom.data.formats.gzipped import BLOCK, expansion_limit, is_gzip, open_bytes, within_expansion
from fittingroom.data.formats.splits import Images, by_part, read_class_names, splits
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.polars_check import check_polars
from fittingroom.files.temporary import temporary_file

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PART_FILES = re.compile(r"(train|validation|test)\.csv(\.gz)?")
"""The names of the files that :func:`write_csv_part` writes, raw or packed."""

IN_MEMORY = 256 << 20  # bytes of a decompressed file

# Each cell matches in one way alone: were there two, as for 007 by `0*\d+`, a row of n such cells before a bad one
# would be tried in 2ⁿ ways.
_PIXEL = rb" *\+?(?:0*(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]\d?)|0+)(?:\.0*)?"  # pandas writes whole numbers as 9.0, too
_LABEL = rb" *\+?(?:0*[1-9]\d{0,2}|0+)(?:\.0*)?"
_ANYTHING = rb'(?:"(?:[^"]|"")*"|[^"%b\r\n]*)'  # with what stands between the cells
_LABEL_ADVICE = ": number the classes from 0 on, or write their names"
_SHARE = re.compile(rb" *0?\.\d+")
_NAME = rb'(?:"(?:[^"]|"")+"|[ \t\f\v]*[^"%b\s][^"%b\r\n]*)'


def find_csv(path: Path) -> dict[str, Path]:
    """The CSV files, also with tabs, by their parts: those of a folder by their names, or the one at ``path``.

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
        layout = layout_of(file)
        parts[part] = _parse(unpacked(file), layout, file, skip_lines=int(layout.has_header))

        if layout.skipped:
            notes.append(f"{file.name}: {_skipped(layout)}")

        # nobody has said so: it was decided by the values
        if not layout.has_header and layout.label == layout.columns[-1]:
            notes.append(f"{file.name} has no header; by its values, the labels are those of the last column")
    return labelled(parts, path, notes)


def _skipped(layout: Layout) -> str:
    names = [repr(name) if name else "the one without a name" for name in layout.columns if name in layout.skipped]
    if len(names) == 1:
        return f"a column is left out, as by its name it is neither label nor pixels: {names[0]}"
    return f"{len(names)} columns are left out, as by their names they are neither label nor pixels: {', '.join(names)}"


def labelled(parts: Mapping[str, tuple[Images, NDArray[Any] | None]], path: Path, notes: Sequence[str] = ()) -> Splits:
    """``Splits`` of parts whose labels are numbers, or in any of them names; ``notes`` are passed through.

    Raises:
        DataError: parts that don't fit together.
    """
    if not any(labels is not None and labels.dtype.kind == "U" for _, labels in parts.values()):
        return splits(parts, path, notes=notes)
    order = read_class_names(path if path.is_dir() else path.parent)
    labels, classes = numbered({part: labels for part, (_, labels) in parts.items()}, str(path), order)
    if len(classes) == 1:
        raise DataError(
            f"{path}: two classes or more expected, {classes[0]!r} alone found; where there are others of which it has "
            "no images, a file classes.txt beside it names all, one a line"
        )
    return splits({part: (images, labels[part]) for part, (images, _) in parts.items()}, path, classes, notes=notes)


def write_kaggle_csv(path: Path, dataset: Dataset) -> None:
    """Write ``label,pixel1,…`` (without ``label`` for an unlabelled set), whole or not at all.

    Tabs stand between the cells if it is named .tsv, and it is gzip if named .gz.

    Raises:
        DataError: the images aren't square, for the format has no height and width.
        OSError: the file can't be written.
    """
    import polars as pl

    check_polars()
    if dataset.images.ndim != 3:
        raise DataError(f"{path}: a CSV holds grey images, colour found: convert to npz or parquet")
    height, width = dataset.image_size
    if height != width:
        raise DataError(f"{path}: a CSV holds square images, {height}×{width} found: convert to npz or parquet")

    # Polars writes columns, so that each pixel's values are laid beside each other first
    pixels = np.ascontiguousarray(dataset.images.reshape(len(dataset), -1).T)
    columns = {} if dataset.labels is None else {"label": dataset.labels}
    table = pl.DataFrame(columns | {f"pixel{number}": column for number, column in enumerate(pixels, 1)})

    mark = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    with atomic_write(path) as file:
        if path.suffix == ".gz":
            file.write(gzip.compress(table.write_csv(separator=mark).encode(), mtime=0))
        else:
            table.write_csv(file, separator=mark)


def write_csv_part(folder: Path, part: str, dataset: Dataset) -> None:
    """Write one part of a folder, as :func:`write_kaggle_csv` does."""
    write_kaggle_csv(folder / f"{part}.csv", dataset)


def csv_blocks(path: Path, rows: int) -> Iterator[Images]:
    """Yield the images of a CSV as uint8 (up to ``rows``, H, W), never holding more than one block in memory.

    Raises:
        DataError: as :func:`read_kaggle_csv`.
    """
    layout = layout_of(path)
    is_empty, left = True, expansion_limit(path) if is_gzip(path) else None

    # a file without line ends would be one line of any length
    with open_bytes(path) as file:
        if layout.has_header:
            file.readline()
        lines = iter(partial(file.readline, LONGEST_LINE), b"")

        while block := b"".join(islice(lines, rows)):
            left = None if left is None else left - len(block)
            if left is not None and left < 0:
                raise DataError(f"{path}: more bytes found when decompressed than real images can have")
            if block.strip():
                is_empty = False
                yield _parse(io.BytesIO(block), layout, path)[0]
    if is_empty:
        raise DataError(f"{path}: a row for each image expected, no rows found")


def _parse(
    content: Path | IO[bytes], layout: Layout, path: Path, skip_lines: int = 0
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
    return images, as_text(column.to_list(), str(path)) if is_text else as_labels(column.to_numpy(), str(path))


def _table(content: Path | IO[bytes], layout: Layout, path: Path, skip_lines: int) -> "pl.DataFrame":
    """The cells as numbers: uint8 pixels, uint16 labels; null where a cell or a line is empty."""
    import polars as pl

    check_polars()
    # uint8 says of each cell that it is 0–255, and is four times as small as what a CSV is read into otherwise
    of_label = pl.String() if layout.has_names else pl.UInt16()
    label: dict[str, pl.DataType] = {layout.label: of_label} if layout.label else {}
    anything = dict.fromkeys(layout.skipped, pl.String())
    schema = pl.Schema({**dict.fromkeys(layout.columns, pl.UInt8()), **anything, **label})
    quote = '"' if layout.has_names or layout.skipped else None

    def read(content: Path | IO[bytes], schema: Any) -> pl.DataFrame:
        table = pl.read_csv(
            content,
            has_header=False,
            skip_lines=skip_lines,
            separator=layout.separator,
            quote_char=quote,
            glob=False,
            schema=schema,
        )
        return table.drop(layout.skipped)

    try:
        return read(content, schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # names may begin anywhere: letters follow the digits in sets of both
        if not isinstance(content, Path):
            content.seek(0)
        if not layout.has_names and layout.label and are_names(label_cells(path, layout)):
            return _table(content, replace(layout, has_names=True), path, skip_lines)

        # whole numbers written as 9.0 are no uint8 to Polars: once more by way of float32, which holds them exactly
        floats = {**dict.fromkeys(layout.columns, pl.Float32()), **anything, **(label if layout.has_names else {})}
        kept = pl.Schema({name: kind for name, kind in schema.items() if name not in layout.skipped})
        try:
            return _whole_numbers(read(content, floats), kept)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            _refuse_bad_cell(path, layout)
            if layout.label and not label_cells(path, layout):  # Polars below 2 takes the header for a row
                raise DataError(f"{path}: a row for each image expected, no rows found") from error
            refuse_other_text(path)
            raise DataError(f"{path}: {str(error).splitlines()[0]}") from error


def refuse_other_text(path: Path) -> None:
    """Raise DataError with the first row that isn't in UTF-8; return where there is none."""
    with open_bytes(path) as file:
        for row, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: row {row:,}: text in UTF-8 expected, other bytes found: save it as UTF-8"
                ) from error


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


def unpacked(path: Path) -> Path | IO[bytes]:
    """The path itself, or the whole content if it is gzip: in memory, or of a large one in a file without a name.

    Raises:
        DataError: more content than real data can have, a line that is no row, or no room for it.
    """
    with open_bytes(path) as file:
        if not is_gzip(path):
            for _ in without_endless_lines(iter(partial(file.read, BLOCK), b""), path):
                pass
            return path

        content: IO[bytes] = io.BytesIO()
        for block in without_endless_lines(within_expansion(file, path), path):
            if content.tell() < IN_MEMORY <= content.tell() + len(block):
                content = _moved_to_disk(content)
            content.write(block)
    content.seek(0)
    return content


def _moved_to_disk(content: IO[bytes]) -> IO[bytes]:
    file = temporary_file()
    content.seek(0)
    shutil.copyfileobj(content, file)
    return file


def _refuse_bad_cell(path: Path, layout: Layout) -> None:
    """Look for the first cell that is wrong; return where there is none.

    Raises:
        DataError: with its row and column.
    """
    # one expression for a whole line is many times as fast as one for each of its 785 cells
    runs = [(cell, len(list(run))) for cell, run in groupby(_cell(name, layout) for name in layout.columns)]
    mark = layout.separator.encode()
    good_line = re.compile(b"".join(b"(?:%b%b){%d}" % (cell, mark, count) for cell, count in runs))

    first_row = 1 + layout.has_header
    with open_bytes(path) as file:
        if layout.has_header:
            file.readline()
        for row, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), first_row):
            content = line.removeprefix(b"\xef\xbb\xbf") if row == 1 else line
            # empty lines are skipped, except where Polars looks how many columns there are
            may_pass = row > first_row and not line.strip(b"\r\n")
            if not may_pass and not good_line.fullmatch(content.rstrip(b"\r\n") + mark):
                _refuse_line(content, row, path, layout)


def _cell(name: str, layout: Layout) -> bytes:
    """What a cell of the column of this name has to match."""
    mark = layout.separator.encode()
    if name in layout.skipped:
        return _ANYTHING % mark
    if name != layout.label:
        return _PIXEL
    return _NAME % (mark, mark) if layout.has_names else _LABEL


def _refuse_line(line: bytes, row: int, path: Path, layout: Layout) -> None:
    has_text = layout.has_names or layout.skipped
    mark = layout.separator
    cells = cells_of_bytes(line, mark) if has_text else line.rstrip(b"\r\n").split(mark.encode())
    for name, cell in zip(layout.columns, cells, strict=False):
        is_label = name == layout.label
        if not re.fullmatch(_cell(name, layout), cell):
            is_name = is_label and re.search(rb"[^\W\d_]", cell)
            expected = f"a whole number {'0–999' if is_label else '0–255'}"
            if is_label and layout.has_names:
                expected = "a name"
            raise DataError(
                f"{path}: row {row:,}, column {shown_name(name)}: {expected} expected, {_shown(cell)} found"
                + (": the other labels are numbers; write this one as a number too" if is_name else "")
                + (_LABEL_ADVICE if is_label and re.fullmatch(rb" *-?\d+", cell) else "")
                + (_advice(cell) if not is_label else "")
            )
    raise DataError(f"{path}: row {row:,}: {len(layout.columns):,} cells expected, {len(cells):,} found")


def _advice(cell: bytes) -> str:
    """What to do with a pixel that is a share, as of images that were divided by 255; "" where that isn't known."""
    return ": where white is 1, multiply all pixels by 255 and round them" if _SHARE.fullmatch(cell) else ""


def _shown(cell: bytes) -> str:
    if not cell.strip():
        return "an empty cell"
    text = cell.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 20 else text[:20] + "…")
