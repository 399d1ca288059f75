"""A folder of pictures: ``train/<class>/*.png`` and ``test/…``, or one level of classes only."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fittingroom.data.dataset import Splits
from fittingroom.data.formats.splits import PARTS, Images, Labels, splits
from fittingroom.data.preprocessing import Preprocessing, decode_grey
from fittingroom.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
LARGEST_FILE = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class FolderPart:
    """One part of the set: its class names, and its files by class, in natural order."""

    folder: Path
    files: dict[str, list[Path]]


def find_images(path: Path) -> dict[str, FolderPart]:
    """The pictures below ``path`` by part and class; none for a folder without folders.

    Files and folders whose names begin with a dot, and files that are no pictures by their names, are skipped.

    Raises:
        DataError: pictures outside a class, or folders inside one.
    """
    folders = _folders(path)
    parts = {PARTS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in PARTS}
    if not parts:
        return {"train": _part(path, folders)} if folders else {}

    # a class called "test" can't be told from the test part
    others = [folder.name for folder in folders if folder not in parts.values()]
    if others:
        names = ", ".join(folder.name for folder in parts.values())
        raise DataError(f"{path}: either parts ({names}) or classes expected, {others[0]} found too: move it")
    return {part: _part(folder, _folders(folder)) for part, folder in parts.items()}


def image_files(path: Path) -> list[Path]:
    """Every file that :func:`read_image_folder` reads."""
    return [file for part in find_images(path).values() for files in part.files.values() for file in files]


def read_image_folder(
    path: Path, preprocessing: Preprocessing | None = None, skip_broken: bool = False
) -> Splits:
    """Read a folder of grey pictures of one size; the names of the folders are those of the classes.

    Class names are in natural order ("10" after "9"), taken from train; another part may lack some.

    Raises:
        DataError: names the file, for damaged, coloured or wrongly sized pictures.
    """
    parts = find_images(path)
    if not parts:
        raise DataError(f"{path}: folders named after classes, with pictures in them, expected, none found")
    first = parts.get("train") or next(iter(parts.values()))
    classes = list(first.files)
    return splits({part: _read(files, classes) for part, files in parts.items()}, path, classes)


def _folders(path: Path) -> list[Path]:
    """The folders in ``path`` in natural order; refuses pictures beside them."""
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    folders = sorted((entry for entry in entries if entry.is_dir()), key=_natural)
    stray = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
    if folders and stray:
        raise DataError(f"{min(stray)}: a picture inside a folder named after its class expected, it lies outside")
    return folders


def _part(path: Path, folders: Sequence[Path]) -> FolderPart:
    files = {folder.name: _pictures(folder) for folder in folders}
    if not any(files.values()):
        raise DataError(f"{path}: pictures ({' '.join(SUFFIXES)}) in folders named after classes expected, none found")
    return FolderPart(path, files)


def _pictures(folder: Path) -> list[Path]:
    # scandir knows what is a file without asking the disk for each of 60,000
    with os.scandir(folder) as directory:
        entries = [entry for entry in directory if not entry.name.startswith(".")]

    for entry in entries:
        is_folder, is_file = _kind(entry)
        if is_folder:
            raise DataError(
                f"{entry.path}: a class's folder holds pictures only, a folder found: give the folder "
                "whose folders are the classes, or train and test"
            )
        if not is_file:
            raise DataError(f"{entry.path}: a file expected, a broken link, device or pipe found")

    return sorted((folder / entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)), key=_natural)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """(whether it is a folder, whether it is a file)."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError as error:  # a link in a circle
        raise DataError(f"{entry.path}: can't be read: {error.strerror}") from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that counts: "img2" before "img10"."""
    words = re.split(r"(\d+)", path.name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def _read(part: FolderPart, classes: Sequence[str]) -> tuple[Images, Labels]:
    unknown = [name for name in part.files if name not in classes]
    if unknown:
        raise DataError(f"{part.folder / unknown[0]}: a class of train expected ({', '.join(classes)}), another found")

    # Pillow decodes outside Python's lock
    files = [file for of_class in part.files.values() for file in of_class]
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(_read_picture, files))

    for image, file in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            expected, found = ("{}×{}".format(*picture.shape) for picture in (images[0], image))
            raise DataError(f"{file}: {expected} pixels expected as in {files[0].name}, {found} found: resize it first")

    counts = [len(of_class) for of_class in part.files.values()]
    return np.stack(images), np.repeat([classes.index(name) for name in part.files], counts)


def _read_picture(file: Path) -> Images:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise DataError(f"{file}: a small picture of at most {LARGEST_FILE:,} bytes expected, more found")
    return decode_grey(content, str(file))
