"""The lists that :mod:`fittingroom.data.edits` goes by, read: which images they name, and which labels they give."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fittingroom.data.dataset import LONGEST_NAME, Dataset
from fittingroom.data.formats.columns import LABEL_NAMES, class_name, named, parts_of_rows, plain
from fittingroom.data.formats.file_table import PATH_NAMES
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError
from fittingroom.files.regular_file import read_regular_file

CORRECTED = "corrected"  # the column that a person fills in
IMAGE_PREFIX = "sha256:"  # before the hash of an image, which a spreadsheet might take for a number
MAX_SHOWN = 10  # problems that a message lists
MAX_BYTES = 64 << 20  # of a list; a line has some tens of them
MORE, FEW = 2, 1_000  # lines that a list may have: so many an image, and so many on top


class _Named(NamedTuple):
    """An image as a line of a file names it: by its file, or by its row in a part."""

    line: int
    file: str
    row: int | None
    part: str
    image: str
    cells: Mapping[str, str]

    @property
    def text(self) -> str:
        """What messages call it."""
        return self.file[:LONGEST_NAME] or f"{self.part or 'train'} row {self.row}"


def read_list(path: Path, images: int) -> tuple[list[_Named], list[str]]:
    """What a file names, and the columns that it has; none for a plain list.

    Args:
        path: of the file.
        images: that the data has, of which a list may name each more than once, but not as often as it likes.
    """
    try:
        content = read_regular_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: a list of images expected, it can't be read: {reason}") from None

    # a spreadsheet may have written it: with a mark before the text, in UTF-16, with semicolons
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = content.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "replace")
    if "\0" in text:
        raise DataError(f"{path}: a CSV or a list of images expected, something else found")

    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        columns = [plain(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])]
        if named(columns, PATH_NAMES) is None and "row" not in columns:
            return _bounded(_of_list(text), path, images), []
        return _bounded(_of_table(text, delimiter, path), path, images), columns
    except csv.Error as error:
        raise DataError(
            f"{path}: a CSV or a list of images expected, found what can't be read as such: {error}"
        ) from None


def _bounded(rows: Iterator[_Named], path: Path, images: int) -> list[_Named]:
    """The rows as a list; refuses, before they are all in memory, more of them than the data explains."""
    most = MORE * images + FEW
    taken = list(itertools.islice(rows, most + 1))
    if len(taken) > most:
        raise DataError(
            f"{path}: a list of some of {images:,} images expected, more than {most:,} lines found: is it of other "
            "data?"
        )
    return taken


def _of_list(text: str) -> Iterator[_Named]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        name = line.strip()
        if name:
            yield _Named(number, name, int(name) if _is_number(name) else None, "", "", {})


def _of_table(text: str, delimiter: str, path: Path) -> Iterator[_Named]:
    # strict: a quote that nobody closes would swallow the rows below it
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    columns = [plain(cell) for cell in next(row for row in reader if "".join(row).strip())]
    file_column = named(columns, PATH_NAMES)
    for values in reader:
        cells = dict(zip(columns, (value.strip() for value in values), strict=False))
        if not any(cells.values()):
            continue

        # a spreadsheet or pandas writes whole numbers in a column with empty cells as 12.0
        part, row = cells.get("part", ""), cells.get("row", "").removesuffix(".0")
        name = cells.get(file_column or "", "")
        if part:
            (part,) = parts_of_rows([part], f"{path}: column part", reader.line_num)
        if row and not _is_number(row):
            raise DataError(f"{path}, line {reader.line_num}: the row's number expected, {row!r} found")

        image = cells.get("image", "")
        image = image.removeprefix(IMAGE_PREFIX) if image.startswith(IMAGE_PREFIX) else ""
        if not name and not row:
            raise DataError(f"{path}, line {reader.line_num}: a file or a row expected, both cells are empty")
        yield _Named(reader.line_num, name, int(row) if row else None, part, image, cells)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 13


def corrections(where: Places, path: Path) -> Iterator[tuple[tuple[str, int], int]]:
    """The place of each image whose label was filled in, and the number of its class."""
    rows, columns = read_list(path, where.count)
    column = CORRECTED if CORRECTED in columns else named(columns, ("class", "class_name", *LABEL_NAMES))
    if column is None:
        raise DataError(
            f"{path}: a CSV with a column {CORRECTED}, or of class names as class, expected; found "
            f"{', '.join(columns[:20]) or 'a plain list'}"
        )
    filled = [row for row in rows if row.cells.get(column)]
    classes = where.data.train.classes
    number_of = {name: number for number, name in enumerate(classes)}
    unknown = [row for row in filled if class_name(row.cells[column]) not in number_of]
    if unknown:
        lines: dict[str, list[int]] = {}
        for row in unknown:
            lines.setdefault(row.cells[column], []).append(row.line)
        shown = itertools.islice(lines.items(), MAX_SHOWN)  # to find what was meant takes time, and ten are read
        texts = [f"{name[:LONGEST_NAME]}{_meant(name, classes)} {_in_lines_of(of_name)}" for name, of_name in shown]
        raise DataError(
            f"{path}, column {column}: classes of {where.data.train.name} expected ({', '.join(classes[:20])}"
            f"{', …' * (len(classes) > 20)}), {_listed(texts, len(lines))} found: mend them, or leave the cells empty"
        )

    found: dict[tuple[str, int], int] = {}
    for row, place in zip(filled, where.find_each(filled, path), strict=True):
        label = number_of[class_name(row.cells[column])]
        for one in place:
            if found.setdefault(one, label) != label:
                raise DataError(
                    f"{path}, line {row.line}: one label for {row.text} expected, {classes[found[one]]} and "
                    f"{classes[label]} found"
                )
    yield from found.items()


def _in_lines_of(lines: Sequence[int]) -> str:
    return f"in line {lines[0]}" if len(lines) == 1 else f"in {len(lines):,} lines from {lines[0]} on"


def _meant(name: str, classes: Sequence[str]) -> str:
    close = [] if len(name) > LONGEST_NAME else difflib.get_close_matches(name, classes, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _listed(texts: Sequence[str], count: int | None = None) -> str:
    """The first of some texts, and how many more there are of ``count``; None: of the texts."""
    count = len(texts) if count is None else count
    more = f" and {count - MAX_SHOWN:,} more" if count > MAX_SHOWN else ""
    return "; ".join(texts[:MAX_SHOWN]) + more


class Places:
    """Where the images of some data are, by their files and rows."""

    def __init__(self, data: Splits) -> None:
        self.data = data
        self.parts = parts_of(data)
        self.count = sum(map(len, self.parts.values()))
        self.has_files = any(part.files is not None for part in self.parts.values())
        self.by_file: dict[str, list[tuple[str, int]]] = {}
        for name, part in self.parts.items():
            for row, file in enumerate(part.files or ()):
                self.by_file.setdefault(os.path.normpath(file), []).append((name, row))

    def find(self, rows: Sequence[_Named], path: Path) -> list[tuple[str, int]]:
        """The places of all images that are named, each once."""
        return list(dict.fromkeys(place for places in self.find_each(rows, path) for place in places))

    def find_each(self, rows: Sequence[_Named], path: Path) -> list[list[tuple[str, int]]]:
        """The places of each image that is named.

        Raises:
            DataError: all that the data lacks, and all whose hash is another.
        """
        places = [self._places(row) for row in rows]
        data = self.data.source or self.data.train.name
        unknown = [row for row, found in zip(rows, places, strict=True) if not found]
        if unknown:
            texts = [f"line {row.line}: {row.text}" for row in unknown]
            how = "files as they stand in the data" if self.has_files else "rows, counted from 0"
            raise DataError(
                f"{path}: images of {data} expected, {len(unknown):,} of {len(rows):,} not found there: "
                f"{_listed(texts)}: name {how}, or take them out of the list"
            )

        # files may have been replaced, and rows moved, since the list was made
        others = [
            row
            for row, found in zip(rows, places, strict=True)
            if row.image and not self._is_image(found[0], row.image)
        ]
        if others:
            texts = [f"line {row.line}: {row.text}" for row in others]
            raise DataError(
                f"{path}: the images of {data} that it was made of expected; {len(others):,} of {len(rows):,} are "
                f"other images now: {_listed(texts)}: check the data again, read in the same way (size, grey)"
            )
        return places

    def _places(self, row: _Named) -> list[tuple[str, int]]:
        found = self._of_file(row.file) if row.file and self.has_files else []
        found = [place for place in found if place[0] == row.part] or found
        if found or row.row is None:
            return found
        part = self.parts.get(row.part or "train")
        # where images have files, a row is asked for by itself alone: a file that isn't there is no row
        by_row = not self.has_files or not row.file or row.file == str(row.row)
        return [(row.part or "train", row.row)] if part is not None and by_row and row.row < len(part) else []

    def _of_file(self, name: str) -> list[tuple[str, int]]:
        """The rows of a file, by the name that the data has for it, or by a path from here."""
        name = os.path.normpath(name.replace("\\", "/") if "/" not in name else name)
        if found := self.by_file.get(name):
            return found
        source = Path(self.data.source).expanduser()
        folder = source if source.is_dir() else source.parent
        try:
            return self.by_file.get(os.path.relpath(Path(name).expanduser().absolute(), folder.absolute()), [])
        except ValueError:  # on another drive
            return []

    def _is_image(self, place: tuple[str, int], image: str) -> bool:
        return image_name(self.parts[place[0]], place[1]) == IMAGE_PREFIX + image.lower()


def image_name(dataset: Dataset, row: int) -> str:
    """What tells an image from all others whatever its row: the start of its file's SHA-256, or of that of its pixels.

    Example:
        >>> import fittingroom as fr
        >>> image_name(fr.open_dataset("sample").train, 0)
        'sha256:1fa77d52c8ac1816'
    """
    if dataset.sources is not None:
        return IMAGE_PREFIX + dataset.sources[row][:8].hex()
    return IMAGE_PREFIX + dataset.subset([row]).image_hashes()[0][:8].hex()
