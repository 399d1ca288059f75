"""A picture's bytes (PNG, JPEG, …) → the array that training reads, and back.

Every reader of pictures goes through :func:`decode_grey`, which changes nothing: it refuses what isn't grey, opaque,
8-bit and small already. Pillow is imported only when a picture is read.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A picture file as uint8 (H, W); of a moving GIF the first frame.

    Args:
        content: of the file. Colour is taken as grey where R = G = B in every pixel.
        where: what an error message calls it.

    Raises:
        DataError: real colour, transparency, more than 8 bits, more than 256 pixels a side, no picture.
    """
    with open_picture(content, where, formats=FORMATS, limit=f"{MAX_SIDE} pixels a side") as picture:
        return _grey(picture, where)


@contextmanager
def open_picture(content: bytes, where: str, *, formats: tuple[str, ...], limit: str) -> Iterator[Image.Image]:
    """Open a picture file with Pillow, without trusting it.

    Args:
        content: of the file.
        where: what an error message calls it.
        formats: that are tried, by Pillow's names.
        limit: the size that the block permits, in words, for what Pillow itself refuses as far too large.

    Raises:
        DataError: whatever goes wrong in opening it or, as Pillow decodes late, in the block.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that the block refuses
            with Image.open(io.BytesIO(content), formats=formats) as picture:
                yield picture
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: at most {limit} expected, far more found: make it smaller") from error
    except Exception as error:  # a hostile file makes Pillow's decoders stumble in any way at all
        raise DataError(
            f"{where}: a picture ({', '.join(formats)}) expected, damaged or other content found"
        ) from error


def encode_png(image_HW: NDArray[np.uint8]) -> bytes:
    """An image uint8 (H, W) as an 8-bit grey PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image_HW).save(file, "PNG")
    return file.getvalue()


def _grey(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    width, height = picture.size
    if max(width, height) > MAX_SIDE:  # known before anything is decoded
        raise DataError(f"{where}: at most {MAX_SIDE} pixels a side expected, {height}×{width} found: resize it first")

    # 8-bit grey, as most files of such data sets are, needs no conversion
    if picture.mode == "L" and "transparency" not in picture.info:
        return np.asarray(picture)
    if picture.mode not in MODES:
        raise DataError(f"{where}: 8-bit grey expected, mode {picture.mode} found: convert it first")

    # palettes, bits and colour by way of one mode, in which grey and opaque are simple to tell
    rgba_HW4: NDArray[np.uint8] = np.asarray(picture.convert("RGBA"))
    red_HW, opacity_HW = rgba_HW4[..., 0], rgba_HW4[..., 3]
    if (opacity_HW != 255).any():
        raise DataError(f"{where}: an opaque picture expected, transparency found: put it on a background first")
    if (rgba_HW4[..., :3] != red_HW[..., None]).any():
        raise DataError(f"{where}: a grey picture expected, colour found: convert it to grey first")
    return red_HW
