"""What lies at a path, read as far as it can be: by the strict readers where they can, by force where they can't.

IDX files, which have a header to be judged by, are always taken apart by :mod:`fittingroom.audit.damaged_idx`. Other
formats go to the readers of :mod:`fittingroom.data.formats`; what these refuse is read again here, with fewer demands.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.damaged_idx import IdxFile, examine_idx, idx_like, kind_of
from fittingroom.audit.file_bytes import GZIP, MAX_BYTES, unpack
from fittingroom.audit.findings import Finding
from fittingroom.audit.picture_files import file_findings
from fittingroom.audit.values import as_pixels, as_whole_labels, picture_findings
from fittingroom.data.dataset import MAX_SIDE, Dataset, Splits, parts_of
from fittingroom.data.fetch.known_sets import KNOWN, class_names_for
from fittingroom.data.formats import npz
from fittingroom.data.formats.csv_layout import (
    holds_pixels,
    is_header,
    label_name,
    pixel_number,
    without_endless_lines,
)
from fittingroom.data.formats.gzipped import BLOCK
from fittingroom.data.formats.idx import QMNIST_COLUMNS
from fittingroom.data.formats.kaggle_csv import csv_files
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.formats.splits import PARTS, part_of, read_class_names
from fittingroom.data.formats.table import CSV, FORMATS, IDX, NPZ, PARQUET, PICTURES, format_at, format_of_name
from fittingroom.data.open import open_dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import DataError
from fittingroom.files.polars_check import check_polars


@dataclass(frozen=True)
class _Reading:
    """How a path is to be read; see :func:`read_audited_file`."""

    cache: bool
    preprocessing: Preprocessing | None
    group: str | None
    skip_broken: bool
    decoding: Decoding

    def open(self, given: str, *, skip_broken: bool) -> Splits:
        """The data set. Raises :class:`DataError`."""
        return open_dataset(
            given,
            cache=self.cache,
            preprocessing=self.preprocessing,
            group=self.group,
            skip_broken=skip_broken,
            decoding=self.decoding,
        )


@dataclass(eq=False)
class AuditedFile:
    """What lies at one path: a file, a folder, or a known set.

    Attributes:
        given: the path or name as it was given.
        findings: what is wrong with the bytes and the types of values.
        parts: (role, data), as far as they could be read; role as in :class:`fittingroom.audit.official_part.Part`.
        problem: why it couldn't be read, where no finding says so.
        notes: what its reader says of it, a sentence each: what was left out, what was resized.
        is_pictures: whether the images were decoded from picture files, or from those in a table, so that no byte
            between them can be missing.
    """

    given: str
    findings: list[Finding] = field(default_factory=list)
    parts: list[tuple[str, Dataset]] = field(default_factory=list)
    problem: str | None = None
    notes: tuple[str, ...] = ()
    is_pictures: bool = False


def read_audited_file(
    given: str,
    *,
    cache: bool = True,
    preprocessing: Preprocessing | None = None,
    group: str | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> AuditedFile:
    """Read what lies at a path, or the known set of this name; what is wrong with it raises nothing.

    Args:
        given: a path or a name, as ``open_dataset`` takes it.
        cache, preprocessing, group, decoding: as in ``open_dataset``.
        skip_broken: pictures that can't be read are left out knowingly, and no error then.
    """
    how = _Reading(cache, preprocessing, group, skip_broken, decoding)
    audited_file = AuditedFile(given)
    path = Path(given)

    # What can't be read is a finding among others, so that the rest of what was given is checked.
    try:
        if given not in KNOWN and _is_idx(path):
            _read_idx(path, audited_file)
        else:
            _read_by_format(path, audited_file, how)
    except DataError as error:
        audited_file.problem = str(error)
    except OSError as error:
        audited_file.problem = f"{error.filename or given}: can't be read: {error.strerror or error}"
    except MemoryError:
        audited_file.problem = f"{given}: the data don't fit into memory"
    return audited_file


def _is_idx(path: Path) -> bool:
    """A folder with files called like IDX files, or a file that no other format's name claims."""
    if path.is_dir():
        return bool(list(idx_like(path)))
    if not path.is_file() or format_of_name(path) is not None:
        return False
    return not any(kind.sniff(path) for kind in FORMATS if kind.sniff is not None and kind is not IDX)


# ── IDX ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_idx(path: Path, audited_file: AuditedFile) -> None:
    for role, images_file, labels_file in _pairs(path):
        images = examine_idx(images_file) if images_file else None
        # only images say how many labels there should be: the file may be one of labels, under a wrong name
        is_images = images is not None and images.array is not None and images.array.ndim >= 3
        count = images.rows if images is not None and is_images else None
        labels = examine_idx(labels_file, count=count) if labels_file else None
        audited_file.findings += [*(images.findings if images else ()), *(labels.findings if labels else ())]

        pixels, numbers = _array(images), _array(labels)
        if pixels is not None and numbers is not None and pixels.ndim == 1 and numbers.ndim >= 3:
            pixels, numbers = numbers, pixels  # the two files have each other's name
        _add_part(audited_file, role, pixels, numbers, images_file or labels_file or path)
    _share_names(audited_file)


def _share_names(audited_file: AuditedFile) -> None:
    """Give every part the class names of train, as far as its labels go: names go with the whole set."""
    named = [dataset.classes for role, dataset in sorted(audited_file.parts, key=lambda part: part[0] != "train")]
    for index, (role, dataset) in enumerate(audited_file.parts):
        if dataset.labels is not None and named[0] and int(dataset.labels.max()) < len(named[0]):
            audited_file.parts[index] = role, replace(dataset, classes=named[0])


def _pairs(path: Path) -> list[tuple[str, Path | None, Path | None]]:
    """(role, images file, labels file) of a folder, or of one file, which brings its partner if that lies beside it."""
    folder = path if path.is_dir() else path.parent
    files = list(idx_like(folder)) if path.is_dir() or path in idx_like(folder) else [path]

    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: file.suffix != ".gz"):  # the raw file, if there, replaces the .gz
        stem, kind = kind_of(file)
        stems.setdefault(stem, {})[kind or "images"] = file

    if not path.is_dir():
        stems = {stem: kinds for stem, kinds in stems.items() if path in kinds.values()}
    return [(part_of(stem) or "", kinds.get("images"), kinds.get("labels")) for stem, kinds in sorted(stems.items())]


def _array(file: IdxFile | None) -> NDArray[Any] | None:
    return None if file is None else file.array


def _add_part(
    audited_file: AuditedFile, role: str, pixels: NDArray[Any] | None, numbers: NDArray[Any] | None, file: Path
) -> None:
    """Make a part of the arrays, cut to the same length, with what is wrong with their values."""
    if pixels is None or pixels.ndim < 3:
        return

    images, labels = as_pixels(pixels, str(file)), None
    audited_file.findings += images.findings
    if images.array is None or max(images.array.shape[1:3]) > MAX_SIDE or not len(images.array):
        if not images.findings:
            audited_file.problem = (
                f"{file}: images of at most {MAX_SIDE} pixels a side expected, shape {pixels.shape} found"
            )
        return

    if numbers is not None and numbers.ndim == 2 and numbers.shape[1] == QMNIST_COLUMNS:
        numbers = numbers[:, 0]
    if numbers is not None and numbers.ndim <= 2:
        whole = as_whole_labels(numbers, str(file))
        audited_file.findings += whole.findings
        labels = whole.array

    # after a cut, only the first so many images have a label, or labels an image
    count = len(images.array) if labels is None else min(len(images.array), len(labels))
    if count == 0:
        return
    labels = None if labels is None else labels[:count]

    name = f"{file.parent.name if role else file.name} {role}".strip()
    if any(name == dataset.name for _, dataset in audited_file.parts):  # the parts of several sets in one folder
        name = f"{file.name} {role}"
    classes = _classes(audited_file, images.array, labels, file)
    audited_file.parts.append((role, Dataset(images.array[:count], labels, classes, name)))


def _classes(
    audited_file: AuditedFile, images: NDArray[np.uint8], labels: NDArray[Any] | None, file: Path
) -> tuple[str, ...]:
    if labels is None:
        return ()
    count = max(2, int(labels.max()) + 1)
    named = read_class_names(file.parent)
    if named is None:
        return class_names_for(images, count, file)

    if len(named) >= count:
        return named

    # numbers stand in for the names that are missing, so that the labels can be checked all the same
    wrong = np.flatnonzero(labels >= len(named))
    audited_file.findings.append(
        Finding(
            name="label-range",
            severity="error",
            where=str(file),
            message=f"{len(wrong):,} of {len(labels):,} labels are {len(named)} or more, where classes.txt names "
            f"{len(named)} classes; the first is {labels[wrong[0]]}, at image {wrong[0]:,}",
            effect="A loss over the named classes fails on them.",
            advice="Add the missing names to classes.txt, or correct the labels.",
            figures={"wrong": len(wrong), "n": len(labels), "classes": len(named)},
        )
    )
    return (*named, *map(str, range(len(named), count)))


# ── other formats ────────────────────────────────────────────────────────────────────────────────────────────


def holds_pictures(given: str) -> bool:
    """Whether the images of a data set are picture files, or lie as such in a table; False where nothing can be told.

    Args:
        given: a path or a name, as ``open_dataset`` takes it; "" for data made in memory.
    """
    if not given or given in KNOWN:
        return False
    try:
        path = Path(given)
        kind = format_at(path)[0] if path.exists() else None
        return kind in (PARQUET, PICTURES) or (kind is CSV and not holds_pixels(path))
    except (DataError, OSError, ValueError):
        return False


def _read_by_format(path: Path, audited_file: AuditedFile, how: _Reading) -> None:
    """Read a file or folder that isn't IDX, or a known set; by force what the reader refuses."""
    kind = format_of_name(path) if path.is_file() else None
    tables = [path] if kind is CSV else csv_files(path) if path.is_dir() else []

    # what is no table, or could exhaust the memory, is named before a reader sees it
    for file in tables:
        audited_file.findings += _wrapping(file)
    if any(finding.name in ("web-page", "text-mode-damage") for finding in audited_file.findings):
        return
    if kind is NPZ:
        _refuse_zip_bomb(path)

    try:
        data = _opened(audited_file.given, how)
    except DataError as error:
        if kind is NPZ:
            _force_npz(path, audited_file)
        elif tables:
            for file in tables:
                _force_csv(file, audited_file)
        if not audited_file.findings:
            raise error  # nothing explains it: the reader's own message is the best there is
        return

    if data.train.files is not None or holds_pictures(audited_file.given):
        audited_file.is_pictures = True
        of_files, data = file_findings(path, data, knowingly=how.skip_broken)
        audited_file.findings += [*of_files, *picture_findings(path, data)]
    audited_file.notes = data.notes

    parts = parts_of(data)
    for role, dataset in parts.items():
        if len(parts) == 1:
            role = "" if path.is_file() and part_of(path.name) is None else _last_word(dataset.name)
        audited_file.parts.append((role, dataset))


def _opened(given: str, how: _Reading) -> Splits:
    """The data set; without the pictures that can't be read, which are a finding then.

    Raises:
        DataError: it can't be read for another reason.
    """
    try:
        return how.open(given, skip_broken=how.skip_broken)
    except DataError as error:
        if how.skip_broken or not holds_pictures(given):
            raise
        try:
            return how.open(given, skip_broken=True)
        except DataError:
            raise error from None


def _last_word(name: str) -> str:
    """The part that a reader put behind the name of a set with one part."""
    return PARTS.get(name.rsplit(" ", 1)[-1].lower(), "")


def _wrapping(path: Path) -> list[Finding]:
    """What is wrong with a CSV file before it is read as one.

    Raises:
        DataError: it can't be a CSV file of images.
    """
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(GZIP[:1]) or start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"<", b"v"):
        findings = list(unpack(path).findings)
        if findings:
            return findings
    else:
        with path.open("rb") as file:
            for _ in without_endless_lines(iter(partial(file.read, BLOCK), b""), path):
                pass
    return []


def _force_csv(path: Path, audited_file: AuditedFile) -> None:
    """Read a CSV that the strict reader refuses: as float32, whatever the number of columns."""
    content = unpack(path).data or b""
    first, _, rest = content.partition(b"\n")
    cells = [cell.strip().strip('"') for cell in first.decode("utf-8-sig", "replace").split(",")]
    columns, has_header = len(cells), is_header(cells)
    if has_header and label_name(cells) is None and any(pixel_number(cell) is None for cell in cells):
        return  # which column is the label would be a guess; the strict reader says what it finds too much
    body = rest if has_header else content

    # a last line without its end may be cut within a number too: it goes as a whole
    last = body.rstrip(b"\n").rpartition(b"\n")[2]
    if not content.endswith(b"\n") and last.count(b",") + 1 < columns:
        rows = body.count(b"\n")
        audited_file.findings.append(_csv_cut_off(path, rows, last.count(b",") + 1, columns))
        body = body[: len(body) - len(last)]

    table = _float_table(body, columns)
    if table is None:
        return
    label = _label_column(cells, has_header)
    pixels = columns - (label is not None)
    values = np.delete(table, [] if label is None else [label], axis=1)

    # of three values a pixel, as 3,072 columns are, it would be a guess whether pixels or planes lie side by side
    if not _is_square(pixels):
        return
    side = math.isqrt(pixels)
    labels = None if label is None else table[:, label]
    _add_part(audited_file, part_of(path.name) or "", values.reshape(-1, side, side), labels, path)


def _float_table(body: bytes, columns: int) -> NDArray[np.float32] | None:
    """The cells of a CSV without header, float32 (rows, columns); None where any is missing or no number."""
    import polars as pl

    check_polars()
    try:
        schema = {f"c{number}": pl.Float32() for number in range(columns)}
        table = pl.read_csv(io.BytesIO(body), has_header=False, schema=schema, quote_char=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))  # empty lines
    if table.is_empty() or table.null_count().sum_horizontal().sum():
        return None  # an empty cell: the strict reader names it
    return table.to_numpy()


def _label_column(cells: list[str], has_header: bool) -> int | None:
    """Where the label stands: where the header says, or first where the other columns alone make square images."""
    if has_header and (name := label_name(cells)) is not None:
        return cells.index(name)
    columns = len(cells)
    return None if _is_square(columns) or (columns % 3 == 0 and _is_square(columns // 3)) else 0


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _csv_cut_off(path: Path, rows: int, cells: int, columns: int) -> Finding:
    return Finding(
        name="truncated",
        severity="error",
        where=str(path),
        message=f"the last line has {cells:,} of {columns:,} cells and no line end: the file is cut off after {rows:,} "
        "whole rows",
        effect="A strict reader refuses it; a lenient one fills the last image with nothing.",
        advice=f"Get the file again; --fix keeps the {rows:,} whole rows.",
        figures={"cells": cells, "expected": columns, "whole_rows": rows},
        fix=f"kept the {rows:,} rows that are whole",
    )


def _refuse_zip_bomb(path: Path) -> None:
    """Refuse an archive whose members claim more than can be examined, before any is decompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return  # the reader says what is wrong with it
    if size > MAX_BYTES:
        raise DataError(f"{path}: at most {MAX_BYTES:,} bytes can be examined, its arrays claim {size:,}")


def _force_npz(path: Path, audited_file: AuditedFile) -> None:
    """Read the arrays of an .npz whose values the strict reader refuses."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}

            # of each part the first pair of names that is there, as the strict reader takes it
            for role, known in npz.NAMES.items():
                for images, labels in known:
                    if images in members:
                        pixels = npz.read_array(archive, images, path)  # checked against the header before it is read
                        numbers = npz.read_array(archive, labels, path) if labels in members else None
                        _add_part(audited_file, role, pixels, numbers, path)
                        break
    except DataError:
        raise
    except Exception as error:  # a hostile file makes zip and NumPy's header parser stumble in any way at all
        raise DataError(f"{path}: a whole .npz file expected, damaged or other content found ({error})") from error
