"""One way for a picture: what a model's images are made like, and the one function that makes them.

A folder's or table's reader, ``evaluate``, ``predict`` and ``serve`` all go through :func:`read_picture` by the same
:class:`Preprocessing`, so that a model is shown what it was trained on. Pillow is imported only when a picture is read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fittingroom.data.fashion_photo import convert_photo
from fittingroom.data.picture_file import FORMATS as FORMATS
from fittingroom.data.picture_file import WHITE, decoding, is_coloured, opaque_8_bit, open_picture, upright_size
from fittingroom.data.picture_file import PictureFacts as PictureFacts
from fittingroom.data.picture_file import probe_picture as probe_picture
from fittingroom.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MAX_SIDE = 256
DEFAULT_SIDE = 64  # of pictures of several sizes, or of one above MAX_SIDE, where no size is asked for
RESIZES = ("pad", "crop", "stretch")
PHOTOS = ("none", "fashion-mnist")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """How a picture file becomes an array. A field that is None is still to be resolved from the data.

    Attributes:
        size: (height, width) of the array, 1 to 256 each.
        channels: 1 (grey) or 3 (RGB).
        resize: ``pad`` fits the picture in and fills the rest with its corners' colour, ``crop`` fills the array and
            cuts off what stands over on both sides, ``stretch`` heeds no proportions.
        background: RGB, 0–255: what transparent parts lie on.
        photo: ``fashion-mnist`` takes pictures of another size for product photos and makes of them what Fashion-MNIST
            is made of; ``none`` resizes them.

    Raises:
        DataError: a value that isn't one of these.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    resize: Literal["pad", "crop", "stretch"] = "pad"
    background: tuple[int, int, int] = WHITE
    photo: Literal["none", "fashion-mnist"] | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise DataError(f"preprocessing: {problem}")

    @property
    def is_resolved(self) -> bool:
        """Whether no field is None."""
        return None not in (self.size, self.channels, self.photo)

    def resolved_for(
        self, *, size: tuple[int, int], channels: int, photo: Literal["none", "fashion-mnist"] | None = "none"
    ) -> Preprocessing:
        """This with the given values where it has None."""
        return replace(self, size=self.size or size, channels=self.channels or channels, photo=self.photo or photo)

    def as_dict(self) -> dict[str, Any]:
        """As JSON writes it: lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: object, where: str) -> Preprocessing:
        """What :meth:`as_dict` gave.

        Args:
            raw: from a file that may have been changed by anyone.
            where: what an error message calls it.

        Raises:
            ArtifactError: keys that are missing or unknown, or values that are wrong.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(raw, Mapping) or set(raw) != set(names):
            found = ", ".join(map(str, raw)) if isinstance(raw, Mapping) else repr(raw)[:80]
            raise ArtifactError(f"{where}: an object with {', '.join(names)} expected, found {found}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
        try:
            return cls(**values)  # type: ignore[arg-type]  # which is what is checked
        except DataError as error:
            raise ArtifactError(f"{where}: {error}") from None


def read_picture(
    content: bytes,
    where: str,
    preprocessing: Preprocessing,
    *,
    formats: tuple[str, ...] = FORMATS,
    training_background: int = 0,
) -> NDArray[np.uint8]:
    """The bytes of a picture file as the array that a model knows: uint8 (H, W), or (H, W, 3) in colour.

    The picture is put upright by its EXIF data, 16 bits become 8, transparent parts lie on the background, of several
    frames the first is taken, and colour becomes grey, or grey RGB. One that has the size by then is left as it is.
    Any other goes through the conversion of product photos, or it is resized with Pillow's antialiased bilinear filter.

    Args:
        content: PNG, JPEG, WebP, BMP, GIF or TIFF, of any mode and depth up to 50 million pixels.
        where: what an error message calls it.
        preprocessing: what to make of it. A ``size`` or ``channels`` of None stands for the picture's own.
        formats: that are tried, by Pillow's names.
        training_background: what is around the things in the training images, 0 (black) to 255; only the conversion
            of product photos heeds it.

    Raises:
        DataError: no picture, a damaged one, or one too large.
    """
    with open_picture(content, where, formats=formats) as picture:
        size = upright_size(picture, where)
        target = preprocessing.size or size
        is_photo = preprocessing.photo == "fashion-mnist" and size != target
        if not is_photo:
            _draft(picture, size, target, preprocessing.resize)

        with decoding(picture):
            opaque = opaque_8_bit(picture, preprocessing.background)
            channels = preprocessing.channels or (3 if is_coloured(opaque) else 1)
            if is_photo:
                return _in_channels(_photo(opaque, target, training_background), channels)
            return np.asarray(_resized(opaque.convert("L" if channels == 1 else "RGB"), target, preprocessing.resize))


def resize_images(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Images uint8 (N, H, W) or (N, H, W, 3) with the size and channels of ``preprocessing``, by the same steps.

    A ``size`` or ``channels`` of None keeps the images' own; images that have both are returned as they are.
    """
    from PIL import Image

    size = preprocessing.size or images.shape[1:3]
    channels = preprocessing.channels or (1 if images.ndim == 3 else 3)
    shape = (*size, 3) if channels == 3 else tuple(size)
    if images.shape[1:] == shape:
        return images

    resized = np.empty((len(images), *shape), np.uint8)
    for row, image in enumerate(images):
        picture = Image.fromarray(np.ascontiguousarray(image)).convert("L" if channels == 1 else "RGB")
        resized[row] = _resized(picture, tuple(size), preprocessing.resize)
    return resized


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """An image uint8 (H, W) or (H, W, 3) as a PNG of 8 bits a channel."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def decode_grey(content: bytes, where: str) -> NDArray[np.uint8]:
    """A picture in grey, in its own size: for readers that go by no :class:`Preprocessing` yet."""
    image = read_picture(content, where, Preprocessing(channels=1))
    if max(image.shape) > MAX_SIDE:
        raise DataError(f"{where}: at most {MAX_SIDE} pixels a side expected, found {image.shape}")
    return image


# ── from any size to one ─────────────────────────────────────────────────────────────────────────────────────


def _resized(picture: Image.Image, target: tuple[int, int], resize: str) -> Image.Image:
    """An ``L`` or RGB picture of the size ``target`` (height, width); one that has it is left alone."""
    from PIL import Image

    height, width = target
    if picture.size == (width, height):
        return picture
    if resize == "stretch":
        return picture.resize((width, height), Image.Resampling.BILINEAR)
    if resize == "crop":
        return picture.resize((width, height), Image.Resampling.BILINEAR, box=_middle(picture.size, (width, height)))

    small = picture.resize(_fitted(picture.size, (width, height)), Image.Resampling.BILINEAR)
    canvas = Image.new(picture.mode, (width, height), _corner_colour(small))
    canvas.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return canvas


def _fitted(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The size, in proportion, that just fits into the target; half pixels are rounded up."""
    scale = min(there / here for here, there in zip(size, target, strict=True))
    width, height = (min(there, max(1, int(here * scale + 0.5))) for here, there in zip(size, target, strict=True))
    return width, height


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box (left, top, right, bottom) of whole pixels in the middle that has the target's proportions."""
    width = min(size[0], max(1, int(size[1] * target[0] / target[1] + 0.5)))
    height = min(size[1], max(1, int(size[0] * target[1] / target[0] + 0.5)))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _corner_colour(picture: Image.Image) -> tuple[int, ...]:
    """The median of the four corners, of each channel; the mean of the middle two, halves rounded up."""
    pixels = np.asarray(picture)
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(4, -1)
    return tuple(int(value + 0.5) for value in np.median(corners, axis=0))


def _draft(picture: Image.Image, size: tuple[int, int], target: tuple[int, int], resize: str) -> None:
    """Have a JPEG decoded at ½, ¼ or ⅛ of its size where twice the size that is needed remains; others ignore it."""
    shares = [there / here for here, there in zip(size, target, strict=True)]
    share = 2 * (min(shares) if resize == "pad" else max(shares))
    if share < 1:
        width, height = (max(1, round(side * share)) for side in picture.size)
        picture.draft(None, (width, height))


def _photo(opaque: Image.Image, target: tuple[int, int], training_background: int) -> NDArray[np.uint8]:
    bright_on_black_HW = convert_photo(np.asarray(opaque.convert("RGB")), target)
    return bright_on_black_HW if training_background < 128 else 255 - bright_on_black_HW


def _in_channels(grey_HW: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    return grey_HW if channels == 1 else np.repeat(grey_HW[..., None], 3, axis=2)


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────


def _problem(record: Preprocessing) -> str | None:
    """What is wrong with the values, whatever their types; None where nothing is."""
    if record.size is not None and not _whole_numbers(record.size, 2, 1, MAX_SIDE):
        return f"size (height, width) of 1 to {MAX_SIDE} pixels each expected, {record.size!r} found"
    if record.channels is not None and (type(record.channels) is not int or record.channels not in (1, 3)):
        return f"channels 1 (grey) or 3 (colour) expected, {record.channels!r} found"
    if record.resize not in RESIZES:
        return f"resize {', '.join(RESIZES)} expected, {record.resize!r} found"
    if not _whole_numbers(record.background, 3, 0, 255):
        return f"background of three values 0–255 expected, {record.background!r} found"
    if record.photo is not None and record.photo not in PHOTOS:
        return f"photo {', '.join(PHOTOS)} expected, {record.photo!r} found"
    return None


def _whole_numbers(values: object, count: int, low: int, high: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(value) is int and low <= value <= high for value in values)
    )
