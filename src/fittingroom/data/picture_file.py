"""The bytes of a picture file → pixels of 8 bits, upright and opaque: what Pillow reads, without trusting the file.

Pillow is imported only when a picture is read.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fittingroom.data import netpbm
from fittingroom.data.picture_pieces import PNG, has_damaged_pixels, refuse_crumbs
from fittingroom.errors import DataError
from fittingroom.files.regular_file import read_regular_file
from fittingroom.files.stand_in import LONGEST_START, stand_in

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # by Pillow's names; the last is all of Netpbm
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""The suffixes of the formats, in lower case."""
MAX_PIXELS = 50_000_000  # decoded: 150 MB
LARGEST_FILE = 256 << 20  # bytes; 50 million pixels have 150 MB without compression
WHITE = (255, 255, 255)
STRIP = 4_000_000  # pixels of a transparent picture that are laid on its background at once
PROBED_SIDE = 64  # a JPEG's colours are looked for in a picture of at least this size
EXIF_ORIENTATION = 0x0112
PNG_EXIF = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow looks for it
START_OF_SCAN = b"\xff\xda"
ORDINARY_SCANS, MAX_SCANS = 12, 1_000  # of a progressive JPEG; programs write 10 of a coloured one
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
TURNED = (5, 6, 7, 8)  # orientations in which height and width change places
MAX_WEBP_PIXELS = 25_000_000  # decoded: 400 MB, as its decoder holds two frames beside what it gives
LARGE = 16_000_000  # pixels; of larger pictures no two are decoded at once, for with all steps one takes 750 MB

PILLOW = re.compile(r"PIL\b")
PILLOWS_WARNINGS = ("ignore", None, Warning, PILLOW, 0)  # as filterwarnings writes it down

_large = threading.RLock()  # a thread that has opened a large WebP decodes it within


class NoKnownRange(Exception):
    """Pixels with decimals, of which nothing tells what is white."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture file is, before anything is made of it.

    Attributes:
        size: (height, width) in pixels, after the rotation that its EXIF data asks for.
        is_colour: whether any pixel has R, G and B that differ.
        is_deep: more than 8 bits a channel.
    """

    size: tuple[int, int]
    is_colour: bool
    is_deep: bool


def read_picture_file(file: Path) -> bytes:
    """The content of a picture file, which is read only where it is one by its kind and size.

    Raises:
        DataError: it is missing, no regular file or larger than any picture, or it can't be read.
    """
    try:
        return read_regular_file(file, LARGEST_FILE)
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror or error}") from None


@contextmanager
def open_picture(
    file: bytes | BinaryIO,
    where: str,
    *,
    formats: tuple[str, ...] = FORMATS,
    limit: str = f"{MAX_PIXELS:,} pixels",
    head_only: bool = False,
) -> Iterator[Image.Image]:
    """Open a picture file with Pillow, without trusting it.

    Args:
        file: its content, or the open file, of which Pillow reads what it needs.
        where: what an error message calls it.
        formats: that are tried, by Pillow's names.
        limit: the size that the block permits, in words, for what Pillow itself refuses as far too large.
        head_only: whether the block leaves the pixels alone, which need not be whole then.

    Raises:
        DataError: whatever goes wrong in opening it or, as Pillow decodes late, in the block.
    """
    from PIL import Image

    try:
        _silence_pillow()
        stream = io.BytesIO(file) if isinstance(file, bytes) else file
        with _opening(stream, where), Image.open(stream, formats=formats) as picture:
            if picture.format == "JPEG" and isinstance(file, bytes):
                _refuse_many_scans(file, picture.size, where)
            if picture.format == "PNG" and isinstance(file, bytes) and not head_only and has_damaged_pixels(file):
                raise ValueError("the pixels' checksum is another")
            if picture.format == "PPM" and isinstance(file, bytes) and not head_only and _is_bounded(picture):
                with decoding(picture):
                    yield netpbm.decoded(picture, file, where)
            else:
                yield picture
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: at most {limit} expected, far more found: make it smaller") from error
    except NoKnownRange as error:
        raise DataError(
            f"{where}: pixels of 8 or 16 bits expected, ones with decimals found, whose white isn't known: save it so"
        ) from error
    except Exception as error:  # a hostile file makes Pillow's decoders stumble in any way at all
        raise DataError(
            f"{where}: a picture ({', '.join(formats)}) expected, damaged or other content found{_stand_in(file)}"
        ) from error


def _stand_in(file: bytes | BinaryIO) -> str:
    if isinstance(file, bytes):
        return stand_in(file)
    try:
        file.seek(0)
        return stand_in(file.read(LONGEST_START))
    except (OSError, ValueError):
        return ""


@contextmanager
def _opening(file: BinaryIO, where: str) -> Iterator[None]:
    """Have one large WebP open at a time: its decoder takes memory for all of it, twice, before it is asked for any.

    Raises:
        DataError: one that is too large; one in very many pieces.
        ValueError: a Netpbm file without a head.
    """
    place = file.tell()
    head = file.read(30)
    file.seek(place)
    refuse_crumbs(file, where)
    file.seek(place)
    netpbm.refuse_endless_head(file)
    file.seek(place)
    pixels = _pixels_of_webp(head)
    if pixels > MAX_WEBP_PIXELS:
        raise DataError(
            f"{where}: a WebP of at most {MAX_WEBP_PIXELS:,} pixels expected, {pixels:,} found: save it as PNG"
        )
    with _large if pixels > LARGE // 4 else nullcontext():
        yield


def _pixels_of_webp(head: bytes) -> int:
    """Pixels by the first 30 bytes of a WebP; 0 for any other file.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return 0
    kind = head[12:16]
    if kind == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1) * (int.from_bytes(head[27:30], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    return (int.from_bytes(head[26:28], "little") & 0x3FFF) * (int.from_bytes(head[28:30], "little") & 0x3FFF)


def _refuse_many_scans(jpeg: bytes, size: tuple[int, int], where: str) -> None:
    """Refuse a progressive JPEG that goes over its pixels far more often than any camera or program lets one.

    Each scan takes the time of a whole picture, and a few bytes: a file of 2 MB could have a hundred thousand.

    Raises:
        DataError: more scans of more pixels than the largest picture has in an ordinary file.
    """
    scans = jpeg.count(START_OF_SCAN)  # within the pixels, 0xff is followed by a zero
    if scans > ORDINARY_SCANS and (scans > MAX_SCANS or scans * size[0] * size[1] > ORDINARY_SCANS * MAX_PIXELS):
        raise DataError(f"{where}: a JPEG of about {ORDINARY_SCANS} scans expected, {scans:,} found: save it anew")


def _silence_pillow() -> None:
    """Have Pillow's own warnings ignored, such as those of sizes that are refused in any case.

    For good, and not for the length of a block: pictures are decoded by several threads, and each that left such a
    block would put back what it found on entering, another thread's filter for all warnings of the process among it.
    """
    if not warnings.filters or warnings.filters[0] != PILLOWS_WARNINGS:
        warnings.filterwarnings("ignore", module=PILLOW.pattern)


def probe_picture(content: bytes, where: str) -> PictureFacts:
    """Tell a picture's size and kind. A large JPEG is decoded at about an eighth of its size, a grey one not at all.

    Raises:
        DataError: no picture, a damaged one as far as that is noticed, or one too large.
    """
    with open_picture(content, where) as picture:
        turn = orientation(picture)
        size = upright_size(picture, where, turn)
        is_deep = picture.mode.startswith(("I", "F"))
        picture.draft(None, (PROBED_SIDE, PROBED_SIDE))
        with decoding(picture):
            return PictureFacts(size, is_coloured(opaque_8_bit(picture, turn=turn)), is_deep)


def probe_size(file: bytes | BinaryIO, where: str) -> tuple[int, int]:
    """(height, width) of an upright picture, from the head of its file.

    Raises:
        DataError: no picture, or one too large.
    """
    if isinstance(file, bytes) and (size := size_of_plain_png(file)) is not None:
        return size
    with open_picture(file, where, head_only=True) as picture:
        return upright_size(picture, where, orientation(picture))


def size_of_plain_png(content: bytes) -> tuple[int, int] | None:
    """(height, width) of a whole PNG that holds pixels alone, as tables do by the thousand; None for any other.

    Pillow takes ten times as long to say it.
    """
    if not (content.startswith(PNG) and content.endswith(PNG_END) and content[12:16] == b"IHDR"):
        return None
    if content[33 + 4 : 33 + 8] != b"IDAT":  # right after the header: nothing says how it was turned
        return None
    after = 33 + 12 + int.from_bytes(content[33:37], "big")
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    is_plain = after == len(content) - len(PNG_END) and 0 < width * height <= MAX_PIXELS
    return (height, width) if is_plain else None


def is_8_bit_png(content: bytes, channels: int) -> bool:
    """Whether a plain PNG is grey (``channels`` 1) or RGB (3) of 8 bits: its pixels are the image as they are."""
    return content[24] == 8 and content[25] == {1: 0, 3: 2}.get(channels)


def upright_size(picture: Image.Image, where: str, turn: int) -> tuple[int, int]:
    """(height, width) after the rotation by EXIF, which is ``turn``; nothing is decoded.

    Raises:
        DataError: more than 50 million pixels.
    """
    width, height = picture.size
    if not _is_bounded(picture):
        raise DataError(f"{where}: at most {MAX_PIXELS:,} pixels expected, {width:,}×{height:,} found: make it smaller")

    # Pillow turns TIFF by itself, and says so from the start
    is_turned = picture.format != "TIFF" and turn in TURNED
    return (width, height) if is_turned else (height, width)


def _is_bounded(picture: Image.Image) -> bool:
    return picture.size[0] * picture.size[1] <= MAX_PIXELS


@contextmanager
def decoding(picture: Image.Image) -> Iterator[None]:
    """Hold one large picture in memory at a time, whichever thread decodes it; small ones don't wait."""
    with _large if picture.size[0] * picture.size[1] > LARGE else nullcontext():
        yield


def opaque_8_bit(
    picture: Image.Image, background: tuple[int, int, int] = WHITE, *, turn: int | None = None
) -> Image.Image:
    """Grey (``L``) or RGB, 8 bits a channel, upright by its EXIF data, transparent parts on the background's colour.

    Args:
        picture: of any mode.
        background: what transparent parts lie on.
        turn: its :func:`orientation`, where the caller has asked for it already.
    """
    turn = orientation(picture) if turn is None else turn
    if picture.format == "TIFF" or turn != 1:
        from PIL import ImageOps

        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise NoKnownRange
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        return _in_8_bits(picture)
    if picture.has_transparency_data:
        return _laid_on(background, picture)
    return picture if picture.mode in ("L", "RGB") else picture.convert("L" if picture.mode == "1" else "RGB")


def _in_8_bits(deep: Image.Image) -> Image.Image:
    """A grey picture of 16 bits in 8; strip by strip, as the steps between take eight times its memory."""
    from PIL import Image

    deep_HW = np.asarray(deep)
    grey_HW = np.empty(deep_HW.shape, np.uint8)
    rows = max(1, STRIP // deep.width)
    for top in range(0, deep.height, rows):
        grey_HW[top : top + rows] = (deep_HW[top : top + rows] / 257).round().clip(0, 255)
    return Image.fromarray(grey_HW)


def _laid_on(background: tuple[int, int, int], picture: Image.Image) -> Image.Image:
    """The picture as RGB on a colour; strip by strip, as the steps between take three times its memory."""
    from PIL import Image

    width, height = picture.size
    rows = max(1, STRIP // width)
    if rows >= height:
        return _strip_laid_on(background, picture)
    picture.load()  # before there is room for what is made of it: a damaged one fails here
    whole = Image.new("RGB", picture.size)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        strip.info = picture.info  # the transparent colour of a palette
        whole.paste(_strip_laid_on(background, strip), (0, top))
    return whole


def _strip_laid_on(background: tuple[int, int, int], picture: Image.Image) -> Image.Image:
    from PIL import Image

    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*background, 255)), rgba).convert("RGB")


GREY_SPREAD = 2
"""How much R, G and B of a grey picture may differ, of 255: in a grey photo saved as lossy WebP they do by 1."""


def is_coloured(picture: Image.Image) -> bool:
    """Whether any pixel of an ``L`` or RGB picture has R, G and B that differ by more than :data:`GREY_SPREAD`."""
    from PIL import ImageChops

    if picture.mode == "L":
        return False
    red, green, blue = picture.split()
    pixels = red.width * red.height
    spreads = (ImageChops.difference(red, other).histogram() for other in (green, blue))
    return any(sum(spread[: GREY_SPREAD + 1]) < pixels for spread in spreads)


def orientation(picture: Image.Image) -> int:
    """What EXIF data says of how the camera was held, 1 to 8; 1 is upright."""
    from PIL import Image

    # of a PNG, Pillow decodes all of it first, for the data may stand at its end, where it seldom does
    is_at_hand = picture.format == "PNG" and not _has_data_at_its_end(picture)
    if is_at_hand and picture.info.keys().isdisjoint(PNG_EXIF):
        return 1  # to make an empty table of EXIF data of each of 60,000 small pictures would take half a second
    try:
        exif = Image.Image.getexif(picture) if is_at_hand else picture.getexif()
        return int(exif.get(EXIF_ORIENTATION, 1))
    except (TypeError, ValueError):  # other things than a number are written there
        return 1


def _has_data_at_its_end(png: Image.Image) -> bool:
    """Whether chunks that may hold EXIF data come after the pixels; nothing is decoded."""
    file = getattr(png, "fp", None)
    if file is None:
        return False

    # Pillow goes on reading where it stopped
    place = file.tell()
    try:
        file.seek(len(PNG))
        is_after_pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if is_after_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            if kind == b"IEND" or not kind.isalpha():
                return False  # whatever follows is no part of the picture

            is_after_pixels |= kind == b"IDAT"
            file.seek(length + 4, io.SEEK_CUR)
        return False
    finally:
        file.seek(place)
