"""Which pictures in a folder belong to which part and class, decided by the names of folders alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from fittingroom.data.formats.columns import ORDER
from fittingroom.data.formats.folder_scan import Folder, natural, scan_folder
from fittingroom.data.formats.splits import PARTS, part_of
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.errors import DataError

CONVERT_HEIC = (
    "HEIC is not read: convert such pictures to JPEG, for instance by heif-convert of Debian's libheif-examples"
)
LEFT_OUT = "left out, as their names are not those of pictures"  # begins the note that counts them
HEIC = (".heic", ".heif")
NOT_READ = (".avif", ".jp2", ".j2k", ".tga", ".ico", ".pfm", ".svg", ".psd", ".dcm")

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl")  # that may say what the pictures beside them are
OTHER_TABLES = (".xlsx", ".ods")  # that may too, and aren't read

_OF_PICTURES = re.compile(r"images?|imgs?|pictures?|photos?|data", re.IGNORECASE)  # a folder between part and classes
_PIECE = re.compile(r"(.*[\W_])?(fold|part|split|batch|shard|chunk)[\W_]?\d+", re.IGNORECASE)  # of a set, for its size
_PART = re.compile(rf"({'|'.join(PARTS)})([ _-]?(set|data|images|pictures))?")


class NoPictures(DataError):
    """A folder that holds no pictures in folders, at any depth.

    Attributes:
        suffixes: of the files that it holds.
    """

    def __init__(self, message: str, suffixes: Sequence[str]) -> None:
        super().__init__(message)
        self.suffixes = suffixes


@dataclass(frozen=True, slots=True)
class FolderPart:
    """One part of the set: its class names in Unicode's NFC, and its files by class, all in natural order.

    Of a part without labels, whose pictures lie in its folder itself, the one name is "".
    """

    folder: Path
    files: dict[str, list[Path]]

    @property
    def is_labelled(self) -> bool:
        """Whether its pictures lie in folders of classes."""
        return "" not in self.files


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies in a folder of pictures.

    Attributes:
        parts: by ``train``, ``validation``, ``test``; empty where there are no pictures in folders.
        broken: links that lead nowhere, pipes and the like, with what is wrong.
        notes: what was left out or understood in a way that may surprise, a sentence each.
        advice: how to say which class each picture is of, where the folders don't.
        left_out: files in the folders of classes whose names are not those of pictures.
    """

    parts: dict[str, FolderPart]
    broken: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    advice: str = ""
    left_out: list[Path] = field(default_factory=list)


def find_layout(path: Path) -> Layout:
    """The pictures below ``path`` by part and class; no parts for a folder without pictures in folders.

    What :func:`~fittingroom.data.formats.folder_scan.scan_folder` passes over is no part of it.

    Raises:
        DataError: names that aren't UTF-8, pictures outside a class, folders without any, folders that can't be told to
            be parts or classes.
    """
    root = scan_folder(path)
    if not root.folders:
        return Layout({})
    parts, notes = _parts(root)
    if root not in parts.values():
        notes += [
            f"no pictures lie in {folder.name}: it is left out"
            for folder in root.folders
            if part_of_folder(folder.name) and not folder.holds
        ]

    # a class may be empty in one part, as long as another has pictures of it
    classes = {folder.name for part in parts.values() for folder in part.holding}
    result = Layout(
        {name: _part(part, classes) for name, part in parts.items()}, notes=notes, advice=_how_to_sort(root)
    )
    for part in parts.values():
        result.broken.update(chain.from_iterable(folder.broken.items() for folder in part.all()))
    below = [folder for part in parts.values() for inner in part.folders for folder in inner.all()]
    result.left_out.extend(chain.from_iterable(folder.others for folder in below))
    result.notes.extend(_left_out(parts, classes))
    if tables := _tables(root):
        result.notes.append(
            f"not read, as the folders are the classes: {', '.join(table.name for table in tables[:5])}"
        )
    result.notes.extend(_merged(parts))
    result.notes.extend(_written_in_two_ways(parts))
    return result


def has_class_folders(path: Path) -> bool:
    """Whether pictures lie in at least two folders of classes, in a part or without parts."""
    folders = scan_folder(path).holding
    return sum(1 for folder in folders if part_of_folder(folder.name) is None) > 1 or any(
        len(folder.holding) > 1 for folder in folders
    )


def part_of_folder(name: str) -> str | None:
    """The part that a folder's whole name names: ``Training``, ``val``, ``test_set``.

    Example:
        >>> part_of_folder("test_set"), part_of_folder("test tubes")
        ('test', None)
    """
    match = _PART.fullmatch(name.lower())
    return PARTS[match[1]] if match else None


# ── what it means ────────────────────────────────────────────────────────────────────────────────────────────


def _parts(root: Folder) -> tuple[dict[str, Folder], list[str]]:
    """The folders of the parts, whose own folders are the classes; the root itself where there are no parts."""
    folders = root.holding
    if not folders:
        raise NoPictures(
            f"{root.path}: pictures ({' '.join(SUFFIXES)}) in folders named after classes expected, none found"
            f"{_instead(root.folders)}",
            sorted(_suffixes(root.folders)),
        )
    _refuse_stray(root)

    called_so = [folder for folder in folders if part_of_folder(folder.name)] or _with_words_of_parts(root)
    others = [folder for folder in folders if folder not in called_so]
    if called_so and others and not any(folder.holding for folder in called_so):
        if all(map(_is_numbered_part, others)):  # train and test1: pictures that nobody has sorted
            raise _unsorted(called_so[0])
        names = " and ".join(folder.name for folder in called_so)
        return {"train": root}, [f"{names} taken for a class, for pictures lie in it and no folders of classes"]

    if not called_so:
        _refuse_too_high(root)
        _refuse_pieces(root)
        _refuse_parts_in_classes(root)
        return {"train": root}, []
    if others:
        names = ", ".join(folder.name for folder in called_so)
        raise DataError(
            f"{root.path}: either parts ({names}) or classes expected, {others[0].name} found too: move it"
            f"{_each_by_itself(called_so)}"
        )
    return _by_part(root, called_so), []


def _is_numbered_part(folder: Folder) -> bool:
    return not folder.holding and part_of_folder(re.sub(r"[ _-]?\d+$", "", folder.name)) is not None


def _with_words_of_parts(root: Folder) -> list[Folder]:
    """The folders whose names have a part's among their words, as ``seg_train`` and ``seg_test`` do.

    Empty where they may be classes: the one of train holds folders and no pictures, and another part is beside it.
    """
    called_so = {folder.path: part for folder in root.holding if (part := part_of(folder.name)) is not None}
    found = [folder for folder in root.holding if folder.path in called_so]
    of_train = [folder for folder in found if called_so[folder.path] == "train"]
    are_parts = len(set(called_so.values())) > 1 and any(inner.holding and not inner.pictures for inner in of_train)
    return found if are_parts else []


def _innermost(folder: Folder) -> Folder:
    """The folder of a part in which its classes lie: some archives hold train/train/<class>."""
    part = _part_named(folder.name)
    while not folder.pictures and len(folder.holding) == 1 and _part_named(folder.holding[0].name) == part:
        folder = folder.holding[0]
    return folder


def _below_pictures(folder: Folder, classes: set[str]) -> Folder:
    """The folder of a part, or that one in it which is called images or the like, where it is no class."""
    while not folder.pictures and len(folder.holding) == 1 and folder.holding[0].name not in classes:
        if not _OF_PICTURES.fullmatch(folder.holding[0].name):
            break
        folder = folder.holding[0]
    return folder


def _each_by_itself(folders: Sequence[Folder]) -> str:
    """How to give a train and a test part in spite of what lies beside them; "" where there aren't both."""
    inner = {_part_named(folder.name): _innermost(folder) for folder in folders}
    if "train" not in inner or "test" not in inner or not inner["test"].holding:
        return ""
    return f", or give {inner['train'].path}, and with `test` {inner['test'].path}"


def _part_named(name: str) -> str | None:
    return part_of_folder(name) or part_of(name)


def _by_part(root: Folder, folders: Sequence[Folder]) -> dict[str, Folder]:
    parts: dict[str, Folder] = {}
    for folder in folders:
        part = _part_named(folder.name)
        assert part is not None
        if part in parts:
            raise DataError(
                f"{root.path}: one folder of the {part} part expected, {parts[part].name} and {folder.name} found: "
                "move one of them"
            )

        parts[part] = _innermost(folder)

    # German traffic signs lie in Final_Training/Images/<class>
    classes = {inner.name for folder in parts.values() if len(folder.holding) > 1 for inner in folder.holding}
    parts = {part: _below_pictures(folder, classes) for part, folder in parts.items()}
    for folder in parts.values():
        _refuse_stray(folder)

    # a test set to be answered, as competitions give it, lies in no classes; what is learned or chosen from has to
    for part in filter(parts.__contains__, ORDER):
        folder = parts[part]
        if not folder.holding and (part != "test" or not any(other.holding for other in parts.values())):
            raise _unsorted(folder)
    return parts


def _unsorted(folder: Folder) -> DataError:
    return DataError(
        f"{folder.path}: pictures in folders named after classes expected, they lie outside of any: "
        f"{_how_to_sort(folder)}"
    )


def _how_to_sort(folder: Folder) -> str:
    """How to say which class the pictures in a folder are of, by what lies beside them."""
    if tables := _tables(folder):
        return f"if {tables[0].name} beside them says what they are, give that table, and with `test` the one of test"
    if tables := _tables(folder, OTHER_TABLES):
        return f"if {tables[0].name} beside them says what they are, save it as CSV (file,label), and give that"
    return "lay those of each class into a folder called so, or write a table of files and labels (file,label)"


def _tables(folder: Folder, suffixes: tuple[str, ...] = TABLES) -> list[Path]:
    return [file for file in folder.others if file.name.lower().endswith(suffixes)]


def _part(folder: Folder, classes: set[str]) -> FolderPart:
    if not folder.holding:
        return FolderPart(folder.path, {"": folder.pictures})
    files: dict[str, list[Path]] = {}
    for of_class in sorted(folder.folders, key=lambda folder: natural(folder.name)):
        if of_class.name in classes:
            pictures = chain.from_iterable(below.pictures for below in of_class.all())
            files.setdefault(of_class.name, []).extend(pictures)
    return FolderPart(folder.path, files)


def _refuse_stray(folder: Folder) -> None:
    if folder.holding and folder.pictures:
        raise DataError(
            f"{min(folder.pictures)}: a picture inside a folder named after its class expected, it lies outside"
        )


def _refuse_too_high(root: Folder) -> None:
    """Refuse a folder whose only folder, or the only one in that, is the one that holds the classes."""
    inner = root
    while not inner.pictures and len(inner.holding) == 1:
        inner = inner.holding[0]
    if inner is not root and not inner.pictures:
        if not any(folder.holding for folder in inner.holding) and all(map(_names_part, inner.holding)):
            raise _unsorted(inner.holding[0])
        names = ", ".join(folder.name for folder in inner.holding[:5])
        raise DataError(
            f"{root.path}: folders named after classes expected, {root.holding[0].name} alone found: "
            f"give {inner.path}, where {names} lie"
        )


def _names_part(folder: Folder) -> bool:
    return part_of_folder(folder.name) is not None


def _refuse_pieces(root: Folder) -> None:
    """Refuse folders that are pieces of one set: fold_0, fold_1; images_part_1, images_part_2."""
    names = [folder.name for folder in root.holding]
    if len(names) > 1 and all(map(_PIECE.fullmatch, names)):
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise DataError(
            f"{root.path}: folders named after classes expected, {shown} found, which by their names are pieces of one "
            "set: lay the pictures of each class into a folder called so, or write a table of files and labels "
            "(file,label); if these are the classes, call the folders otherwise"
        )


def _refuse_parts_in_classes(root: Folder) -> None:
    """Refuse <class>/train, <class>/test: the test pictures would be learned from."""
    for of_class in root.holding:
        inner = {part_of_folder(folder.name) for folder in of_class.holding}
        if not of_class.pictures and len(inner) > 1 and None not in inner:
            first = of_class.holding[0].name
            raise DataError(
                f"{of_class.path}: parts that hold classes expected ({first}/{of_class.name}), the classes hold the "
                f"parts ({of_class.name}/{first}): turn the folders round"
            )


# ── what to say about it ─────────────────────────────────────────────────────────────────────────────────────


def _left_out(parts: dict[str, Folder], classes: set[str]) -> list[str]:
    """Sentences on files that are no pictures by their names, and on folders without any."""
    notes = []
    if any(not part.holding for part in parts.values()):
        notes.append("the pictures of test lie in no folders of classes: they have no labels")
    folders = [folder for part in parts.values() for folder in part.folders]
    if suffixes := _suffixes(folders):
        notes.append(f"{LEFT_OUT}: {_counts(suffixes)}")
    if any(suffix in HEIC for suffix in suffixes):
        notes.append(CONVERT_HEIC)
    notes += [f"{suffix} is not read: convert such pictures to PNG" for suffix in suffixes if suffix in NOT_READ]

    empty = list(dict.fromkeys(folder.name for folder in folders if folder.name not in classes))
    if empty:
        names = ", ".join(empty[:5]) + (" …" if len(empty) > 5 else "")
        notes.append(f"not taken for classes, as no pictures lie in them: {names}")
    return notes


def _instead(folders: Sequence[Folder]) -> str:
    """What there is in the place of pictures, for the end of an error's message."""
    suffixes = _suffixes(folders)
    advice = f"; {CONVERT_HEIC}" if any(suffix in HEIC for suffix in suffixes) else ""
    if others := [suffix for suffix in suffixes if suffix in NOT_READ]:
        advice += f"; {others[0]} is not read: convert such pictures to PNG"
    return (f", but {_counts(suffixes)}" if suffixes else "") + advice


def _suffixes(folders: Sequence[Folder]) -> Counter[str]:
    """How many files of which suffix are no pictures, in these folders and below."""
    suffixes: Counter[str] = Counter()
    for folder in chain.from_iterable(folder.all() for folder in folders):
        suffixes.update(file.suffix.lower() for file in folder.others)
    return suffixes


def _counts(suffixes: Counter[str]) -> str:
    shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in suffixes.most_common(8)]
    more = sum(suffixes.values()) - sum(count for _, count in suffixes.most_common(8))
    return ", ".join([*shown, *([f"{more:,} others"] if more else [])])


def _written_in_two_ways(parts: dict[str, Folder]) -> list[str]:
    """A sentence on folders beside each other that have one name, as where é is one character here and two there."""
    counts = Counter((part.path, folder.name) for part in parts.values() for folder in part.holding)
    names = list(dict.fromkeys(name for (_, name), count in counts.items() if count > 1))
    if not names:
        return []
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return [f"folders whose names differ only in how Unicode writes them are one class: {shown}"]


def _merged(parts: dict[str, Folder]) -> list[str]:
    """A sentence on folders inside those of classes, where there are any."""
    classes = [of_class for part in parts.values() for of_class in part.holding]
    names = list(dict.fromkeys(below.name for of_class in classes for below in of_class.holding))
    if not names:
        return []
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return [f"pictures in folders inside a class's folder ({shown}) count for that class"]
