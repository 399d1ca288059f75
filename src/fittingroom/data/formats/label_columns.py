"""Which column of a table of picture files holds the labels, by their names and by what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.data.formats.columns import LABEL_NAMES_IN_WORDS, label_column, named
from fittingroom.data.formats.csv_layout import counts_rows
from fittingroom.errors import DataError

if TYPE_CHECKING:
    import polars as pl

# By which what `predict --csv` prints is known; of its probabilities, p0 and on, the names are those of pixels.
ANSWER_COLUMNS = {"file", "row", "label", "class", "typical"}


def label_column_of(frame: pl.DataFrame) -> str | None:
    """The result of :func:`label_column`; of the numbers and names that ``predict --csv`` prints, the names.

    A person who corrects such a table corrects the names.
    """
    label, name = label_column(frame.columns), named(frame.columns, ["class"])
    return name if set(frame.columns) >= ANSWER_COLUMNS else label


def refuse_answers_on_rows(frame: pl.DataFrame, path: Path) -> None:
    """Refuse what ``predict --csv`` prints of a data set, whose rows are no pictures.

    Raises:
        DataError: with the command that takes the classes of such a table.
    """
    if set(frame.columns) >= ANSWER_COLUMNS and frame["row"].null_count() < len(frame):
        name = frame.filter(frame["row"].is_not_null())["file"][0]
        raise DataError(
            f"{path}: a table of pictures expected, answers on the rows of {name} found: "
            f"fittingroom train {name} --labels {path.name} takes their classes"
        )


def only_other_column(frame: pl.DataFrame, known: Sequence[str]) -> str | None:
    """The column of labels, whatever it is called, of a table that has no other beside paths and what is known."""
    rest = [name for name in frame.columns if name not in known and not counts_rows(name)]
    return rest[0] if len(rest) == 1 and _may_be_labels(frame, rest[0]) else None


def one_hot_labels(frame: pl.DataFrame, known: Sequence[str], path: Path) -> list[str] | None:
    """The class of each row by columns of 0 and 1, one for each class; None where there are none such.

    Raises:
        DataError: in some rows several are 1, or none is.
    """
    import polars as pl

    rest = [name for name in frame.columns if name not in known and not counts_rows(name)]
    numbers = frame.select(pl.col(rest).cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False))
    if len(rest) < 2 or not all(set(numbers[name].unique()) <= {0.0, 1.0} for name in rest):
        return None
    sums = numbers.sum_horizontal().to_list()
    if all(row == 1 for row in sums):
        return [rest[place] for place in numbers.to_numpy().argmax(axis=1).tolist()]
    raise DataError(
        f"{path}: one label for each picture expected, columns of 0 and 1 found ({listed(rest)}) of which rows have "
        f"{min(sums):g} to {max(sums):g} that are 1: pictures of several classes, or of none, aren't "
        "learned; to learn one of the columns, call it label"
    )


def _may_be_labels(frame: pl.DataFrame, name: str) -> bool:
    """Whether a column holds whole numbers, names or yes and no, fewer of them than rows."""
    import polars as pl

    kind = frame[name].dtype
    is_kind = kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
    return is_kind and 2 <= frame[name].n_unique() <= max(2, len(frame) // 2)


def refuse_unclear_labels(
    frame: pl.DataFrame, known: Sequence[str], path: Path, columns: Sequence[str] | None = None
) -> None:
    """Refuse a table whose labels may stand in a column, but none is called so.

    Args:
        frame: the table, or the columns of it that aren't pictures.
        known: columns that are something else.
        path: of its file.
        columns: all that there are, for the message; None: those of ``frame``.

    Raises:
        DataError: with the columns that may be the labels, and all the others.
    """
    may_be = [name for name in frame.columns if name not in known and _may_be_labels(frame, name)]
    if may_be:
        raise DataError(
            f"{path}: a column of labels expected, called {LABEL_NAMES_IN_WORDS}; "
            f"found {listed(columns or frame.columns)}: "
            f"call the one with the labels label (it may be {' or '.join(may_be[:5])}), or leave out what is neither"
        )


def listed(columns: Sequence[str]) -> str:
    """The names of columns for a message, the first twenty of many."""
    more = f" and {len(columns) - 20:,} more" if len(columns) > 20 else ""
    return ", ".join(map(str, columns[:20])) + more
