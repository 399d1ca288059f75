"""The columns of a file of predictions, whichever of three formats it is in: bounded, and not looked at yet."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import LONGEST_NAME
from fittingroom.errors import DataError
from fittingroom.files.parquet_pages import page_problem
from fittingroom.files.polars_check import check_polars

if TYPE_CHECKING:
    import polars as pl

KEYS = ("image", "file", "id", "row")  # what tells an image, the surest first
MAX_ROWS = 1_000_000
MAX_VALUES = 64_000_000  # of probabilities, or characters of a column of text
MAX_COLUMNS = 20_000
SHOWN = 5  # rows or names that a message lists

_BY_NUMBER, _BY_NAME = re.compile(r"p(\d{1,5})"), re.compile(r"p_(.+)", re.DOTALL)


@dataclass
class Columns:
    """What stands in a file, not looked at yet: arrays of N, by names that don't depend on its format."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    probabilities: NDArray[np.float32] | None = None
    classes: list[str] | None = None  # of the columns of the probabilities; None: by number


def _of_npz(content: bytes, path: Path) -> Columns:
    from fittingroom.data.formats.npz import read_array

    columns = Columns()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            for name in ("label", "predicted", *KEYS):
                found = name if name in there else f"{name}s" if name == "label" and "labels" in there else None
                if found is not None:
                    columns.arrays[name] = _text_of_bytes(read_array(archive, found, path))

            if "probabilities" in there:
                columns.probabilities = _as_probabilities(read_array(archive, "probabilities", path), path)
            if "classes" in there and columns.probabilities is not None:
                names = _text_of_bytes(read_array(archive, "classes", path))
                columns.classes = _class_names(names.tolist(), columns.probabilities.shape[1], path)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a hostile file makes zip and NumPy's header parser stumble in any way at all
        raise DataError(f"{path}: a whole .npz file expected, damaged or other content found ({error})") from None

    # Where the file names its classes, a label of 3 is the fourth name; without names it stays a number.
    if columns.classes:
        for name in {"label", "predicted"} & set(columns.arrays):
            columns.arrays[name] = _named_by(columns.arrays[name], columns.classes, f"{path}: {name}")

    for name, values in columns.arrays.items():
        if len(values.shape) == 0 or values.size > MAX_VALUES:
            raise DataError(f"{path}: {name}: a value a row expected, an array of {values.shape} found")
    return columns


def _text_of_bytes(values: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _named_by(values: NDArray[Any], classes: Sequence[str], where: str) -> NDArray[Any]:
    """Labels that are numbers by the names that ``classes`` gives them; names stay."""
    if values.dtype.kind not in "iu":
        return values
    if values.ndim != 1 or not len(values) or values.min() < 0 or values.max() >= len(classes):
        raise DataError(f"{where}: numbers of 0 to {len(classes) - 1} expected, as there are {len(classes)} classes")
    return np.array(classes)[values.astype(np.int64)]


def _class_names(names: Sequence[Any], count: int, path: Path) -> list[str]:
    found = [unicodedata.normalize("NFC", str(name)) for name in names]
    if len(found) != count or len(set(found)) != count or not all(0 < len(name) <= LONGEST_NAME for name in found):
        raise DataError(f"{path}: {count:,} names of classes that differ expected, one a column, {len(found):,} found")
    return found


def _as_probabilities(values: NDArray[Any], path: Path) -> NDArray[np.float32]:
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiu" or values.size > MAX_VALUES:
        raise DataError(
            f"{path}: probabilities: (rows, classes) of two classes or more, up to {MAX_VALUES:,} values, expected, "
            f"{values.dtype} {values.shape} found"
        )
    return values.astype(np.float32, copy=False)


def _of_parquet(content: bytes, path: Path) -> Columns:
    import polars as pl

    check_polars()
    if problem := page_problem(io.BytesIO(content)):
        raise DataError(f"{path}: a whole Parquet file expected, but it can't be read: {problem}")

    # Rows are counted by the footer, before a column is read: few bytes may unfold to any number of them.
    with _reading("a whole Parquet file", path):
        schema = pl.read_parquet_schema(io.BytesIO(content))
        rows = pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item()
        wanted = _wanted(list(schema), rows, path)
        if "probabilities" in schema:
            wanted.append("probabilities")
        return _of_table(pl.read_parquet(io.BytesIO(content), columns=wanted), path)


def _of_csv(content: bytes, path: Path) -> Columns:
    import polars as pl

    check_polars()
    with _reading("a CSV of predictions", path):
        header = pl.read_csv(io.BytesIO(content), n_rows=0, infer_schema=False).columns
        rows = content.count(b"\n")
        wanted = _wanted(header, rows - 1, path)

        # As text, so that 007 and 7.0 are what they are; probabilities become numbers, and nothing else does.
        schema = {
            name: pl.Float32 if _BY_NUMBER.fullmatch(name) or _BY_NAME.fullmatch(name) else pl.String for name in wanted
        }
        table = pl.read_csv(io.BytesIO(content), columns=wanted, schema_overrides=schema, n_rows=MAX_ROWS + 1)
    if "row" in table.columns:
        number = table["row"].cast(pl.Int64, strict=False)
        if number.null_count():
            raise DataError(f"{path}: row: whole numbers from 0 on expected, others found")
        table = table.with_columns(number)
    return _of_table(table, path)


@contextmanager
def _reading(expected: str, path: Path) -> Iterator[None]:
    """Make a DataError of whatever keeps Polars from reading a file."""
    import polars as pl

    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{path}: {expected} expected, but it can't be read: {_brief(error)}") from None


def _wanted(columns: Sequence[str], rows: int, path: Path) -> list[str]:
    """The columns that are read; raises DataError where the table is too large, or has none of them."""
    if len(columns) > MAX_COLUMNS:
        raise DataError(f"{path}: up to {MAX_COLUMNS:,} columns expected, {len(columns):,} found")
    if rows > MAX_ROWS:
        raise DataError(f"{path}: 1 to {MAX_ROWS:,} rows expected, {rows:,} found")

    # Whatever else a program wrote beside them is left unread, and costs no memory.
    known = {"label", "predicted", *KEYS}
    wanted = [name for name in columns if name in known or _BY_NUMBER.fullmatch(name) or _BY_NAME.fullmatch(name)]
    if not wanted and "probabilities" not in columns:
        found = ", ".join(repr(name[:40]) for name in columns[:SHOWN]) or "none"
        raise DataError(
            f"{path}: columns label and predicted, or label and probabilities (p0, p1, … or p_<class>), expected; "
            f"found {found}"
        )

    if rows * len(wanted) > MAX_VALUES:
        raise DataError(f"{path}: up to {MAX_VALUES:,} values expected, {rows:,} rows of {len(wanted):,} columns found")
    return wanted


def _of_table(table: pl.DataFrame, path: Path) -> Columns:
    """Columns of a table, whichever format it came in."""
    import polars as pl

    columns = Columns()
    for name in ("label", "predicted", *KEYS):
        if name in table.columns:
            columns.arrays[name] = _as_array(table[name], path)

    names, classes = _probability_columns(table.columns, path)
    if names:
        texts = [name for name in names if not table[name].dtype.is_numeric()]
        if texts:
            raise DataError(f"{path}: {texts[0]}: numbers expected, {table[texts[0]].dtype} found")
        values_NC = table.select(pl.col(names).cast(pl.Float32).fill_null(float("nan"))).to_numpy()
        columns.probabilities = _as_probabilities(values_NC, path)
        if classes is not None:
            columns.classes = _class_names(classes, len(classes), path)
    elif "probabilities" in table.columns:
        columns.probabilities = _as_probabilities(_of_lists(table["probabilities"], path), path)
    return columns


def _as_array(values: pl.Series, path: Path) -> NDArray[Any]:
    """A column of texts or numbers that has a value in each row."""
    import polars as pl

    name = values.name
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if not (values.dtype.is_integer() or values.dtype.is_float() or values.dtype in (pl.String, pl.Boolean)):
        raise DataError(f"{path}: {name}: text or whole numbers expected, {values.dtype} found")
    if values.null_count():
        raise DataError(f"{path}: {name}: a value in each row expected, {values.null_count():,} rows have none")
    if values.dtype != pl.String:
        return values.to_numpy()

    # An array of texts takes the longest one's room for each.
    longest = max(values.str.len_chars().to_list(), default=0)
    if longest * len(values) > 4 * MAX_VALUES:
        raise DataError(f"{path}: {name}: shorter texts expected, one of {longest:,} characters found")
    return np.array(values.to_list(), dtype=np.str_)


def _probability_columns(columns: Sequence[str], path: Path) -> tuple[list[str], list[str] | None]:
    """The columns of probabilities, and the classes that their names name: ``p_<class>``; None of ``p0``, ``p1``, …"""
    by_number = [name for name in columns if _BY_NUMBER.fullmatch(name)]
    by_name = [name for name in columns if _BY_NAME.fullmatch(name)]
    if by_number and by_name:
        raise DataError(f"{path}: probabilities as p0, p1, … or as p_<class> expected, both found")
    if not by_number:
        return by_name, [name[2:] for name in by_name]

    expected = [f"p{number}" for number in range(len(by_number))]
    if set(by_number) != set(expected):
        missing = sorted(set(expected) - set(by_number))[:SHOWN]
        raise DataError(f"{path}: probabilities p0 to p{len(by_number) - 1} expected, {', '.join(missing)} missing")
    return expected, None  # p10 comes after p9, in whichever order the file has them


def _of_lists(values: pl.Series, path: Path) -> NDArray[Any]:
    """A column whose cells are lists, all of one length."""
    import polars as pl

    if not isinstance(values.dtype, pl.List | pl.Array) or values.null_count():
        raise DataError(f"{path}: probabilities: a list of numbers in each row expected, {values.dtype} found")
    as_lists = values.cast(pl.List(pl.Float32), strict=False)
    lengths = as_lists.list.len().unique().to_list()
    if len(lengths) != 1 or lengths[0] * len(values) > MAX_VALUES:
        raise DataError(f"{path}: probabilities: lists of one length expected, {sorted(lengths)[:SHOWN]} found")
    return as_lists.explode().fill_null(float("nan")).to_numpy().reshape(len(values), lengths[0])


def _brief(error: BaseException) -> str:
    """The first line of what a library says, which may quote the file at any length."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


READERS: Mapping[str, Callable[[bytes, Path], Columns]] = {".parquet": _of_parquet, ".csv": _of_csv, ".npz": _of_npz}
"""What reads a file of each ending; all raise DataError for what can't be read, or is too large."""
