"""One row per format that a data set comes in: how it is recognized, read, streamed and written.

A new format is its file in this folder, its row in :data:`FORMATS`, and its test. Nothing here fetches or caches:
``predict`` reads data files by this table alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats import (
    array_files,
    cifar,
    csv_kinds,
    idx,
    image_folder,
    json_lines_table,
    kaggle_csv,
    npz,
    parquet,
    svhn,
)
from fittingroom.data.formats.folder_layout import NoPictures, has_class_folders
from fittingroom.data.formats.folder_scan import is_junk
from fittingroom.data.formats.gzipped import open_bytes
from fittingroom.data.formats.many_pictures import Decoding
from fittingroom.data.formats.splits import Images
from fittingroom.data.picture_file import SUFFIXES
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

ROWS = 2_000  # images of a block
MOST_TRIED = 100  # files or folders whose content is looked at for a hint
DEEPEST_LOOKED = 3  # folders in folders below the one that was given, in which data are looked for
MOST_LISTED = 100_000  # entries of a folder that are looked at to say what lies there


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What is known of one format. A field with a default may stay out of its row.

    Attributes:
        name: what ``data convert --to`` calls it.
        in_folder: what a folder of this format holds, as messages say it; "" where it is never a folder.
        suffixes: in lower case, of files that are of this format by their names alone.
        sniff: tells whether a file whose suffix says nothing is of this format, by its name or its first bytes.
        files: every file that ``read`` reads of a path; none of a folder that isn't of this format.
        read: a file or folder → its parts.
        read_pictures: the same, of a format whose images may be picture files: with what to make of them, and whether
            to leave out those that are broken, and what follows the decoding. It takes the place of ``read``.
        read_larger: the same as ``read``, of arrays that are larger than a model takes, with the size to make them.
        blocks: the images of one file, at most so many at a time, in the memory of a block. None: not one file.
        picture_blocks: the same, of a format whose images may be picture files: with what to make of them. It takes the
            place of ``blocks``.
        has_images: tells whether a file of this format holds images, and not labels alone.
        names_known_set: the names of its files say which known set they hold, wherever they lie.
        write: writes one file; of a format without ``holds_all_parts``, the only part that there is.
        holds_all_parts: one file holds train, validation and test.
        write_part: writes a part into a folder.
        part_files: the names of the files that ``write_part`` writes, raw or packed.
        keeps_class_names: the files hold the names of the classes; else these go into ``classes.txt``.
    """

    name: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], Splits]
    read_pictures: Callable[[Path, Preprocessing, bool, Decoding], Splits] | None = None
    read_larger: Callable[[Path, Preprocessing], Splits] | None = None
    in_folder: str = ""
    suffixes: tuple[str, ...] = ()
    sniff: Callable[[Path], bool] | None = None
    blocks: Callable[[Path, int], Iterator[Images]] | None = None
    picture_blocks: Callable[[Path, int, Preprocessing | None], Iterator[Images]] | None = None
    has_images: Callable[[Path], bool] = lambda _: True
    names_known_set: bool = False
    write: Callable[[Path, Splits], None] | None = None
    holds_all_parts: bool = False
    write_part: Callable[[Path, str, Dataset], None] | None = None
    part_files: re.Pattern[str] | None = None
    keeps_class_names: bool = False


IDX = Format(
    name="idx",
    in_folder="IDX files",
    sniff=idx.is_idx,
    files=idx.idx_files,
    read=idx.read_idx_dataset,
    read_larger=idx.read_idx_dataset,
    blocks=idx.idx_blocks,
    has_images=lambda path: len(idx.read_idx_header(path).shape) > 2,
    write_part=idx.write_idx_part,
    part_files=idx.PART_FILES,
)
CSV = Format(
    name="csv",
    in_folder="CSV files",
    suffixes=kaggle_csv.SUFFIXES,
    files=csv_kinds.csv_data_files,
    read=csv_kinds.read_csv,
    read_pictures=csv_kinds.read_csv,
    blocks=csv_kinds.csv_kinds_blocks,
    picture_blocks=csv_kinds.csv_kinds_blocks,
    names_known_set=True,
    write=lambda path, data: kaggle_csv.write_kaggle_csv(path, data.train),
    write_part=kaggle_csv.write_csv_part,
    part_files=kaggle_csv.PART_FILES,
)
NPZ = Format(
    name="npz",
    suffixes=(".npz",),
    files=npz.npz_files,
    read=npz.read_npz,
    read_larger=npz.read_npz,
    blocks=npz.npz_blocks,
    write=npz.write_npz,
    holds_all_parts=True,
    keeps_class_names=True,
)
ARRAYS = Format(
    name="arrays",
    in_folder="arrays in files such as x_train.npy and y_train.npy",
    files=array_files.array_files,
    read=array_files.read_array_files,
    read_larger=array_files.read_array_files,
)
PARQUET = Format(
    name="parquet",
    in_folder="Parquet files",
    suffixes=(".parquet",),
    files=parquet.parquet_files,
    read=parquet.read_parquet,
    read_pictures=parquet.read_parquet,
    blocks=parquet.parquet_blocks,
    picture_blocks=parquet.parquet_blocks,
    write=lambda path, data: parquet.write_parquet(path, data.train),
    write_part=parquet.write_parquet_part,
    part_files=parquet.PART_FILES,
    keeps_class_names=True,
)
JSON_LINES = Format(
    name="jsonl",
    in_folder="tables of picture files in JSON Lines",
    suffixes=json_lines_table.SUFFIXES,
    files=json_lines_table.json_lines_files,
    read=json_lines_table.read_json_lines_tables,
    read_pictures=json_lines_table.read_json_lines_tables,
    blocks=json_lines_table.json_lines_blocks,
    picture_blocks=json_lines_table.json_lines_blocks,
)
CIFAR = Format(
    name="cifar",
    in_folder="CIFAR's binary files",
    suffixes=cifar.SUFFIXES,
    sniff=cifar.is_cifar,
    files=cifar.cifar_files,
    read=cifar.read_cifar,
    blocks=cifar.cifar_blocks,
)
SVHN = Format(
    name="svhn",
    in_folder="SVHN's .mat files",
    suffixes=svhn.SUFFIXES,
    files=svhn.svhn_files,
    read=svhn.read_svhn,
    blocks=svhn.svhn_blocks,
)
PICTURES = Format(
    name="pictures",
    in_folder="a folder of pictures for each class",
    files=image_folder.image_files,
    read=image_folder.read_image_folder,
    read_pictures=image_folder.read_image_folder,
)

FORMATS = (IDX, ARRAYS, CSV, NPZ, PARQUET, JSON_LINES, CIFAR, SVHN, PICTURES)
"""A folder with files of several formats is of the first of them."""


def _what_a_path_may_be() -> str:
    *folders, last_folder = [kind.in_folder for kind in FORMATS if kind.in_folder]
    sniffed = [kind.name.upper() for kind in FORMATS if kind.sniff is not None]
    *files, last_file = [*sniffed, *(suffix for kind in FORMATS for suffix in kind.suffixes)]
    return (
        f"a folder {', '.join(f'with {held}' for held in folders)}, or with {last_folder}; "
        f"or one file: {', '.join(files)} or {last_file}"
    )


WHAT_A_PATH_MAY_BE = _what_a_path_may_be()


LOAD_IN_PYTHON = (
    "load its arrays in Python, and give them to fittingroom.Dataset.from_arrays or save them by "
    "np.savez(path, x_train=…, y_train=…)"
)
_ARRAYS = (".npy", ".h5", ".hdf5", ".pkl", ".pickle", ".p", ".pt", ".pth", ".joblib", ".safetensors")
_RECORDS = (".tfrecord", ".mdb", ".rec", ".bin", ".dat", ".data", ".raw", ".svm")
NO_FORMATS = {
    (".zip", ".7z", ".rar", ".bz2", ".xz", ".zst", ".lz4", ".tar"): "unpack it, and give what comes out",
    (".arrow",): (
        "give what datasets.load_from_disk makes of its folder to fittingroom.Dataset.from_hf, or save it by to_parquet"
    ),
    (".tab", ".txt", ".xlsx", ".xls", ".ods", ".json", ".feather", ".arff"): (
        "if it is a table, save it as CSV with commas, or as Parquet"
    ),
    (*_ARRAYS, *_RECORDS): LOAD_IN_PYTHON,
    SUFFIXES: "pictures lie in a folder for each class, and that which holds these is given",
}
"""What to do with files that no format reads, by their suffix."""
_AFTER_SUFFIX = re.compile(r"(-\d+-of-\d+)?(\.gz)?$")  # of a packed file, or one shard of several


def format_at(path: Path) -> tuple[Format, list[Path]]:
    """Tell the format of what lies at a path, by names and, of one file, by its first bytes; never by trying.

    Returns:
        The format, and the files that its reader will read.

    Raises:
        DataError: no format of the table, or files that can't be one data set.
    """
    if path.is_dir():
        for kind in FORMATS:
            if kind in (CSV, JSON_LINES) and _lies_beside_pictures(path, kind):
                continue
            try:
                files = kind.files(path)
            except NoPictures as error:
                if deeper := _data_below(path):
                    raise DataError(f"{path}: no data found in the folder itself, but {deeper}") from None
                advice = next(filter(None, map(_advice, error.suffixes)), "")
                raise DataError(f"{error}{advice}") from None
            if files:
                return kind, files
        instead = _what_lies_in(path) or f"; a path may be {WHAT_A_PATH_MAY_BE}"
        raise DataError(f"{path}: no data found in it{instead}")

    # opening a pipe would wait for somebody to write into it
    if not path.is_file():
        raise DataError(f"{path}: a file or folder expected, a device or pipe found")
    kind = _format_of_file(path)
    return kind, kind.files(path)


def format_of_name(path: Path) -> Format | None:
    """The format that a file has by its suffix, whether it exists or not; None where the suffix says nothing."""
    return next((kind for kind in FORMATS if path.name.lower().endswith(kind.suffixes)), None)


def is_data_file(path: Path) -> bool:
    """Whether the file holds a data set's images, by its name or its first bytes.

    Raises:
        DataError: the file can't be read.
    """
    kind = format_of_name(path) or _sniffed(path)
    return kind is not None and kind.has_images(path)


def read_blocks(path: Path, rows: int = ROWS, preprocessing: Preprocessing | None = None) -> Iterator[Images]:
    """Read a data file of any size in the memory of one block, without its labels.

    Args:
        path: a data file; of one with several parts, the images of all of them come.
        rows: images of a block.
        preprocessing: what to make of picture files in it; arrays come as they are. None: what the pictures suggest.

    Returns:
        Blocks uint8 (up to ``rows``, H, W) or (up to ``rows``, H, W, 3), in file order.

    Raises:
        DataError: where :func:`fittingroom.data.open.open_dataset` would raise it, at the block that is wrong.
    """
    kind = _format_of_file(path)
    if kind.picture_blocks is not None:
        return kind.picture_blocks(path, rows, preprocessing)
    assert kind.blocks is not None, "a format with a suffix or a sniff is one of files"
    return kind.blocks(path, rows)


def _lies_beside_pictures(path: Path, kind: Format) -> bool:
    """Whether the tables of this kind in a folder tell of the pictures in its folders, and are no data themselves."""
    tables = [file for file in path.iterdir() if file.name.lower().endswith(kind.suffixes) and file.is_file()]
    is_data = _is_data if kind is CSV else json_lines_table.gives_labels
    return bool(tables) and has_class_folders(path) and not any(map(is_data, tables))


def _is_data(table: Path) -> bool:
    """Whether a CSV has a cell for each pixel of the smallest images that anyone keeps so, 4×4, or gives labels."""
    try:
        with open_bytes(table) as file:
            has_many_columns = max(map(file.readline(1 << 20).count, (b",", b";", b"\t"))) >= 16
        return has_many_columns or csv_kinds.gives_labels(table)
    except DataError:
        return False  # not a file of data in any case


def _format_of_file(path: Path) -> Format:
    kind = format_of_name(path) or _sniffed(path)
    if kind is None:
        instead = _advice(path.name) or f"; a path may be {WHAT_A_PATH_MAY_BE}; if it holds arrays, {LOAD_IN_PYTHON}"
        raise DataError(f"{path}: a file of another kind{instead}")
    return kind


def _advice(name: str) -> str:
    """What to do with a file that no format reads, for the middle of a message; "" where nothing is known."""
    name = _AFTER_SUFFIX.sub("", name.lower())
    advice = next((advice for suffixes, advice in NO_FORMATS.items() if name.endswith(suffixes)), "")
    return f": {advice}" if advice else ""


def _what_lies_in(folder: Path) -> str:
    """What lies in a folder that is no data set itself, where something does that could be made one."""
    names = [
        entry.name for entry in islice(folder.iterdir(), MOST_LISTED) if entry.is_file() and not is_junk(entry.name)
    ]
    if pictures := [name for name in names if name.lower().endswith(SUFFIXES)]:
        return (
            f", but pictures outside of any folder of a class: {len(pictures):,}, such as {min(pictures)}: lay those "
            "of each class into a folder called so, or write a table of files and labels (file,label) beside them"
        )
    if files := [name for name in names if format_of_name(folder / name) is not None]:
        return f", but {min(files)}: give that file"
    if called := [name for name in sorted(names)[:MOST_TRIED] if idx.is_idx(folder / name)]:
        return (
            f", but {called[0]}, which is an IDX file by what it holds: call the images train-images-idx3-ubyte, and "
            "the labels train-labels-idx1-ubyte"
        )
    # names of classes and licences lie beside the data, and are small
    unread = max(filter(_advice, sorted(names)), key=lambda name: (folder / name).stat().st_size, default="")
    return f", but {unread}{_advice(unread)}" if unread else ""


def _data_below(path: Path) -> str:
    """Which folders in a folder hold data files, for the end of a message; "" where none does.

    Hugging Face's repositories hold them in ``data``, torchvision's in ``FashionMNIST/raw``.
    """
    found: list[Path] = []
    level = [path]
    for _ in range(DEEPEST_LOOKED):
        level = [inner for folder in level for inner in _folders_in(folder)][:MOST_TRIED]
        found += [folder for folder in level if _holds_data(folder)]
    if not found:
        return ""
    if len(found) == 1:
        return f"in {found[0]}: give that"
    shown = ", ".join(map(str, found[:5])) + (" …" if len(found) > 5 else "")
    return f"in {shown}: give one of them, and with `test` another as the test set"


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(
            entry for entry in islice(folder.iterdir(), MOST_LISTED) if entry.is_dir() and not is_junk(entry.name)
        )
    except OSError:
        return []


def _holds_data(folder: Path) -> bool:
    """Whether a folder holds files of a format that isn't one of pictures."""
    try:
        return any(kind.files(folder) for kind in FORMATS if kind is not PICTURES)
    except (DataError, OSError):
        return True  # files that can't be one set, as its reader says


def _sniffed(path: Path) -> Format | None:
    return next((kind for kind in FORMATS if kind.sniff is not None and kind.sniff(path)), None)
