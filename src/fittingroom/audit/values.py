"""Values that aren't 8-bit pixels or whole labels: what they are instead, and the pixels if they are exact.

Of arrays, as IDX, CSV and npz files hold them, and of pictures, as folders and Parquet files do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import Finding
from fittingroom.data.dataset import MAX_CLASSES
from fittingroom.data.formats.arrays import is_grey
from fittingroom.data.formats.columns import IMAGE_NAMES
from fittingroom.data.formats.parquet import parquet_files
from fittingroom.data.formats.parquet_pictures import picture_bytes
from fittingroom.data.picture_file import read_picture_file
from fittingroom.data.preprocessing import PictureFacts, probe_picture
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError
from fittingroom.files.parquet_pages import page_problem
from fittingroom.files.polars_check import check_polars

MAX_FRACTION = 1e-3  # of 255 by which a float32 pixel may differ from a whole number, divided and multiplied again
MAX_PICTURES = 300  # looked at in a folder or file


@dataclass(frozen=True, eq=False)
class Values:
    """What was made of an array.

    Attributes:
        array: images uint8 (N, H, W) or (N, H, W, 3), or labels int64 (N,); None where they can't be had exactly.
        findings: what is wrong with the values.
    """

    array: NDArray[Any] | None
    findings: tuple[Finding, ...] = ()


def as_pixels(array: NDArray[Any], where: str) -> Values:
    """The images of an array of any type and shape: uint8 (N, H, W) or (N, H, W, 3); None for inexact values."""
    # one channel is grey, before or behind; so are three that are equal everywhere
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[..., 0] if array.shape[3] == 1 else array[:, 0]
    if array.ndim == 4 and 3 in (array.shape[1], array.shape[3]):
        array = array if array.shape[3] == 3 else np.moveaxis(array, 1, 3)
        if is_grey(array):
            array = array[..., 0]

    if array.ndim != 3 and (array.ndim != 4 or array.shape[3] != 3):
        return Values(None)

    if array.dtype == np.uint8 or array.size == 0:
        return Values(array.astype(np.uint8, copy=False))
    if array.dtype.kind not in "iuf":
        return Values(None)
    return _scaled(array, where)


def as_whole_labels(array: NDArray[Any], where: str) -> Values:
    """Labels as int64 (N,); None, and a finding, where they aren't whole numbers from 0 to 999."""
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        return Values(None)

    # all three comparisons are false of what is not a number
    wrong = ~((labels >= 0) & (labels < MAX_CLASSES) & (labels == np.floor(labels)))
    if not wrong.any():
        return Values(labels.astype(np.int64))

    row = int(np.argmax(wrong))
    finding = Finding(
        name="label-range",
        severity="error",
        where=where,
        message=f"{int(wrong.sum()):,} of {len(labels):,} labels aren't whole numbers from 0 to {MAX_CLASSES - 1}; "
        f"the first is {labels[row]:g}, at row {row:,}",
        effect="What has no class can be neither learned nor judged.",
        advice="Look where the labels come from; leave out the rows or correct them.",
        figures={"wrong": int(wrong.sum()), "n": len(labels), "first_row": row},
    )
    return Values(None, (finding,))


def made_grey(where: str, coloured: int, looked_at: int) -> Finding:
    """The finding for pictures in colour that were read as grey ones, as somebody asked for."""
    return Finding(
        name="colour",
        severity="note",
        where=where,
        message=f"{coloured:,} of {looked_at:,} pictures looked at are in colour; all are made grey, as was asked for",
        effect="What only their colour tells apart, no model can.",
        advice="Leave out the choice of grey to train on colour.",
        figures={"coloured": coloured, "looked_at": looked_at},
    )


def made_8_bit(where: str, deep: int, looked_at: int) -> Finding:
    """The finding for pictures of more than 8 bits, which the reader scales."""
    return Finding(
        name="sixteen-bit",
        severity="note",
        where=where,
        message=f"{deep:,} of {looked_at:,} pictures looked at have more than 8 bits a channel; they are scaled to 8",
        effect="Differences finer than 1 in 256 of the range are lost.",
        advice="Nothing, unless such differences matter: then stretch the range before saving 8 bits.",
        figures={"deep": deep, "looked_at": looked_at},
    )


def sixteen_bit(where: str, low: float, high: float, fix: str = "") -> Finding:
    """The finding for arrays with whole pixel values beyond 255, which readers refuse: their range is a guess."""
    return Finding(
        name="sixteen-bit",
        severity="error",
        where=where,
        message=f"whole pixel values from {low:,.0f} to {high:,.0f}, where 0 to 255 (8 bits) is expected",
        effect="Cut to 8 bits they wrap around (256 becomes 0): edges where there are none.",
        advice="Divide by 257 (65,535 becomes 255) and round, the test set in the same way as train.",
        figures={"low": low, "high": high},
        fix=fix,
    )


def _scaled(array: NDArray[Any], where: str) -> Values:
    """The images of numbers of any type and range, where they are 8-bit pixels times a factor; else what they are."""
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(array).all():
        return Values(None, (_range(where, array, "values that are infinite or not a number"),))

    # 257 takes 255 to 65,535, as pictures of 16 bits are made; 256 shifts by 8 bits. With a remainder there was more
    # than 8 bits of information, which no factor brings back
    is_whole = array.dtype.kind in "iu" or not (array % 1).any()
    if is_whole and low >= 0:
        if high <= 255:
            return Values(array.astype(np.uint8))
        for divisor in (257, 256):
            if high <= 65_535 and not (array % divisor).any():
                fix = f"divided by {divisor}, exactly"
                return Values((array // divisor).astype(np.uint8), (sixteen_bit(where, low, high, fix),))
        return Values(None, (sixteen_bit(where, low, high),))

    # 0–1: pixels divided by 255 come back to within rounding; others were cut, stretched or normalised
    if low >= 0 and high <= 1:
        pixels = array.astype(np.float32, copy=False) * np.float32(255)
        rounded = np.rint(pixels)
        if np.abs(pixels - rounded).max() <= MAX_FRACTION * 255:
            seen = f"{array.dtype} from {low:g} to {high:g}, each a whole number of 255ths"
            fix = "multiplied by 255, which gives whole numbers"
            return Values(rounded.astype(np.uint8), (_range(where, array, seen, fix),))

    return Values(None, (_range(where, array, f"{array.dtype} from {low:g} to {high:g}"),))


def _range(where: str, array: NDArray[Any], seen: str, fix: str = "") -> Finding:
    """The finding for another range than 0 to 255; its figures are of the finite values, for JSON has no others."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return Finding(
        name="scaled-range",
        severity="error",
        where=where,
        message=f"{seen}, where whole numbers from 0 to 255 are expected",
        effect="Normalised once more, or by the mean and sd of 0–255, every pixel looks the same to a model.",
        advice="Save the pixels as uint8 as they were before scaling.",
        figures={"low": float(finite.min(initial=0)), "high": float(finite.max(initial=0))},
        fix=fix,
    )


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────


def picture_findings(path: Path, data: Splits) -> list[Finding]:
    """See what the reader changed in some of the pictures of a data set.

    Args:
        path: where the set was opened.
        data: what was read. That pictures have colour is worth a word only where that was taken out.
    """
    facts = list(_facts(path, data))
    coloured, deep = sum(fact.is_colour for fact in facts), sum(fact.is_deep for fact in facts)

    findings = []
    if coloured and data.train.channels == 1:
        findings.append(made_grey(str(path), coloured, len(facts)))
    if deep:
        findings.append(made_8_bit(str(path), deep, len(facts)))
    return findings


def _facts(path: Path, data: Splits) -> Iterator[PictureFacts]:
    """What is known of each picture looked at that can be read; of the others the reader tells."""
    for name, content in _picture_files(path, data):
        with suppress(DataError):
            yield probe_picture(content, name)


def _picture_files(path: Path, data: Splits) -> Iterator[tuple[str, bytes]]:
    """Some of the picture files, evenly spread over all parts, or the first pictures of a Parquet file."""
    files = [file for part in parts_of(data).values() for file in part.files or ()]
    root = path if path.is_dir() else path.parent
    for number in np.linspace(0, len(files) - 1, min(len(files), MAX_PICTURES)).astype(int).tolist():
        with suppress(DataError):
            yield files[number], read_picture_file(root / files[number])
    if not files:
        yield from _pictures_of_table(path)


def _pictures_of_table(path: Path) -> Iterator[tuple[str, bytes]]:
    import polars as pl

    check_polars()
    try:
        file = parquet_files(path)[0]
        with file.open("rb") as opened:  # Polars takes a path for a pattern
            if page_problem(opened):
                return
            table = pl.read_parquet(opened, n_rows=MAX_PICTURES)
        name = next(name for name in IMAGE_NAMES if name in table.columns)
        for row, content in enumerate(picture_bytes(table[name], file)):
            yield f"{file}: row {row:,}", content
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, StopIteration, IndexError, OSError, DataError):
        return
