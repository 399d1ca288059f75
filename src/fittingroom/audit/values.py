"""Values that aren't grey 8-bit pixels or whole labels: what they are instead, and the pixels if they are exact.

Of arrays, as IDX, CSV and npz files hold them, and of pictures, as folders and Parquet files do.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import Finding
from fittingroom.data.dataset import MAX_CLASSES, MAX_SIDE
from fittingroom.data.formats import image_folder, parquet

MAX_FRACTION = 1e-3  # of 255 by which a float32 pixel may differ from a whole number, divided and multiplied again
MAX_PICTURES = 300  # looked at in a folder or file


@dataclass(frozen=True, eq=False)
class Values:
    """What was made of an array.

    Attributes:
        array: images uint8 (N, H, W), or labels int64 (N,); None where they can't be had exactly.
        findings: what is wrong with the values.
    """

    array: NDArray[Any] | None
    findings: tuple[Finding, ...] = ()


def as_grey(array: NDArray[Any], where: str) -> Values:
    """The images of an array of any type and shape: uint8 (N, H, W); None for colour and inexact values."""
    # one channel is grey, before or behind; so are three that are equal everywhere
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[..., 0] if array.shape[3] == 1 else array[:, 0]
    if array.ndim == 4 and 3 in (array.shape[1], array.shape[3]):
        channels_last = array if array.shape[3] == 3 else np.moveaxis(array, 1, 3)
        if (channels_last != channels_last[..., :1]).any():
            return Values(None, (colour(where, f"three channels that differ, shape {array.shape}"),))
        array = channels_last[..., 0]

    if array.ndim != 3:
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


def colour(where: str, seen: str) -> Finding:
    """The finding for images that aren't grey."""
    return Finding(
        name="colour",
        severity="error",
        where=where,
        message=f"colour where grey is expected: {seen}",
        effect="Models for grey images can't take them.",
        advice="Convert them to grey (Pillow: `image.convert('L')`), the test set in the same way as train.",
    )


def sixteen_bit(where: str, low: float, high: float, fix: str = "") -> Finding:
    """The finding for whole pixel values beyond 255."""
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


def picture_findings(path: Path) -> list[Finding]:
    """See whether the first pictures of a folder or of Parquet files are in colour, or of more than 8 bits."""
    kinds = list(_picture_kinds(path))
    findings = []
    if coloured := kinds.count("colour"):
        findings.append(colour(str(path), f"{coloured:,} of {len(kinds):,} pictures looked at"))
    if "deep" in kinds:
        findings.append(sixteen_bit(str(path), 0, 65_535))
    return findings


def _picture_kinds(path: Path) -> Iterator[str]:
    """``colour``, ``deep`` or ``grey`` for each picture that can be read."""
    for content in _picture_files(path):
        try:
            kind = _kind(content)
        except Exception:  # Pillow raises almost anything on damaged files; the reader is who reports them
            continue
        if kind is not None:
            yield kind


def _kind(content: bytes) -> str | None:
    """``colour``, ``deep`` or ``grey``; None for a picture that is too large to be decoded."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on large pictures, as soon as it opens one
        with Image.open(io.BytesIO(content)) as picture:
            if max(picture.size) > MAX_SIDE:
                return None
            if picture.mode.startswith(("I", "F")):
                return "deep"
            if picture.mode not in ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                return "grey"
            # many grey pictures are saved as RGB: the pixels decide
            rgb = np.asarray(picture.convert("RGB"))
            return "colour" if (rgb != rgb[..., :1]).any() else "grey"


def _picture_files(path: Path) -> Iterator[bytes]:
    """The bytes of the first pictures of a folder, or of the first Parquet file."""
    if path.is_dir() and not list(path.glob("*.parquet")):
        for file in image_folder.image_files(path)[:MAX_PICTURES]:
            yield file.read_bytes()
        return

    import polars as pl

    files = parquet.parquet_files(path)
    try:
        table = pl.read_parquet(files[0], n_rows=MAX_PICTURES)
        name = next(name for name in parquet.IMAGE_NAMES if name in table.columns)
        yield from parquet.picture_bytes(table[name], files[0])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, StopIteration, OSError):
        return
