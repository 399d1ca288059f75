"""A folder of pictures: ``train/<class>/*.png`` and ``test/…``, or one level of classes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fittingroom.data.dataset import MAX_CLASSES
from fittingroom.data.formats.folder_layout import FolderPart, Layout, find_layout
from fittingroom.data.formats.many_pictures import (
    SHOWN,
    SIZE_HINT,
    Decoding,
    decode,
    greyed_note,
    other_sizes,
    refuse_broken,
    resolve,
)
from fittingroom.data.formats.splits import Images, Labels, splits
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError


@dataclass(frozen=True, slots=True)
class _Read:
    """A part as it was read, and what of it could not be."""

    images: Images
    labels: Labels | None
    files: list[str]
    sources: list[bytes]
    broken: dict[Path, str]
    greyed: list[Path]


def image_files(path: Path) -> list[Path]:
    """Every file that :func:`read_image_folder` reads."""
    return [file for part in find_layout(path).parts.values() for files in part.files.values() for file in files]


def read_image_folder(
    path: Path,
    preprocessing: Preprocessing | None = None,
    skip_broken: bool = False,
    decoding: Decoding = lambda _what, _done, _all: None,
) -> Splits:
    """Read a folder of pictures of any sizes; the names of the folders are those of the classes.

    Class names are in natural order ("10" after "9"), taken from train; another part may lack some.

    Args:
        path: of the folder whose folders are the classes, or the parts (``train``, ``val``, ``test`` and the like).
        preprocessing: what to make of each picture; what it leaves open is decided by the pictures of train.
        skip_broken: leave out pictures that can't be read, and say so in the notes.
        decoding: is told how many pictures of a part are decoded.

    Raises:
        DataError: names every picture that can't be read; folders that are no parts and no classes.
    """
    layout = find_layout(path)
    if not layout.parts:
        raise DataError(f"{path}: folders named after classes, with pictures in them, expected, none found")
    first = "train" if "train" in layout.parts else next(iter(layout.parts))
    classes = list(layout.parts[first].files)
    if len(classes) == 1 and layout.parts[first].is_labelled:
        raise DataError(
            f"{path}: folders of two classes or more expected, pictures found in {classes[0]} alone: if it holds one "
            f"class, give pictures of others too; else {layout.advice}"
        )
    if len(classes) > MAX_CLASSES:  # before very many pictures are decoded
        raise DataError(f"{path}: 2 to {MAX_CLASSES:,} classes expected, {len(classes):,} folders with pictures found")
    asked = preprocessing or Preprocessing()
    record, notes = resolve(_files(layout.parts[first]), asked)
    assert record.size is not None

    # where train's own pictures are resized, those of other parts are in any case
    if asked.size is None and not any(SIZE_HINT in note for note in notes):
        for name, part in layout.parts.items():
            others = 0 if name == first else other_sizes(_files(part), record.size)
            if others:
                size = "{}×{}".format(*record.size)
                notes.append(f"{name}: {others:,} pictures of other sizes than train's become {size} ({record.resize})")

    read = {name: _read(part, classes, record, path, decoding) for name, part in layout.parts.items()}
    broken = layout.broken | {file: why for part in read.values() for file, why in part.broken.items()}
    notes = [*layout.notes, *notes, *_handle_broken(broken, layout, path, skip=skip_broken)]
    greyed = [file.relative_to(path).as_posix() for part in read.values() for file in part.greyed]
    notes += greyed_note(greyed, sum(len(part.files) for part in read.values()), asked)
    return splits(
        {name: (part.images, part.labels) for name, part in read.items()},
        path,
        classes,
        known={name: {"files": part.files, "sources": part.sources} for name, part in read.items()},
        preprocessing=record,
        notes=notes,
        left_out=[file.relative_to(path).as_posix() for file in broken],
    )


def _files(part: FolderPart) -> list[Path]:
    return [file for of_class in part.files.values() for file in of_class]


def _read(part: FolderPart, classes: Sequence[str], record: Preprocessing, path: Path, decoding: Decoding) -> _Read:
    number_of = {name: number for number, name in enumerate(classes)}
    unknown = [name for name in part.files if name not in number_of] if part.is_labelled else []
    if unknown:
        shown = ", ".join(classes[:20]) + (" …" if len(classes) > 20 else "")
        raise DataError(
            f"{part.folder / unknown[0]}: a class of train expected ({shown}), another found: rename it, or move it "
            "away; pictures of a test part that have no labels lie in its folder itself"
        )

    files = _files(part)
    decoded = decode(files, record, partial(decoding, f"decoding {part.folder.name}"))
    counts = [len(of_class) for of_class in part.files.values()]
    numbers = np.repeat([number_of[name] if part.is_labelled else -1 for name in part.files], counts)
    labels = numbers[decoded.is_good] if part.is_labelled else None
    names = [file.relative_to(path).as_posix() for file, good in zip(files, decoded.is_good, strict=True) if good]
    return _Read(decoded.images, labels, names, decoded.sources, decoded.broken, decoded.greyed)


def _handle_broken(broken: dict[Path, str], layout: Layout, path: Path, *, skip: bool) -> list[str]:
    """Refuse pictures that can't be read, all in one error, or say which are left out."""
    messages = [why if why.startswith(str(file)) else f"{file}: {why}" for file, why in broken.items()]
    if not skip:
        refuse_broken(messages, sum(len(_files(part)) for part in layout.parts.values()), path)
    if not messages:
        return []
    names = ", ".join(file.relative_to(path).as_posix() for file in list(broken)[:SHOWN])
    more = f" and {len(broken) - SHOWN:,} more" if len(broken) > SHOWN else ""
    return [f"left out, as they can't be read: {names}{more}"]
