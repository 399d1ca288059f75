"""Picture files (PNG, JPEG, …) to grey pixels, by Pillow, which is imported only when a picture is read."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.data.dataset import MAX_SIDE
from fittingroom.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # of 8 bits a channel or less


def decode_grey(content: bytes, where: str) -> NDArray[np.uint8]:
    """Return the picture as uint8 (H, W); of a moving GIF the first frame.

    Colour is taken as grey where R = G = B in every pixel. Raises DataError, which begins with `where`, for
    real colour, transparency, more than 8 bits, more than 256 pixels a side, and what is no picture.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that are refused below
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                return _grey(picture, where)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: at most {MAX_SIDE} pixels a side expected, far more found") from error
    except Exception as error:  # a hostile file makes Pillow's decoders stumble in any way at all
        raise DataError(
            f"{where}: a picture ({', '.join(FORMATS)}) expected, damaged or other content found"
        ) from error


def encode_png(image_HW: NDArray[np.uint8]) -> bytes:
    """Return the image uint8 (H, W) as an 8-bit grey PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image_HW).save(file, "PNG")
    return file.getvalue()


def _grey(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    width, height = picture.size
    if max(width, height) > MAX_SIDE:  # known before anything is decoded
        raise DataError(f"{where}: at most {MAX_SIDE} pixels a side expected, {height}×{width} found: resize it first")
    if picture.mode == "L" and "transparency" not in picture.info:
        return np.asarray(picture)
    if picture.mode not in MODES:
        raise DataError(f"{where}: 8-bit grey expected, mode {picture.mode} found: convert it first")
    rgba_HW4: NDArray[np.uint8] = np.asarray(picture.convert("RGBA"))
    red_HW, opacity_HW = rgba_HW4[..., 0], rgba_HW4[..., 3]
    if (opacity_HW != 255).any():
        raise DataError(f"{where}: an opaque picture expected, transparency found: put it on a background first")
    if (rgba_HW4[..., :3] != red_HW[..., None]).any():
        raise DataError(f"{where}: a grey picture expected, colour found: convert it to grey first")
    return red_HW
