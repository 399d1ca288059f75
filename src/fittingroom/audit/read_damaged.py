"""What lies at a path, read as far as it can be: by the strict readers where they can, by force where they can't."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.damaged_idx import IdxFile, examine_idx, idx_like, kind_of
from fittingroom.audit.file_bytes import GZIP, MOST_BYTES, unpack
from fittingroom.audit.findings import Finding
from fittingroom.audit.values import as_grey, as_whole_labels, colour, picture_findings
from fittingroom.data.dataset import MAX_SIDE, Dataset, parts_of
from fittingroom.data.fetch.known_sets import KNOWN, class_names_for
from fittingroom.data.formats import npz
from fittingroom.data.formats.kaggle_csv import LONGEST_LINE, csv_files, is_header, label_name, pixel_number
from fittingroom.data.formats.splits import PARTS, part_of, read_class_names
from fittingroom.data.formats.table import CSV, NPZ, format_of_name
from fittingroom.data.open import open_dataset
from fittingroom.errors import DataError


@dataclass(eq=False)
class Source:
    """What was found at one path. parts: (role, data), role as in `Part`. problem: what no finding explains."""

    given: str
    findings: list[Finding] = field(default_factory=list)
    parts: list[tuple[str, Dataset]] = field(default_factory=list)
    problem: str | None = None


def read_source(given: str, *, cache: bool = True) -> Source:
    """Read what lies at a path, or the known set of this name; never raises for what is wrong with it."""
    source = Source(given)
    path = Path(given)
    try:
        if given not in KNOWN and _is_idx(path):
            _read_idx(path, source)
        else:
            _read_by_format(path, source, cache)
    except DataError as error:
        source.problem = str(error)
    except OSError as error:
        source.problem = f"{error.filename or given}: can't be read: {error.strerror or error}"
    except MemoryError:
        source.problem = f"{given}: the data don't fit into memory"
    return source


def _is_idx(path: Path) -> bool:
    """A folder with files called like IDX files, or a file that no other format's name claims."""
    if path.is_dir():
        return bool(list(idx_like(path)))
    return path.is_file() and format_of_name(path) is None


# ── IDX ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_idx(path: Path, source: Source) -> None:
    for role, images_file, labels_file in _pairs(path):
        images = examine_idx(images_file) if images_file else None
        is_images = images is not None and images.array is not None and images.array.ndim >= 3
        count = images.rows if images is not None and is_images else None
        labels = examine_idx(labels_file, count=count) if labels_file else None
        source.findings += [*(images.findings if images else ()), *(labels.findings if labels else ())]
        pixels, numbers = _by_content(images), _by_content(labels)
        if images and labels and pixels is not None and numbers is not None and pixels.ndim == 1 and numbers.ndim >= 3:
            pixels, numbers = numbers, pixels
        _add_part(source, role, pixels, numbers, images_file or labels_file or path)
    _share_names(source)


def _share_names(source: Source) -> None:
    """Give every part the class names of train, as far as its labels go: names go with the whole set."""
    named = [dataset.classes for role, dataset in sorted(source.parts, key=lambda part: part[0] != "train")]
    for index, (role, dataset) in enumerate(source.parts):
        if dataset.labels is not None and named[0] and int(dataset.labels.max()) < len(named[0]):
            source.parts[index] = role, replace(dataset, classes=named[0])


def _pairs(path: Path) -> list[tuple[str, Path | None, Path | None]]:
    """(role, images file, labels file) of a folder, or of one file, which brings its partner if that lies beside it."""
    folder = path if path.is_dir() else path.parent
    files = list(idx_like(folder)) if path.is_dir() or path in idx_like(folder) else [path]
    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda each: each.suffix != ".gz"):  # the raw file, if there, goes before .gz
        stem, kind = kind_of(file)
        stems.setdefault(stem, {})[kind or "images"] = file
    if not path.is_dir():
        stems = {stem: kinds for stem, kinds in stems.items() if path in kinds.values()}
    return [(part_of(stem) or "", kinds.get("images"), kinds.get("labels")) for stem, kinds in sorted(stems.items())]


def _by_content(file: IdxFile | None) -> NDArray[Any] | None:
    return None if file is None else file.array


def _add_part(source: Source, role: str, pixels: NDArray[Any] | None, numbers: NDArray[Any] | None, file: Path) -> None:
    """Make a part of the arrays, cut to the same length, with what is wrong with their values."""
    if pixels is None or pixels.ndim < 3:
        return
    images, labels = as_grey(pixels, str(file)), None
    source.findings += images.findings
    if images.array is None or max(images.array.shape[1:]) > MAX_SIDE or not len(images.array):
        if not images.findings:
            source.problem = f"{file}: images of at most {MAX_SIDE} pixels a side expected, shape {pixels.shape} found"
        return
    if numbers is not None and numbers.ndim <= 2:
        whole = as_whole_labels(numbers, str(file))
        source.findings += whole.findings
        labels = whole.array
    count = len(images.array) if labels is None else min(len(images.array), len(labels))
    if count == 0:
        return
    name = f"{file.parent.name if role else file.name} {role}".strip()
    if any(name == dataset.name for _, dataset in source.parts):  # such as the parts of several sets in one folder
        name = f"{file.name} {role}"
    labels = None if labels is None else labels[:count]
    classes = _classes(source, images.array, labels, file)
    source.parts.append((role, Dataset(images.array[:count], labels, classes, name)))


def _classes(source: Source, images: NDArray[np.uint8], labels: NDArray[Any] | None, file: Path) -> tuple[str, ...]:
    if labels is None:
        return ()
    count = max(2, int(labels.max()) + 1)
    named = read_class_names(file.parent)
    if named is None:
        return class_names_for(images, count, file)
    if len(named) >= count:
        return named
    wrong = np.flatnonzero(labels >= len(named))
    source.findings.append(
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


def _read_by_format(path: Path, source: Source, cache: bool) -> None:
    kind = format_of_name(path) if path.is_file() else None
    tables = [path] if kind is CSV else csv_files(path) if path.is_dir() else []
    for file in tables:
        source.findings += _wrapping(file)
    if any(finding.name in ("web-page", "text-mode-damage") for finding in source.findings):
        return
    if kind is NPZ:
        _refuse_zip_bomb(path)

    try:
        data = open_dataset(source.given, cache=cache)
    except DataError as error:
        if kind is NPZ:
            _force_npz(path, source)
        elif tables:
            for file in tables:
                _force_csv(file, source)
        elif path.exists():
            source.findings += picture_findings(path)
        if not source.findings:
            raise error
        return

    parts = parts_of(data)
    for role, dataset in parts.items():
        if len(parts) == 1:
            role = "" if path.is_file() and part_of(path.name) is None else _last_word(dataset.name)
        source.parts.append((role, dataset))


def _last_word(name: str) -> str:
    """The part that a reader put behind the name of a set with one part."""
    return PARTS.get(name.rsplit(" ", 1)[-1].lower(), "")


def _wrapping(path: Path) -> list[Finding]:
    """What is wrong with a CSV file before it is read as one. Raises DataError for what can't be one."""
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(GZIP[:1]) or start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"<", b"v"):
        findings = list(unpack(path).findings)
        if findings:
            return findings
    else:
        _refuse_endless_line(path)
    return []


def _refuse_endless_line(path: Path) -> None:
    """Refuse a file with a line that can't be a row, before a reader takes memory for it."""
    since = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            first, last = block.find(b"\n"), block.rfind(b"\n")
            since += len(block) if first < 0 else first
            if since > LONGEST_LINE:
                raise DataError(
                    f"{path}: rows of at most {LONGEST_LINE:,} bytes expected, a longer line found: this is no CSV of "
                    "images, or its line ends are missing"
                )
            if last >= 0:
                since = len(block) - last - 1


def _force_csv(path: Path, source: Source) -> None:
    """Read a CSV that the strict reader refuses: as float32, whatever the number of columns."""
    import polars as pl

    content = unpack(path).data or b""
    first, _, rest = content.partition(b"\n")
    cells = [cell.strip().strip('"') for cell in first.decode("utf-8-sig", "replace").split(",")]
    columns, has_header = len(cells), is_header(cells)
    if has_header and label_name(cells) is None and any(pixel_number(cell) is None for cell in cells):
        return  # which column is the label would be a guess; the strict reader says what it finds too much
    body = rest if has_header else content
    last = body.rstrip(b"\n").rpartition(b"\n")[2]
    if not content.endswith(b"\n") and last.count(b",") + 1 < columns:
        rows = body.count(b"\n")
        source.findings.append(_csv_cut_off(path, rows, last.count(b",") + 1, columns))
        body = body[: len(body) - len(last)]
    try:
        schema = {f"c{number}": pl.Float32() for number in range(columns)}
        table = pl.read_csv(io.BytesIO(body), has_header=False, schema=schema, quote_char=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))  # empty lines
    if table.is_empty() or table.null_count().sum_horizontal().sum():
        return  # an empty cell: the strict reader names it
    label = _label_column(cells, has_header)
    pixels = columns - (label is not None)
    values = np.delete(table.to_numpy(), [] if label is None else [label], axis=1)
    if pixels % 3 == 0 and _is_square(pixels // 3) and not _is_square(pixels):
        side = math.isqrt(pixels // 3)
        source.findings.append(colour(str(path), f"{pixels:,} pixel columns, 3 × {side} × {side}"))
        return
    if not _is_square(pixels):
        return
    side = math.isqrt(pixels)
    labels = None if label is None else table.to_numpy()[:, label]
    _add_part(source, part_of(path.name) or "", values.reshape(-1, side, side), labels, path)


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
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return  # the reader says what is wrong with it
    if size > MOST_BYTES:
        raise DataError(f"{path}: at most {MOST_BYTES:,} bytes can be examined, its arrays claim {size:,}")


def _force_npz(path: Path, source: Source) -> None:
    """Read the arrays of an .npz whose values the strict reader refuses."""
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            for role, known in npz.NAMES.items():
                for images, labels in known:
                    if images in there:
                        pixels = npz.read_array(archive, images, path)  # checked against the header before it is read
                        numbers = npz.read_array(archive, labels, path) if labels in there else None
                        _add_part(source, role, pixels, numbers, path)
                        break
    except DataError:
        raise
    except Exception as error:  # a hostile file makes zip and NumPy's header parser stumble in any way at all
        raise DataError(f"{path}: a whole .npz file expected, damaged or other content found ({error})") from error
