"""One way for a picture: what a model's images are made like, and the one function that makes them.

A folder's or table's reader, ``evaluate``, ``predict`` and ``serve`` all go through :func:`read_picture` by the same
:class:`Preprocessing`, so that a model is shown what it was trained on. Pillow is imported only when a picture is read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fittingroom.data.large import allocate
from fittingroom.data.picture_file import FORMATS as FORMATS
from fittingroom.data.picture_file import (
    WHITE,
    decoding,
    is_8_bit_png,
    is_coloured,
    opaque_8_bit,
    open_picture,
    orientation,
    size_of_plain_png,
    upright_size,
)
from fittingroom.data.picture_file import PictureFacts as PictureFacts
from fittingroom.data.picture_file import probe_picture as probe_picture
from fittingroom.errors import ArtifactError, DataError
from fittingroom.files.records import brief

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MAX_SIDE = 256
DEFAULT_SIDE = 64  # of pictures of several sizes, or of one above MAX_SIDE, where no size is asked for
LONGEST = 16  # times the target that a filling picture is as long as, before it is cut
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

    Example:
        >>> from fittingroom.data import Preprocessing
        >>> asked = Preprocessing(size=(64, 64), resize="crop")
        >>> asked.is_resolved, asked.resolved_for(size=(28, 28), channels=3).is_resolved
        (False, True)
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
        """The record as JSON writes it: lists for tuples."""
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
            found = brief(list(raw) if isinstance(raw, Mapping) else raw)
            raise ArtifactError(f"{where}: an object with {', '.join(names)} expected, found {found}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
        try:
            return cls(**values)  # type: ignore[arg-type]  # which is what is checked
        except DataError as error:
            raise ArtifactError(f"{where}: {error}") from None


@dataclass(frozen=True, eq=False, slots=True)
class SeenPicture:
    """A picture as a model is to see it, and what of it had to go.

    Attributes:
        image: uint8 (H, W), or (H, W, 3) in colour.
        size: (height, width) of the picture itself, upright.
        lost_colour: whether it was coloured and was made grey.
    """

    image: NDArray[np.uint8]
    size: tuple[int, int]
    lost_colour: bool


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
        content: PNG, JPEG, WebP, BMP, GIF, TIFF or PPM, of any mode and depth up to 50 million pixels.
        where: what an error message calls it.
        preprocessing: what to make of it. A ``size`` or ``channels`` of None stands for the picture's own.
        formats: that are tried, by Pillow's names.
        training_background: what is around the things in the training images, 0 (black) to 255; only the conversion
            of product photos heeds it.

    Raises:
        DataError: no picture, a damaged one, or one too large.

    Example:
        >>> from pathlib import Path
        >>> from fittingroom.data import Preprocessing, read_picture
        >>> content = Path("shoe.jpg").read_bytes()
        >>> read_picture(content, "shoe.jpg", Preprocessing(size=(64, 48), channels=3)).shape
        (64, 48, 3)
    """
    return see_picture(
        content, where, preprocessing, formats=formats, training_background=training_background, look=False
    ).image


def see_picture(
    content: bytes,
    where: str,
    preprocessing: Preprocessing,
    *,
    formats: tuple[str, ...] = FORMATS,
    training_background: int = 0,
    look: bool = True,
) -> SeenPicture:
    """The same as :func:`read_picture`, which explains the parameters, with what the picture was before.

    Args:
        look: whether to look for colour that is lost; else ``lost_colour`` is False.
    """
    # of tables with thousands of small pictures, most have nothing about them that needs a closer look
    plain = size_of_plain_png(content)
    if plain is not None and plain == preprocessing.size and is_8_bit_png(content, preprocessing.channels or 0):
        with open_picture(content, where, formats=formats) as picture:
            return SeenPicture(np.asarray(picture), plain, lost_colour=False)

    with open_picture(content, where, formats=formats) as picture:
        return _seen(picture, where, preprocessing, training_background, look=look, may_draft=True)


def see_open_picture(
    picture: Image.Image, where: str, preprocessing: Preprocessing, *, training_background: int = 0, look: bool = True
) -> SeenPicture:
    """The same as :func:`see_picture` of a picture that somebody has opened with Pillow, which is left as it is.

    Raises:
        DataError: one that can't be decoded, or is too large.
    """
    try:
        return _seen(picture, where, preprocessing, training_background, look=look, may_draft=False)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow decodes late, and stumbles over damaged files in any way at all
        raise DataError(f"{where}: a picture expected, one that can't be decoded found: {error}") from error


def _seen(
    picture: Image.Image,
    where: str,
    preprocessing: Preprocessing,
    training_background: int,
    *,
    look: bool,
    may_draft: bool,
) -> SeenPicture:
    turn = orientation(picture)
    size = upright_size(picture, where, turn)
    target = preprocessing.size or size
    is_photo = preprocessing.photo == "fashion-mnist" and size != target
    if may_draft and not is_photo:
        _draft(picture, size, target, preprocessing.resize)

    with decoding(picture):
        opaque = opaque_8_bit(picture, preprocessing.background, turn=turn)
        channels = preprocessing.channels or (3 if is_coloured(opaque) else 1)
        lost_colour = look and channels == 1 and is_coloured(opaque)
        if is_photo:
            image = _in_channels(_photo(opaque, target, training_background), channels)
            return SeenPicture(image, size, lost_colour)

        # converting to the mode that it has would copy it
        mode = "L" if channels == 1 else "RGB"
        converted = opaque if opaque.mode == mode else opaque.convert(mode)
        return SeenPicture(np.asarray(_resized(converted, size, target, preprocessing.resize)), size, lost_colour)


def resize_images(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Images uint8 (N, H, W) or (N, H, W, 3) with the size and channels of ``preprocessing``, by the same steps.

    A ``size`` or ``channels`` of None keeps the images' own; images that have both are returned as they are.
    """
    from PIL import Image

    size: tuple[int, int] = preprocessing.size or images.shape[1:3]
    channels = preprocessing.channels or (1 if images.ndim == 3 else 3)
    shape = (*size, 3) if channels == 3 else size
    if images.shape[1:] == shape:
        return images

    resized = allocate((len(images), *shape), np.uint8)
    for row, image in enumerate(images):
        picture = Image.fromarray(np.ascontiguousarray(image)).convert("L" if channels == 1 else "RGB")
        resized[row] = _resized(picture, images.shape[1:3], size, preprocessing.resize)
    return resized


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """An image uint8 (H, W) or (H, W, 3) as a PNG of 8 bits a channel."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


# ── from any size to one ─────────────────────────────────────────────────────────────────────────────────────


def _resized(picture: Image.Image, size: tuple[int, int], target: tuple[int, int], resize: str) -> Image.Image:
    """An ``L`` or RGB picture made to have the size ``target``; one that has it is left alone.

    Args:
        picture: as it is, or a reduced version of it.
        size: (height, width) of the whole picture, whose proportions count.
        target: (height, width) that is wanted.
        resize: see :class:`Preprocessing`.
    """
    from PIL import Image

    if size == target:
        return picture
    if resize == "stretch":
        return _scaled(picture, target)
    if resize == "pad":
        small = _scaled(picture, _in_proportion(size, target, min))
        canvas = Image.new(picture.mode, (target[1], target[0]), _corner_colour(small))
        canvas.paste(small, ((target[1] - small.width) // 2, (target[0] - small.height) // 2))
        return canvas

    # a strip, which would fill the target a thousand times over, is cut before as well
    picture, size = _without_far_ends(picture, size, target)
    filled = _scaled(picture, _in_proportion(size, target, max))
    left, top = (filled.width - target[1]) // 2, (filled.height - target[0]) // 2
    return filled.crop((left, top, left + target[1], top + target[0]))


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _in_proportion(
    size: tuple[int, int], target: tuple[int, int], which: Callable[[Sequence[float]], float]
) -> tuple[int, int]:
    """The size, in proportion, that fits into the target (``min``) or fills it (``max``); halves are rounded up."""
    scale = which([there / here for here, there in zip(size, target, strict=True)])
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


def _without_far_ends(
    picture: Image.Image, size: tuple[int, int], target: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int]]:
    """The middle of a picture, and of its size, that is at most 16 times as long as what will be left of it."""
    height, width = (
        min(own, max(1, other * LONGEST * side // across))
        for own, other, side, across in zip(size, size[::-1], target, target[::-1], strict=True)
    )
    if (height, width) == size:
        return picture, size
    rows, columns = max(1, picture.height * height // size[0]), max(1, picture.width * width // size[1])
    left, top = (picture.width - columns) // 2, (picture.height - rows) // 2
    return picture.crop((left, top, left + columns, top + rows)), (height, width)


def _corner_colour(picture: Image.Image) -> tuple[int, ...]:
    """The median of the four corners, of each channel; the mean of the middle two, halves rounded up."""
    pixels = np.asarray(picture)
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(4, -1)
    return tuple(int(value + 0.5) for value in np.median(corners, axis=0))


def _draft(picture: Image.Image, size: tuple[int, int], target: tuple[int, int], resize: str) -> None:
    """Have a JPEG decoded at ½, ¼ or ⅛ of its size where four times the size that is needed remains."""
    shares = [there / here for here, there in zip(size, target, strict=True)]
    share = 4 * (min(shares) if resize == "pad" else max(shares))
    if share < 1:
        width, height = (max(1, round(side * share)) for side in picture.size)
        picture.draft(None, (width, height))  # of other formats it does nothing


def _photo(opaque: Image.Image, target: tuple[int, int], training_background: int) -> NDArray[np.uint8]:
    from fittingroom.data.fashion_photo import convert_photo

    bright_on_black_HW = convert_photo(np.asarray(opaque.convert("RGB")), target)
    return bright_on_black_HW if training_background < 128 else 255 - bright_on_black_HW


def _in_channels(grey_HW: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    return grey_HW if channels == 1 else np.repeat(grey_HW[..., None], 3, axis=2)


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────


def _problem(record: Preprocessing) -> str | None:
    """What is wrong with the values, whatever their types; None where nothing is."""
    if record.size is not None and not _whole_numbers(record.size, 2, 1, MAX_SIDE):
        return f"size (height, width) of 1 to {MAX_SIDE} pixels each expected, {brief(record.size)} found"
    if record.channels is not None and (type(record.channels) is not int or record.channels not in (1, 3)):
        return f"channels 1 (grey) or 3 (colour) expected, {brief(record.channels)} found"
    if record.resize not in RESIZES:
        return f"resize {', '.join(RESIZES)} expected, {brief(record.resize)} found"
    if not _whole_numbers(record.background, 3, 0, 255):
        return f"background of three values 0–255 expected, {brief(record.background)} found"
    if record.photo is not None and record.photo not in PHOTOS:
        return f"photo {', '.join(PHOTOS)} expected, {brief(record.photo)} found"
    return None


def _whole_numbers(values: object, count: int, low: int, high: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(value) is int and low <= value <= high for value in values)
    )
