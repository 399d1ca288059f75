"""What lies in a folder of pictures, in natural order, but what systems leave behind."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fittingroom.data.picture_file import SUFFIXES
from fittingroom.errors import DataError
from fittingroom.files.folders import Place, place_of, places_above, refuse_deep

JUNK = ("__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information")
OF_A_RUN = {"recipe.toml", "environment.json"}
"""What lies in the folder of a run, whose pictures (its curve of losses) are no data, though runs lie beside them."""
CONTACT_SHEET = "-contact-sheet.png"  # how `data show` calls what it draws, where it is called


@dataclass(slots=True)
class Folder:
    """A folder with what lies in it, in natural order.

    Attributes:
        path: where it lies.
        pictures, others: the files in it whose names are those of pictures, and those whose aren't.
        folders: those in it, each with what lies in that.
        broken: links that lead nowhere, pipes and the like, with what is wrong.
    """

    path: Path
    pictures: list[Path] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in Unicode's NFC."""
        return unicodedata.normalize("NFC", self.path.name)

    @property
    def holding(self) -> list[Folder]:
        """The folders in it that hold pictures."""
        return [folder for folder in self.folders if folder.holds]

    @property
    def holds(self) -> bool:
        """Whether a picture lies in it, at any depth."""
        return bool(self.pictures) or any(folder.holds for folder in self.folders)

    def all(self) -> Iterator[Folder]:
        """This folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.all()


def scan_folder(path: Path) -> Folder:
    """All that lies below ``path``, but files and folders whose names begin with a dot, and :data:`JUNK`.

    Raises:
        DataError: names that aren't UTF-8, a link in a circle, folders nested too deeply.
    """
    return _scan(path, places_above(path), 0)


def _scan(path: Path, above: tuple[Place, ...], depth: int) -> Folder:
    found = Folder(path)
    refuse_deep(path, depth)
    if (place := place_of(path)) in above:
        raise DataError(f"{path}: a folder expected, a link in a circle found: remove it")
    above = (*above, place)

    # scandir knows what is a file without asking the disk for each of 60,000
    with os.scandir(path) as directory:
        entries = [entry for entry in directory if not is_junk(entry.name)]
    if {entry.name for entry in entries} >= OF_A_RUN:
        return found
    for entry in sorted(entries, key=lambda entry: natural(entry.name)):
        _refuse_undecodable(path, entry.name)
        is_folder, is_file = _kind(entry)
        suffix = Path(entry.name).suffix.lower()
        if is_folder:
            found.folders.append(_scan(path / entry.name, above, depth + 1))
        elif not is_file:
            found.broken[path / entry.name] = "a file expected, a broken link, device or pipe found"
        elif suffix in SUFFIXES:
            found.pictures.append(path / entry.name)
        else:
            found.others.append(path / entry.name)
    return found


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is what zip programs, cameras and servers leave behind, or is hidden."""
    return name.startswith(".") or name.lower() in JUNK or name.endswith(CONTACT_SHEET)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """(whether it is a folder, whether it is a file)."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself
        return False, False


def _refuse_undecodable(folder: Path, name: str) -> None:
    """Refuse a name that no report could print: those of a ZIP archive packed in GBK, say, and unpacked here."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("ascii", "backslashreplace")
        raise DataError(
            f"{folder}: names in UTF-8 expected, {shown} found: rename it; if it comes from a ZIP archive, "
            "unpack that with the encoding of its names (unzip -O GBK, say)"
        ) from None


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that counts: "img2" before "img10"."""
    words = re.split(r"(\d+)", name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
