"""The labels of a Parquet file: numbers whose names Hugging Face's metadata has, or names themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.data.checks import LONGEST_NAME, MAX_CLASSES
from fittingroom.data.formats.arrays import as_labels
from fittingroom.data.formats.columns import GROUP, LABEL_NAMES_IN_WORDS, as_text, label_column, numbered
from fittingroom.data.formats.label_columns import refuse_unclear_labels
from fittingroom.data.formats.parquet_file import opened
from fittingroom.data.formats.splits import read_class_names
from fittingroom.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

UNLABELLED = -1  # what Hugging Face writes where there is no label


def labels_of(files: Sequence[Path]) -> NDArray[Any] | None:
    """The labels of the shards of a part, one after another: whole numbers, or text where they are names.

    None where they have none. Raises DataError for shards that disagree about that, and for what can't be labels.
    """
    labels = [_labels(file) for file in files]
    there = [numbers for numbers in labels if numbers is not None]
    if there and len(there) < len(files):
        raise DataError(
            f"{files[0].parent}: labels in all of {', '.join(file.name for file in files)} expected, or in none"
        )

    # numbers in one shard and names in another: all are names
    if len({numbers.dtype.kind for numbers in there}) > 1:
        there = [numbers.astype(np.str_) for numbers in there]
    return np.concatenate(there) if there else None


def _labels(path: Path) -> NDArray[Any] | None:
    import polars as pl

    with opened(path) as file:
        table = pl.scan_parquet(file)
        schema = table.collect_schema()
        known = _class_names(path)
        name = label_column(schema.names()) or (next(iter(known)) if len(known) == 1 else None)
        if name is None or name not in schema:
            plain = [name for name, kind in schema.items() if not kind.is_nested() and kind != pl.Binary]
            refuse_unclear_labels(table.select(plain).collect(), [GROUP], path, schema.names())
            return None
        column = table.select(name).collect()[name]

    where = f"{path}: column {column.name}"
    if column.null_count() == len(column) and len(column):
        return None
    if column.null_count():
        row = int(column.is_null().arg_max() or 0) + 1
        raise DataError(f"{path}: row {row:,}, column {column.name}: a label expected, none found")
    if column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        return as_text(_texts(column.cast(pl.String), where), where)
    if not column.dtype.is_numeric():
        raise DataError(
            f"{where}: whole numbers or names expected as labels, {column.dtype} found; the columns are "
            f"{', '.join(schema.names()[:20])}: call the one with the labels {LABEL_NAMES_IN_WORDS}"
        )

    if str(column.dtype).endswith("Int128"):  # NumPy has none; what is beyond 64 bits is no class's number either
        column = column.cast(pl.Int64, strict=False).fill_null(MAX_CLASSES)
    labels = column.to_numpy()
    return None if (labels == UNLABELLED).all() else as_labels(labels, where)


def _texts(column: pl.Series, where: str) -> list[str]:
    """The texts of a column, before which the longest is looked at: all rows may share one of any length."""
    longest = int(column.str.len_bytes().max() or 0)  # type: ignore[arg-type]
    if longest > 4 * LONGEST_NAME:
        as_text([str(column.filter(column.str.len_bytes() == longest)[0])], where)
    return column.to_list()


def as_numbers(
    found: dict[str, NDArray[Any] | None], path: Path, first: Path
) -> tuple[dict[str, NDArray[Any] | None], Sequence[str] | None]:
    """The labels of each part as numbers, and the names of the classes, where there are any.

    Args:
        found: of each part, as :func:`labels_of` gives them.
        path: of the data set, beside which a file of names may lie.
        first: the file whose metadata may name the classes.
    """
    kinds = {values.dtype.kind for values in found.values() if values is not None}
    known = _class_names(first)
    names = next((known[name] for name in known if name == label_column(list(known))), None)
    names = names or (next(iter(known.values())) if len(known) == 1 else None)
    if "U" not in kinds:
        return found, names

    # names in one part make those of all parts names
    texts = {part: None if values is None else values.astype(np.str_) for part, values in found.items()}
    labels, classes = numbered(texts, str(path), names or read_class_names(path if path.is_dir() else path.parent))
    return dict(labels), classes


def _class_names(path: Path) -> dict[str, list[str]]:
    """The names of the classes by column, from what Hugging Face's library writes; none of what others made."""
    import polars as pl

    with path.open("rb") as file:
        metadata = pl.read_parquet_metadata(file)
    try:
        features = json.loads(metadata["huggingface"])["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
