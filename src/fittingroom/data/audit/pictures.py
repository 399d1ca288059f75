"""Pictures that the readers refuse: colour, or more than 8 bits?"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fittingroom.data.audit.findings import Finding
from fittingroom.data.audit.values import colour, sixteen_bit
from fittingroom.data.dataset import MAX_SIDE
from fittingroom.data.formats import image_folder, parquet

PICTURES_LOOKED_AT = 300


def picture_findings(path: Path) -> list[Finding]:
    """Look at the kinds of the first pictures of a folder or of Parquet files: colour, or more than 8 bits?"""
    kinds = list(_picture_kinds(path))
    if not kinds:
        return []
    findings = []
    coloured, deep = kinds.count("colour"), kinds.count("deep")
    if coloured:
        findings.append(colour(str(path), f"{coloured:,} of {len(kinds):,} pictures looked at"))
    if deep:
        finding = sixteen_bit(str(path), 0, 65_535)
        findings.append(finding)
    return findings


def _picture_kinds(path: Path) -> Iterator[str]:
    from PIL import Image

    for content in _picture_files(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with Image.open(io.BytesIO(content)) as picture:
                    if max(picture.size) > MAX_SIDE:
                        continue
                    if picture.mode.startswith(("I", "F")):
                        yield "deep"
                    elif picture.mode in ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                        rgb = np.asarray(picture.convert("RGB"))
                        yield "colour" if (rgb != rgb[..., :1]).any() else "grey"
                    else:
                        yield "grey"
            except Exception:  # Pillow raises almost anything on damaged files; the reader is who reports them
                continue


def _picture_files(path: Path) -> Iterator[bytes]:
    if path.is_dir() and not list(path.glob("*.parquet")):
        for file in image_folder.image_files(path)[:PICTURES_LOOKED_AT]:
            yield file.read_bytes()
        return
    import polars as pl

    files = parquet.parquet_files(path)
    try:
        table = pl.read_parquet(files[0], n_rows=PICTURES_LOOKED_AT)
        name = next(name for name in parquet.IMAGE_NAMES if name in table.columns)
        yield from parquet.picture_bytes(table[name], files[0])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, StopIteration, OSError):
        return
