"""Folders of real pictures, as people have them: pieces of scikit-learn's photographs in many formats and sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.photo_patches import photo_patches

KINDS = ("grey", "colour", "jpeg", "transparent", "grey jpeg", "grey transparent", "deep", "formats", "palette")
FORMATS = ("png", "jpg", "webp", "bmp", "tif", "jfif", "jpeg", "tiff", "ppm", "pgm", "pbm", "pnm")
TURNED = {  # what a camera that notes this orientation has stored, of an upright picture
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def write_folder(folder: Path, kind: str, count: int, *, seed: int = 0) -> Path:
    """Write ``count`` pictures of one kind below ``folder``, in the folders of their two classes; returns it.

    ``grey`` and ``colour`` are of one size; ``jpeg`` of many, seven of eight noted to be turned; ``transparent`` has
    clear corners; both also in grey; ``deep`` has 16 bits; ``formats`` is a file of each format in turn.
    """
    dataset = photo_patches(count, side=120, seed=seed)
    assert dataset.labels is not None
    for row, (pixels, label) in enumerate(zip(dataset.images, dataset.labels.tolist(), strict=True)):
        file = folder / dataset.classes[label] / f"{row:04}"
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, kind, Image.fromarray(pixels), row)
    return folder


def _write(file: Path, kind: str, picture: Image.Image, row: int) -> None:
    if kind in ("grey", "colour"):
        small = picture.resize((24, 24))
        (small.convert("L") if kind == "grey" else small).save(f"{file}.png")
    elif kind in ("jpeg", "grey jpeg"):
        orientation = 1 + row % 8
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright = (picture.convert("L") if "grey" in kind else picture).crop((0, 0, 120, 40 + 10 * (row % 9)))
        turn = TURNED[orientation]
        (upright if turn is None else upright.transpose(turn)).save(f"{file}.jpg", quality=90, exif=exif)
    elif kind in ("transparent", "grey transparent"):
        picture = picture.convert("L") if "grey" in kind else picture
        picture.putalpha(Image.radial_gradient("L").resize(picture.size).point(lambda value: 255 - value))
        picture.save(f"{file}.png")
    elif kind == "deep":
        grey = np.asarray(picture.convert("L")).astype(np.uint16)
        Image.fromarray(grey * 257).save(f"{file}.png")
    elif kind == "palette":
        picture.quantize(32).save(f"{file}.{('gif', 'png')[row % 2]}")
    else:
        suffix = FORMATS[row % len(FORMATS)]
        mode = {"jpg": "CMYK", "pgm": "L", "pbm": "1"}.get(suffix, "RGB")
        picture.convert(mode).save(f"{file}.{suffix}", {"pnm": "PPM"}.get(suffix))
