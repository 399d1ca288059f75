"""What people give a model from Python – pictures, paths, lists of them, data sets – as images that it takes.

Nothing of this is imported where arrays of the right shape are given, as the command and the server do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.in_memory import as_array, is_picture, kind_of, see_item, take_images
from fittingroom.data.preprocessing import Preprocessing, resize_images
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, warn_caller
from fittingroom.predict.inputs import Notes, read_inputs
from fittingroom.predict.pictures_for import SeesPictures


def images_given(model: SeesPictures, given: Any) -> NDArray[np.uint8]:
    """Images for a model, uint8 (N, H, W) or, in colour, (N, H, W, 3).

    Args:
        model: that is to see them.
        given: a path, as the command's; a picture of Pillow's, or the bytes of one; an array or a tensor of images, or
            of one; a data set; or a list, a generator or a table's column of any of these but data sets.

    Raises:
        DataError: something that can't be read, or arrays of another size than the model's.
    """
    notes = Notes(model, warn_caller)
    if isinstance(given, Splits):
        raise DataError(f"images: one part of the data set expected, all of it found: give {' or '.join(given)} of it")
    if isinstance(given, Dataset):
        if given.images.shape[1:] != model.image_shape:
            notes.of_arrays(given.images)
        return resize_images(given.images, model.artifact.preprocessing)
    if columns := getattr(given, "column_names", None):  # a data set of Hugging Face's, a table of Arrow's
        names = ", ".join(map(str, columns))
        raise DataError(f"images: a column of them expected, a table of {names} found: give its column, data[NAME]")
    if isinstance(given, Iterator) or _is_column(given):
        given = list(given)
    if not isinstance(given, Sequence) or is_picture(given):
        return _of_kind(_kind(given), model, [given], notes)

    # together what is of one kind: files are decoded on several cores, arrays have one scale
    parts = [_of_kind(kind, model, list(some), notes) for kind, some in groupby(given, _kind)]
    return np.concatenate(parts) if parts else np.empty((0, *model.image_shape), np.uint8)


def _is_column(given: Any) -> bool:
    """Whether it is an array or a series of paths, pictures or arrays, not of numbers."""
    shape: Any = getattr(given, "shape", ())
    if len(shape) != 1 or shape[0] == 0:
        return False
    first = next(iter(given))
    return _kind(first) != "array" or getattr(first, "ndim", 0) > 1


def _kind(item: Any) -> str:
    if isinstance(item, str | Path):
        return "path"
    return "picture" if is_picture(item) else "array"


def _of_kind(kind: str, model: SeesPictures, items: list[Any], notes: Notes) -> NDArray[np.uint8]:
    """Images of paths alone, of pictures alone, or of arrays alone."""
    if kind == "path":

        def refuse(error: DataError) -> None:
            raise error

        blocks = read_inputs(map(str, items), model, on_error=refuse, on_note=warn_caller)
        return np.concatenate([block.images for block in blocks])
    if kind == "picture":
        return np.stack([_seen(model, item, number, notes) for number, item in enumerate(items)])

    # a list of arrays is one array, where they are of one shape: what their values mean is seen by all of them
    arrays = [as_array(item, "images") for item in items]
    if len(arrays) == 1:
        return _as_the_model_takes_them(model, arrays[0])
    if len({each.shape for each in arrays}) == 1:
        return _as_the_model_takes_them(model, np.stack(arrays))
    return np.concatenate([_as_the_model_takes_them(model, each) for each in arrays])


def _seen(model: SeesPictures, item: Any, number: int, notes: Notes) -> NDArray[np.uint8]:
    background = int(np.mean(model.background))
    where = f"picture {number:,}"
    seen = see_item(item, where, model.artifact.preprocessing, training_background=background, look=notes.minds_colour)
    notes.of_picture(seen)
    return seen.image


def _as_the_model_takes_them(model: SeesPictures, array: NDArray[Any]) -> NDArray[np.uint8]:
    """An array of one image or several; its size must be the model's, as nothing says how others were to be resized."""
    shape = model.image_shape
    is_one = array.shape in (shape, (model.artifact.channels, *shape[:2])) and array.ndim == (
        2 if len(shape) == 2 else 3
    )
    values = array[None] if is_one else array

    problem = (
        f"images: uint8 (N, {', '.join(map(str, shape))}) expected, as the model was trained on, {array.dtype} "
        f"{array.shape} found"
    )
    if values.ndim not in (3, 4) or array.dtype.kind not in "biuf":
        raise DataError(f"{problem} ({kind_of(array)})" if array.dtype == object else problem)

    # what it says of these values alone is put behind what the model wants of any
    try:
        images, notes = take_images(values, "images")
    except DataError as error:
        raise DataError(f"{problem}; {str(error).partition(': ')[2]}") from None

    if images.ndim == 3 and len(shape) == 3:  # grey, of which colour has three times the same
        images = resize_images(images, Preprocessing(channels=3))
    if images.shape[1:] != shape:
        raise DataError(f"{problem}; a Dataset of them, or their files, is made over")
    for note in notes:
        warn_caller(note)

    # digits of 0–16, say, for a model that learned from 0–255
    usual = float(np.mean(model.artifact.normalization.mean))
    if 0 < (brightest := int(images.max(initial=0))) < usual:
        warn_caller(
            f"images: the brightest of all pixels is {brightest}, and the mean of those in training was {usual:.0f}: "
            "if white is less than 255 here, bring them to 0–255"
        )
    return images
