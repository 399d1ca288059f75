"""Images and labels as people have them in Python → uint8 images, int64 labels and class names.

Arrays of any layout, tensors, and lists of pictures. Neither PyTorch nor Pillow is imported for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.checks import checked_classes
from fittingroom.data.formats.arrays import as_images, as_labels
from fittingroom.data.formats.columns import numbered
from fittingroom.data.picture_file import read_picture_file
from fittingroom.data.preprocessing import (
    DEFAULT_SIDE,
    MAX_SIDE,
    Preprocessing,
    SeenPicture,
    resize_images,
    see_open_picture,
    see_picture,
)
from fittingroom.errors import DataError

WHITE = 255
NOTHING = object()  # None may be what somebody has for an image
LAYOUTS = {1: "(N, 1, H, W)", 3: "(N, 3, H, W)"}


@dataclass(frozen=True, eq=False)
class Taken:
    """What was made of something that somebody had in memory.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        labels: int64 (N,); None without labels.
        classes: the names; () without labels.
        groups: the group of each image; None where nothing is known of groups.
        notes: what whoever gave it should know, a sentence each.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    groups: tuple[str | None, ...] | None = None
    notes: tuple[str, ...] = ()


def take_arrays(
    images: Any,
    labels: Any = None,
    classes: Sequence[str] | None = None,
    *,
    where: str,
    scale: float | None = None,
    preprocessing: Preprocessing | None = None,
) -> Taken:
    """Images and labels that are given apart from each other; see :meth:`fittingroom.Dataset.from_arrays`."""
    made, notes = take_images(images, where, scale=scale, preprocessing=preprocessing)
    if labels is None:
        return Taken(made, None, (), notes=notes)
    numbers, names = take_labels(labels, classes, where)
    return Taken(made, numbers, names, notes=notes)


def take_images(
    values: Any,
    where: str,
    *,
    scale: float | None = None,
    preprocessing: Preprocessing | None = None,
    tells_values: bool = True,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Images as people have them → uint8 (N, H, W) or (N, H, W, 3), and what is worth knowing of how.

    Args:
        values: an array or a tensor, or a list or another series of arrays, pictures of Pillow's, paths or bytes.
        where: what a message calls them.
        scale: the value that is white. None: 255 for whole numbers, 1 for floats of 0–1; others are refused.
        preprocessing: what to make of pictures; what it leaves open, they decide as those of a folder do.
        tells_values: whether it is worth knowing which value was taken for white.

    Raises:
        DataError: what can't be images.
    """
    asked = preprocessing or Preprocessing()
    if is_picture(values) or not (hasattr(values, "__iter__") or hasattr(values, "__getitem__")):
        raise DataError(f"{where}: an array or a list of images expected, {kind_of(values)} found")

    # what is an array or becomes one is seen as a whole, anything else image by image
    if not hasattr(values, "ndim") and not hasattr(values, "__array__"):
        return _gathered(iter(values), where, scale, asked, tells_values=tells_values)
    array = as_array(values, where)
    if array.dtype == object:  # a column of pictures
        return _gathered(iter(array.tolist()), where, scale, asked, tells_values=tells_values)
    return _from_array(array, where, scale, asked, tells_values=tells_values)


def take_labels(values: Any, classes: Sequence[str] | None, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels that are numbers or names → int64 (N,), and the names of the classes.

    Args:
        values: a list, an array, a tensor or a column.
        classes: names in the order of the numbers. None: the names that occur, as people count; of numbers those from 0
            to the largest.
        where: what a message calls them.

    Raises:
        DataError: what can't be labels, or a name that ``classes`` lacks.
    """
    names = None if classes is None or len(classes) == 0 else checked_classes(classes, where)
    if isinstance(values, Iterator):
        values = list(values)
    array = as_array([_scalar(value) for value in values] if isinstance(values, list | tuple) else values, where)
    if array.ndim == 2 and array.shape[1] > 1:
        as_labels(array, where)  # which says what is expected
    flat = array.reshape(-1) if array.ndim == 2 else array
    if flat.dtype == object and not any(isinstance(value, str) for value in flat.tolist()):
        if any(map(is_missing, flat.tolist())):
            row = next(row for row, value in enumerate(flat.tolist()) if is_missing(value))
            raise DataError(f"{where}: a label of each image expected, none found at image {row:,}")
        flat = np.array(flat.tolist())
    if flat.dtype.kind == "S":  # h5py and SciPy give text so
        try:
            flat = np.char.decode(flat, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: labels in UTF-8 expected, other bytes found") from error
    if flat.dtype.kind not in "UO":
        numbers = as_labels(flat, where)
        return numbers, names or tuple(map(str, range(max(2, int(numbers.max(initial=0)) + 1))))

    texts = np.array(["" if is_missing(value) else str(value) for value in flat.tolist()], np.str_)
    if names is not None and (unknown := sorted(set(texts.tolist()) - set(names))):
        raise DataError(f"{where}: labels among the classes, {', '.join(names[:20])}, expected, {unknown[0]!r} found")
    labels, found_names = numbered({"train": texts}, where, names)
    found = labels["train"]
    assert found is not None
    return found, found_names


def as_array(values: Any, where: str) -> NDArray[Any]:
    """An array of what is one already or can become one; a tensor is taken from wherever it lies.

    Raises:
        DataError: nested lists of different lengths, masked values, a tensor without any in memory; ``where`` is what
            the message calls them.
    """
    if isinstance(values, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(values).sum())):
        raise DataError(
            f"{where}: an array without a mask expected, as what it hides is unknown, {masked:,} masked values found: "
            "leave their images out, or fill them in"
        )
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            if str(values.dtype) == "torch.bfloat16":  # which NumPy has no type for
                values = values.float()
        return np.asarray(values)
    except (NotImplementedError, TypeError) as error:  # of a tensor that is sparse, or has a shape alone
        if not hasattr(values, "detach"):
            raise
        said = str(error).partition("\n")[0]
        raise DataError(f"{where}: a tensor that NumPy can take expected, another found ({said})") from None
    except ValueError as error:
        raise DataError(f"{where}: rows of one length expected, others found ({error})") from None


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────


def _from_array(
    array: NDArray[Any],
    where: str,
    scale: float | None,
    asked: Preprocessing,
    *,
    tells_values: bool,
    tells_layout: bool = True,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    notes = []
    levels = _to_levels(array, where, scale)
    if tells_values and levels is not array:
        white = {"b": "True", "f": f"{scale or (1 if levels.dtype == np.uint8 else WHITE):g}"}.get(array.dtype.kind, "")
        notes.append(f"{array.dtype} from {array.min():g} to {array.max():g} taken as pixels of which {white} is white")
    images = as_images(levels, where)
    is_other = array.ndim == 4 and (array.shape[3] == 1 or (array.shape[1] in LAYOUTS and array.shape[3] != 3))
    if tells_layout and is_other:
        layout = "(N, H, W, 1)" if array.shape[3] == 1 else LAYOUTS[array.shape[1]]
        kind = "grey" if images.ndim == 3 else "colour"
        size = f"{images.shape[1]}×{images.shape[2]}"
        notes.append(f"{array.shape} taken as {len(images):,} {kind} images {size}, {layout}")
    return resize_images(images, asked), tuple(f"{where}: {note}" for note in notes)


def _to_levels(array: NDArray[Any], where: str, scale: float | None) -> NDArray[Any]:
    """Pixels of 0 to ``scale`` as uint8, rounded; whole numbers of 0–255 without a scale as they are."""
    if array.dtype == bool:
        return array.astype(np.uint8) * WHITE
    if array.size == 0 or (scale is None and array.dtype.kind in "iu"):
        return array
    if array.dtype.kind not in "iuf":
        return array  # as_images says what is expected
    if scale is not None and not scale > 0:
        raise DataError(f"{where}: scale above 0 expected, as the value that is white, {scale:g} found")

    # Nothing but the values tells what is white: 1 or 255 where all of them fit, and else nobody knows.
    low, high = float(array.min()), float(array.max())
    if math.isnan(low):
        is_missing = np.isnan(array)
        first = int(np.argmax(is_missing.reshape(len(array), -1).any(axis=1)))
        raise DataError(
            f"{where}: a number for each pixel expected, {is_missing.sum():,} NaN found, first in image {first:,}: "
            "leave such images out, or fill in what is missing"
        )
    if scale is None:
        if low >= 0 and high <= 1:
            scale = 1.0
        elif low >= 0 and high <= WHITE and bool((array == np.floor(array)).all()):
            return array
        else:
            hint = "undo their normalization" if low < 0 else "give scale=, the value that is white"
            raise DataError(
                f"{where}: uint8 0–255, whole numbers of 0–255 or floats of 0–1 expected, {array.dtype} from {low:g} "
                f"to {high:g} found: {hint}"
            )

    # whoever divides by 255 in float32 may come out a little above 1
    if not (math.isfinite(low) and low >= 0 and high <= scale * (1 + 1e-6)):
        raise DataError(f"{where}: pixels from 0 to {scale:g}, as scale says, expected, {low:g} to {high:g} found")
    levels: NDArray[np.uint8] = np.rint(np.clip(array, 0, scale) * (WHITE / scale)).astype(np.uint8)
    return levels


@dataclass(slots=True)
class _Gathering:
    """Pictures one by one, as a folder's come out: of one size as they are, of several 64×64; in colour if any is.

    Once there is a second size, or a large one, no picture is kept larger than what will become of it.
    """

    asked: Preprocessing
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    has_several: bool = False

    def add(self, image: NDArray[np.uint8], size: tuple[int, int]) -> None:
        """Take a picture that has had the size that is asked for made of it, if one is."""
        self.size = self.size or size
        if self.asked.size is None and (size != self.size or max(size) > MAX_SIDE):
            self.has_several = True
            small = replace(self.asked, size=(DEFAULT_SIDE, DEFAULT_SIDE))
            self.images = [resize_images(each[None], replace(small, channels=None))[0] for each in self.images]
            self.asked = small
        if self.asked.size is not None:
            image = resize_images(image[None], replace(self.asked, channels=None))[0]
        self.images.append(image)

    def whole(self) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """All of them in one array; there is one or more."""
        channels = self.asked.channels or (3 if any(image.ndim == 3 for image in self.images) else 1)
        wanted = Preprocessing(channels=channels)
        images = np.stack([resize_images(image[None], wanted)[0] for image in self.images])
        side = DEFAULT_SIDE
        note = f"pictures of several sizes, or larger ones, made {side}×{side}; preprocessing= sets another size"
        return images, ((note,) if self.has_several else ())


def _gathered(
    items: Iterator[Any], where: str, scale: float | None, asked: Preprocessing, *, tells_values: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    first = next(items, NOTHING)
    if first is NOTHING:
        raise DataError(f"{where}: at least one image expected, none found")
    items = chain([first], items)

    # Arrays of one shape are one array: what their values mean is seen by all of them.
    if not is_picture(first):
        arrays = [_image_array(item, f"{where}: image {row:,}") for row, item in enumerate(items)]
        if len({array.shape for array in arrays}) == 1:
            array = np.stack(arrays)
            if array.ndim in (3, 4):
                return _from_array(array, where, scale, asked, tells_values=tells_values, tells_layout=False)
            raise DataError(f"{where}: images (H, W), (H, W, 3) or (3, H, W) expected, {arrays[0].shape} found")
        items = iter(arrays)

    gathering = _Gathering(asked)
    for row, item in enumerate(items):
        place = f"{where}: image {row:,}"
        if is_picture(item):
            seen = see_item(item, place, asked)
            gathering.add(seen.image, seen.size if asked.size is None else seen.image.shape[:2])
        else:
            array = _image_array(item, place)[None]
            image = _from_array(array, place, scale, Preprocessing(), tells_values=False)[0][0]
            gathering.add(image, (image.shape[0], image.shape[1]))
    return gathering.whole()


def _image_array(item: Any, where: str) -> NDArray[Any]:
    if item is None:
        raise DataError(f"{where}: an image expected, None found")
    return as_array(item, where)


def see_item(
    item: Any, where: str, preprocessing: Preprocessing, *, training_background: int = 0, look: bool = False
) -> SeenPicture:
    """A picture that is given by its path, its bytes, as Pillow's image or as Hugging Face keeps it.

    Raises:
        DataError: it can't be read.
    """
    if isinstance(item, Mapping):  # of the library's undecoded images, and of their files in Parquet
        found = item.get("bytes") or item.get("path")
        if found is None:
            raise DataError(
                f"{where}: a picture expected, a row of {', '.join(map(str, item))} found: give its picture"
            )
        item = found
    if isinstance(item, str | Path):
        where = str(item)
        item = read_picture_file(Path(item))
    if isinstance(item, bytes | bytearray | memoryview):
        return see_picture(bytes(item), where, preprocessing, training_background=training_background, look=look)
    if not is_pillow(item):
        raise DataError(f"{where}: a picture expected, {kind_of(item)} found")
    return see_open_picture(item, where, preprocessing, training_background=training_background, look=look)


def is_pillow(item: Any) -> bool:
    """Whether it is an image of Pillow's."""
    return any(each.__module__ == "PIL.Image" for each in type(item).__mro__)


def is_picture(item: Any) -> bool:
    """Whether it is something that :func:`see_item` takes, and no array."""
    return isinstance(item, str | Path | bytes | bytearray | memoryview | Mapping) or is_pillow(item)


def _scalar(value: Any) -> Any:
    """A number out of an array or a tensor of none or one dimension."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def is_missing(value: Any) -> bool:
    """Whether a cell of a table is empty: None, NaN, or what pandas has for them."""
    is_pandas = type(value).__name__ in ("NAType", "NaTType")  # which is not imported for it
    return value is None or is_pandas or (isinstance(value, float) and math.isnan(value))


def kind_of(value: Any) -> str:
    """The type of something that was not expected, for a message."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
