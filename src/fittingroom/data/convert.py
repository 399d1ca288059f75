"""Write a data set in another format, exactly: what is read back has the same pixels, labels, names and order."""

from pathlib import Path

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.splits import CLASSES_FILE, read_class_names
from fittingroom.data.formats.table import FORMATS, Format, format_of_name
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_directory, atomic_write

WRITABLE = {kind.name: kind for kind in FORMATS if kind.write is not None or kind.write_part is not None}


def convert(data: Splits, out: str | Path, *, to: str | None = None, force: bool = False) -> list[Path]:
    """Write the data set to ``out``. A folder appears whole or not at all.

    IDX and CSV have no class names: these go into ``classes.txt`` beside the data, where they are read from.

    Args:
        data: all of its parts are written.
        out: a file, or a folder where the name has no suffix of a format.
        to: ``idx`` (a folder), ``csv`` or ``parquet`` (a folder with a file for each part, or one file for one
            part), ``npz`` (a file). None: by the suffix of ``out``.
        force: put it in the place of what is there, as long as that is one file, or a folder that holds nothing
            but such a data set.

    Returns:
        The files written, sorted.

    Raises:
        DataError: an unknown format, something in the way, what a format can't hold, a full disk.

    Example:
        >>> import fittingroom as fr
        >>> [file.name for file in fr.convert(fr.open_dataset("sample"), "converted", to="csv")]
        ['classes.txt', 'test.csv', 'train.csv']
    """
    out = Path(out)
    is_folder = format_of_name(out) is None
    target = _target(out, to)
    try:
        _check_free(out, force, is_folder=is_folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        return _write_folder(data, out, target) if is_folder else _write_file(data, out, target)
    except OSError as error:
        raise DataError(f"{out}: can't be written: {error.strerror or error}") from error


def _target(out: Path, to: str | None) -> Format:
    """The format to write: the one that is named, or that of the suffix. Refuses two that disagree."""
    by_suffix = format_of_name(out)
    if to is not None and to not in WRITABLE:
        raise DataError(f"`to` {to}: one of {', '.join(WRITABLE)} expected")
    target = by_suffix if to is None else WRITABLE[to]

    # a name without a suffix is that of a folder, whose format can't be told; some formats are read and never written
    if target is None or target.name not in WRITABLE:
        suffixes = [suffix for kind in WRITABLE.values() for suffix in kind.suffixes]
        folders = [kind.name for kind in WRITABLE.values() if kind.write_part is not None]
        raise DataError(
            f"{out}: a name that ends in {', '.join(suffixes)} expected, or `to` for a folder ({', '.join(folders)})"
        )

    if by_suffix is not None and target is not by_suffix:
        raise DataError(
            f"{out}: a name for {target.name} expected, this one says {by_suffix.name}: change the one or the other"
        )
    if by_suffix is None and target.write_part is None:
        raise DataError(
            f"{out}: a name that ends in {' or '.join(target.suffixes)} expected, for {target.name} is one file"
        )
    return target


def _check_free(out: Path, force: bool, *, is_folder: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise DataError(
            f"{out}: is there already: choose another name, or `force=True` to put the new data in its place"
        )

    # even with force, nothing goes that was not written here
    if out.is_dir() != is_folder:
        raise DataError(f"{out}: a {'folder' if is_folder else 'file'} expected, the other found: remove it yourself")
    if is_folder:
        foreign = sorted(entry.name for entry in out.iterdir() if not _is_ours(entry))
        if foreign:
            raise DataError(
                f"{out}: holds more than a data set ({', '.join(foreign[:5])}), which would be lost: "
                "choose another folder"
            )


def _is_ours(path: Path) -> bool:
    """Whether a file is called as one that ``convert`` writes into a folder, packed or not."""
    patterns = [kind.part_files for kind in FORMATS if kind.part_files is not None]
    is_called_so = path.name == CLASSES_FILE or any(pattern.fullmatch(path.name) for pattern in patterns)
    return path.is_file() and is_called_so


def _write_folder(data: Splits, out: Path, target: Format) -> list[Path]:
    assert target.write_part is not None, "_target refuses the others"
    with atomic_directory(out) as folder:
        for part, dataset in parts_of(data).items():
            target.write_part(folder, part, dataset)
        if not target.keeps_class_names:
            _write_class_names(folder, data.train)
    return sorted(out.iterdir())


def _write_file(data: Splits, out: Path, target: Format) -> list[Path]:
    assert target.write is not None, "a format with a suffix has files"
    parts = parts_of(data)
    if len(parts) > 1 and not target.holds_all_parts:
        raise DataError(
            f"{out}: one {target.name} file holds one part, {' and '.join(parts)} found: "
            f"give a folder, without a suffix, and `to` {target.name}"
        )
    if target.keeps_class_names:
        target.write(out, data)
        return [out]

    # classes.txt counts for every file beside it, and may belong to one of them
    names = read_class_names(out.parent)
    if data.train.labels is not None and names not in (None, data.train.classes):
        raise DataError(
            f"{out.parent / CLASSES_FILE}: names the classes of other data, and those of {out.name} would go there: "
            "choose another folder"
        )
    target.write(out, data)
    _write_class_names(out.parent, data.train)
    return sorted([out, *out.parent.glob(CLASSES_FILE)])


def _write_class_names(folder: Path, dataset: Dataset) -> None:
    if dataset.labels is None:
        return
    broken = [name for name in dataset.classes if name.splitlines() != [name]]
    if broken:
        raise DataError(
            f"{dataset.name}: class names of one line expected, {broken[0]!r} found: convert to npz or parquet"
        )
    with atomic_write(folder / CLASSES_FILE) as file:
        file.write("".join(f"{name}\n" for name in dataset.classes).encode())
