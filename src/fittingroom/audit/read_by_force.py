"""CSV and npz files that the strict readers refuse, read with fewer demands: what is wrong with them is to be said."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.audited_file import AuditedFile, add_part
from fittingroom.audit.file_bytes import MAX_BYTES, unpack
from fittingroom.audit.findings import Finding
from fittingroom.data.formats import npz
from fittingroom.data.formats.csv_layout import is_header, label_name, pixel_number
from fittingroom.data.formats.splits import part_of
from fittingroom.errors import DataError
from fittingroom.files.polars_check import check_polars


def force_csv(path: Path, audited_file: AuditedFile) -> None:
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
    add_part(audited_file, part_of(path.name) or "", values.reshape(-1, side, side), labels, path)


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


def refuse_zip_bomb(path: Path) -> None:
    """Refuse an archive whose members claim more than can be examined, before any is decompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return  # the reader says what is wrong with it
    if size > MAX_BYTES:
        raise DataError(f"{path}: at most {MAX_BYTES:,} bytes can be examined, its arrays claim {size:,}")


def force_npz(path: Path, audited_file: AuditedFile) -> None:
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
                        add_part(audited_file, role, pixels, numbers, path)
                        break
    except DataError:
        raise
    except Exception as error:  # a hostile file makes zip and NumPy's header parser stumble in any way at all
        raise DataError(f"{path}: a whole .npz file expected, damaged or other content found ({error})") from error
