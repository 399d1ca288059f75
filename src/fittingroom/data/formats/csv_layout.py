"""What the columns of a CSV of pixels are: decided by its first line and, without a header, by its values."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_SIDE
from fittingroom.data.formats.columns import LABEL_NAMES_IN_WORDS, label_column, named, plain
from fittingroom.data.formats.gzipped import open_bytes
from fittingroom.errors import DataError
from fittingroom.files.stand_in import stand_in

LONGEST_LINE = 1 << 20  # bytes; the longest header of 256×256 images has 0.7 MB
SMALLEST_ROW = 4  # pixels; rows of fewer numbers are no images
PIXELS_NAMES = ("pixels", "pixel_values")
"""What a column may be called that holds all pixels of an image, with blanks between them, as FER2013's."""

EVIDENCE_ROWS = 100_000
"""Number of rows by which it is told which column of a file without a header holds the labels."""

NAMES_SHARE = 0.05
"""The share of the labels that must be text, at least, for them to be names and not a mistake among numbers."""

_PIXEL_NAME = re.compile(r"(?:pixel|px|p)?[ _]?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COUNTER = re.compile(r"|id|index|idx|image_?id|unnamed:_\d+")
"""What a column is called, in the spelling of :func:`plain`, that counts the rows or is empty: pandas writes its index
under no name, and reads that back as ``Unnamed: 0``; a comma at each line's end makes one without a name too."""

_LONGEST_SHOWN = 40  # characters of a column's name in a message


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first line says.

    Attributes:
        columns: their names, made up where there is no header.
        label: the name of the label's column; None: there is none.
        has_header: whether the first line is one, and not an image.
        has_names: whether the labels are the names of the classes, and not numbers.
        skipped: the columns that are neither label nor pixels, and may hold anything.
        separator: what stands between the cells: a comma or a tab.
    """

    columns: list[str]
    label: str | None
    has_header: bool
    has_names: bool = False
    skipped: frozenset[str] = frozenset()
    separator: str = ","

    @property
    def pixels(self) -> list[str]:
        """The names of the other columns."""
        return [name for name in self.columns if name != self.label and name not in self.skipped]

    @property
    def side(self) -> int:
        """Side of the square images, in pixels."""
        return math.isqrt(len(self.columns) - len(self.skipped) - (self.label is not None))


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


def layout_of(path: Path) -> Layout:
    """What the columns are.

    Raises:
        DataError: a first line that leaves it open, or isn't one of square images.
    """
    line = first_line(path)
    cells = cells_of(line)
    mark = separator_of(line)

    # Where semicolons stand between cells, commas may be decimal ones.
    if (mark == ";" or mark not in line) and (other := re.search(r"[;|]|(?<=\d) (?=\d)|(?<=\S) (?=pixel)", line)):
        raise DataError(f"{path}: row 1: commas between the cells expected, {other[0]!r} found: save it with commas")

    layout = _from_header(cells, path) if is_header(cells) else _without_header(cells, path, mark)
    layout = replace(layout, separator=mark)
    _check_shape(layout, path)
    return replace(layout, has_names=bool(layout.label) and _begins_with_a_name(path, layout))


def cells_of(line: str) -> list[str]:
    """The cells of a line, without blanks and quotation marks around them."""
    mark = separator_of(line)
    if '"' not in line:
        return [cell.strip() for cell in line.split(mark)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark, skipinitialspace=mark == ","))]
    except (csv.Error, StopIteration):
        return [cell.strip().strip('"') for cell in line.split(mark)]


def separator_of(line: str) -> str:
    """What stands between the cells of a line: a comma or, where there is none, a semicolon or a tab."""
    return next((mark for mark in ",;\t" if mark in line), ",")


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
    if other := stand_in(first):
        raise DataError(f"{path}: a CSV file expected, other content found{other}")
    if len(first) == LONGEST_LINE:
        raise DataError(f"{path}: a line of less than {LONGEST_LINE:,} bytes expected, row 1 is longer")

    # Excel puts a mark before UTF-8, and saves "Unicode text" as UTF-16, whose ASCII has NUL bytes
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: text in UTF-8 expected, other bytes found in row 1: save it as UTF-8") from error
    if "\0" in line:
        raise DataError(f"{path}: text in UTF-8 expected, NUL bytes found in row 1: not a CSV, or not in UTF-8")
    if "\r" in line:
        raise DataError(f"{path}: line ends of Unix or Windows expected, those of old Macs found: save it with others")
    return line


def without_endless_lines(blocks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Pass the content of a CSV through, block by block, before a reader takes memory for a line without an end.

    Raises:
        DataError: a line that can't be a row.
    """
    # since: the bytes after the last line end, which may go on in the next block
    since = 0
    for block in blocks:
        first, last = block.find(b"\n"), block.rfind(b"\n")
        since += len(block) if first < 0 else first
        if since > LONGEST_LINE:
            raise DataError(
                f"{path}: rows of at most {LONGEST_LINE:,} bytes expected, a longer line found: this is no CSV of "
                "images, or its line ends are missing"
            )
        if last >= 0:
            since = len(block) - last - 1
        yield block


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
    if any(cells):  # an index has a name, or none, that says so
        cells = [cell for cell in cells if not counts_rows(cell)] or cells

    # a name beside the counted columns is that of the label
    counted = [cells, *([cells[1:]] if cells[0] and not _NUMBER.fullmatch(cells[0]) else [])]
    counted += [cells[:-1]] if cells[-1] and not _NUMBER.fullmatch(cells[-1]) else []
    return has_names or any(len(names) >= 16 and _counts(names) for names in counted)


def counts_rows(cell: str) -> bool:
    """Whether a column's name is that of an index or an identifier, or none."""
    return _COUNTER.fullmatch(plain(cell)) is not None


def _counts(cells: list[str]) -> bool:
    return any(cells == [str(number) for number in range(first, first + len(cells))] for first in (0, 1))


def _from_header(cells: list[str], path: Path) -> Layout:
    return _from_header_with(cells, label_name(cells), path)


def _from_header_with(cells: list[str], label: str | None, path: Path) -> Layout:
    name, count = Counter(cells).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: row 1: columns of different names expected, {name!r} found {count:,} times")

    numbers = {cell: pixel_number(cell) for cell in cells if cell != label}
    skipped = {cell for cell in numbers if counts_rows(cell)} if any(map(_is_number_of_pixel, numbers)) else set()
    numbers = {cell: number for cell, number in numbers.items() if cell not in skipped}
    others = [cell for cell, number in numbers.items() if number is None]

    # whatever it is called, the only column that is no pixel is the label if it stands at an end
    kept = [cell for cell in cells if cell not in skipped]
    is_at_end = others in ([kept[0]], [kept[-1]])
    if label is None and is_at_end and len(numbers) > 1:
        return _from_header_with(cells, others[0], path)

    # where some are called as pixels are, all have to be
    if 0 < len(others) < len(numbers):
        several = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        missing = "" if label else f"; a label is called {LABEL_NAMES_IN_WORDS}"
        raise DataError(
            f"{path}: row 1: the label and the pixels expected, other columns found: "
            f"{', '.join(repr(shown_name(name)) for name in others[:3])}{several}{missing}; remove what is neither"
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
    return Layout(cells, label, has_header=True, skipped=frozenset(skipped))


def _is_number_of_pixel(cell: str) -> bool:
    return pixel_number(cell) is not None


def shown_name(column: str) -> str:
    """A column's name as a message has it: a first line that isn't split where it should be makes a very long one."""
    return column if len(column) <= _LONGEST_SHOWN else f"{column[:_LONGEST_SHOWN]}…"


def _without_header(cells: list[str], path: Path, mark: str) -> Layout:
    is_unlabelled = math.isqrt(len(cells)) ** 2 == len(cells)
    pixels = [f"pixel{number}" for number in range(1, len(cells) + is_unlabelled)]
    if is_unlabelled:
        return Layout(pixels, None, has_header=False)
    is_last = math.isqrt(len(pixels)) ** 2 == len(pixels) and _label_is_last(path, mark.encode())
    return Layout([*pixels, "label"] if is_last else ["label", *pixels], "label", has_header=False)


def _label_is_last(path: Path, mark: bytes) -> bool:
    """Tell by the values whether the labels of a file without a header stand in its last column or in its first.

    A column of labels counts 0, 1, 2, … with a fair share of each; and it is unlike the column beside it, which
    that of a corner's pixels resembles. The two must not contradict each other.

    Raises:
        DataError: the values can't tell.
    """
    lines = list(islice((line for line in _lines(path) if line.count(mark) > 2), EVIDENCE_ROWS))
    columns = [[line.split(mark, 2)[index] for line in lines] for index in (0, 1)]
    columns += [[line.rstrip(b"\r\n").rsplit(mark, 2)[index] for line in lines] for index in (-2, -1)]

    # text is no pixel
    is_text = [are_names(columns[0]), are_names(columns[-1])]
    if is_text[0] != is_text[1]:
        return is_text[1]

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


def are_names(cells: Sequence[bytes]) -> bool:
    """Whether a column of labels is one of names: all of them are text, or too many for a mistake."""
    texts = sum(1 for cell in cells if cell.strip() and not _is_number(cell))
    return texts > 0 and (texts == len(cells) or (texts > 1 and texts >= NAMES_SHARE * len(cells)))


def _begins_with_a_name(path: Path, layout: Layout) -> bool:
    """Whether the first label is text, and enough of the others are too."""
    first = next(_lines(path, skip_header=layout.has_header), b"")
    cells = label_cells(path, layout) if any(map(bytes.isalpha, re.findall(rb"[^\W\d_]+", first))) else []
    return bool(cells) and are_names(cells)


def label_cells(path: Path, layout: Layout) -> list[bytes]:
    """The cells of the labels' column, as they stand in the file."""
    assert layout.label is not None
    place = layout.columns.index(layout.label)
    lines = islice(_lines(path, skip_header=layout.has_header), EVIDENCE_ROWS)
    rows = (cells_of_bytes(line, layout.separator) for line in lines if line.strip())
    return [row[place] for row in rows if place < len(row)]


def _lines(path: Path, *, skip_header: bool = False) -> Iterator[bytes]:
    with open_bytes(path) as file:
        if skip_header:
            file.readline()
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b"")):
            yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line


def cells_of_bytes(line: bytes, separator: str) -> list[bytes]:
    """The cells of a line; a quoted one may hold separators."""
    content, mark = line.rstrip(b"\r\n"), separator.encode()
    return (
        re.findall(rb'((?:"(?:[^"]|"")*"|[^%b])*)(?:%b|$)' % (mark, mark), content)[: content.count(mark) + 1]
        if b'"' in content
        else content.split(mark)
    )


def _check_shape(layout: Layout, path: Path) -> None:
    count = len(layout.pixels)
    if count == 0 or layout.side**2 != count:
        # a table of a few named columns is one of other things, and none of pixels
        if count and layout.has_header and not any(pixel_number(cell) is not None for cell in layout.pixels):
            raise DataError(
                f"{path}: a column for each pixel expected, or one of paths, called file, filename, path or image; "
                f"found {', '.join(layout.columns[:20])}"
            )
        label = "and no column called label"
        if layout.label:
            label = f"beside the label {layout.label!r}" if layout.has_header else "beside one of labels"
        colour = math.isqrt(count // 3)
        hint = ""
        if count and 3 * colour**2 == count:
            hint = f"; these may be {colour}×{colour} in colour, which a CSV has no order for: npz and pictures hold it"
        raise DataError(
            f"{path}: square images expected, 784 pixels for 28×28, {count:,} pixel columns {label} found{hint}"
        )
    if layout.side > MAX_SIDE:
        raise DataError(f"{path}: images of at most {MAX_SIDE} pixels a side expected, {layout.side} found")
