"""Write a data set in another format, exactly: what is read back has the same pixels, labels, names and order."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fittingroom.data.dataset import Dataset, Splits, parts_of
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.formats.kaggle_csv import write_kaggle_csv
from fittingroom.data.formats.npz import write_npz
from fittingroom.data.formats.parquet import write_parquet
from fittingroom.data.formats.splits import CLASSES_FILE, read_class_names
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_directory, atomic_write

FORMATS = ("idx", "csv", "npz", "parquet")
SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".npz": "npz", ".parquet": "parquet"}
IDX_STEMS = {"train": "train", "validation": "validation", "test": "t10k"}  # as MNIST's files are called
_OURS = re.compile(
    r"classes\.txt|(train|validation|test)(\.csv(\.gz)?|-00000-of-00001\.parquet)"
    r"|(train|validation|test|t10k)-(images-idx3-ubyte|labels-idx1-(ubyte|short))(\.gz)?"
)


def convert(data: Splits, out: Path, *, to: str | None = None, force: bool = False) -> list[Path]:
    """Write the data set to `out` and return the files written, sorted. A folder appears whole or not at all.

    to: "idx" (a folder), "csv" or "parquet" (a folder with a file for each part, or one file for one part),
        "npz" (a file). None: by the suffix of `out`.
    force: put it in the place of what is there, as long as that is one file, or a folder that holds nothing
        but such a data set.

    IDX and CSV have no class names: these go into classes.txt beside the data, where they are read from.
    Raises DataError: an unknown format, something in the way, what a format can't hold, a full disk.
    """
    suffix = next((suffix for suffix in SUFFIXES if out.name.lower().endswith(suffix)), None)
    target = _target(out, to, suffix)
    try:
        _check_free(out, force, is_folder=suffix is None)
        out.parent.mkdir(parents=True, exist_ok=True)
        if suffix is not None:
            return _write_file(data, out, target)
        with atomic_directory(out) as folder:
            for part, dataset in parts_of(data).items():
                FOLDER_WRITERS[target](folder, part, dataset)
            if target != "parquet":
                _write_class_names(folder, data.train)
        return sorted(out.iterdir())
    except OSError as error:
        raise DataError(f"{out}: can't be written: {error.strerror or error}") from error


def _target(out: Path, to: str | None, suffix: str | None) -> str:
    by_suffix = SUFFIXES[suffix] if suffix else None
    if to is None and by_suffix is None:
        raise DataError(
            f"{out}: a name that ends in {', '.join(SUFFIXES)} expected, or --to for a folder "
            f"({', '.join(FOLDER_WRITERS)})"
        )
    if to is not None and to not in FORMATS:
        raise DataError(f"--to {to}: one of {', '.join(FORMATS)} expected")
    if to is not None and by_suffix is not None and to != by_suffix:
        raise DataError(f"{out}: a name for {to} expected, this one says {by_suffix}: change the one or the other")
    if to == "npz" and by_suffix is None:
        raise DataError(f"{out}: a name that ends in .npz expected, for npz is one file")
    return to or by_suffix or ""


def _check_free(out: Path, force: bool, *, is_folder: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise DataError(f"{out}: is there already: choose another name, or --force to put the new data in its place")
    if out.is_dir() != is_folder:
        raise DataError(f"{out}: a {'folder' if is_folder else 'file'} expected, the other found: remove it yourself")
    if is_folder:
        foreign = sorted(each.name for each in out.iterdir() if not _is_ours(each))
        if foreign:
            raise DataError(
                f"{out}: holds more than a data set ({', '.join(foreign[:5])}), which would be lost: "
                "choose another folder"
            )


def _is_ours(path: Path) -> bool:
    """Whether a file is called as one that `convert` writes into a folder, packed or not."""
    return path.is_file() and _OURS.fullmatch(path.name) is not None


def _write_file(data: Splits, out: Path, target: str) -> list[Path]:
    if target == "npz":
        write_npz(out, data)
        return [out]
    parts = parts_of(data)
    if len(parts) > 1:
        raise DataError(
            f"{out}: one {target} file holds one part, {' and '.join(parts)} found: "
            f"give a folder, without a suffix, and --to {target}"
        )
    if target == "parquet":
        write_parquet(out, data.train)
        return [out]
    names = read_class_names(out.parent)
    if data.train.labels is not None and names not in (None, data.train.classes):
        raise DataError(
            f"{out.parent / CLASSES_FILE}: names the classes of other data, and a CSV's names go there: "
            "choose another folder"
        )
    write_kaggle_csv(out, data.train)
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


def _write_idx_part(folder: Path, part: str, dataset: Dataset) -> None:
    if dataset.labels is None:
        # images without their labels look like a folder that lost a file, and are refused when read
        raise DataError(f"{dataset.name}: labels expected for a folder of IDX files: convert to npz or parquet")
    stem = IDX_STEMS[part]
    kind, dtype = ("ubyte", np.uint8) if dataset.num_classes <= 256 else ("short", np.int16)
    write_idx(folder / f"{stem}-images-idx3-ubyte.gz", dataset.images)
    write_idx(folder / f"{stem}-labels-idx1-{kind}.gz", dataset.labels.astype(dtype))


def _write_csv_part(folder: Path, part: str, dataset: Dataset) -> None:
    write_kaggle_csv(folder / f"{part}.csv", dataset)


def _write_parquet_part(folder: Path, part: str, dataset: Dataset) -> None:
    write_parquet(folder / f"{part}-00000-of-00001.parquet", dataset)


FOLDER_WRITERS: dict[str, Callable[[Path, str, Dataset], None]] = {
    "idx": _write_idx_part,
    "csv": _write_csv_part,
    "parquet": _write_parquet_part,
}
