"""Predictions that anybody's program wrote, as Parquet, CSV or npz: read into bounded memory, held to what they claim.

A file has one row an image: ``label``, and ``predicted`` or probabilities, or all three. Classes are numbers from 0 on,
or names. Probabilities are columns ``p0``, ``p1``, … where classes are numbers, ``p_<class>`` where they are names; in
.npz the array ``probabilities`` (N, C), whose columns the array ``classes`` names. An image is identified by any of
``image`` (SHA-256 as the runs' own ``predictions.parquet`` has it), ``file`` (its path within the data), ``id`` and
``row`` (its number in the data, from 0 on); where none is there, by its place in the file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import LONGEST_NAME, MAX_CLASSES
from fittingroom.errors import DataError
from fittingroom.evaluation.prediction_columns import KEYS as KEYS
from fittingroom.evaluation.prediction_columns import MAX_ROWS, MAX_VALUES, READERS, SHOWN, Columns
from fittingroom.files.regular_file import read_regular_file

SUFFIXES = tuple(READERS)
MAX_BYTES = 256 << 20  # of the file
ROUNDING = 0.01  # by which the probabilities of a row may miss 1: they may be rounded to a few digits

_WHOLE = re.compile(r"(\d{1,9})(\.0+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionFile:
    """What a file of predictions says.

    Attributes:
        path: of the file.
        labels: str (N,), the true class of each image; None where the file has none.
        predicted: str (N,): what was answered; the most probable class, the first of several that tie, where the file
            says no other.
        probabilities: float32 (N, C) in the order of ``classes``; None where there are none.
        classes: names; of labels that are numbers, these.
        keys: what tells each image, by the column's name, see :data:`KEYS`; ``row`` is always there.
        says_rows: whether ``row`` is a column, and not each row's place in the file.
        are_numbers: whether classes are numbers from 0 on.
        unused: what of the file isn't used, and why; empty where all is.
    """

    path: Path
    labels: NDArray[np.str_] | None
    predicted: NDArray[np.str_]
    probabilities: NDArray[np.float32] | None
    classes: tuple[str, ...]
    keys: Mapping[str, Sequence[str] | Sequence[int]]
    says_rows: bool
    are_numbers: bool
    unused: str = ""

    def __len__(self) -> int:
        return len(self.predicted)


def read_prediction_file(path: Path) -> PredictionFile:
    """Read a file of predictions, of any program.

    Raises:
        DataError: it can't be read or is damaged or too large; no label, or nothing that was answered; probabilities
            that are none; an image, id or row that is there twice.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise DataError(
            f"{path}: predictions as {', '.join(SUFFIXES)} expected, {kind or 'a name without an ending'} found"
        )
    try:
        content = read_regular_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: predictions expected, but it can't be read: {reason}") from None
    return _checked(READERS[kind](content, path), path)


def _checked(columns: Columns, path: Path) -> PredictionFile:
    there, probabilities = columns.arrays, columns.probabilities
    n = _rows_of(columns, path)
    texts = {name: _classes_in(there[name], f"{path}: {name}") for name in ("label", "predicted") if name in there}
    are_numbers = all(_WHOLE.fullmatch(name) for names, _ in texts.values() for name in names) and not columns.classes
    if are_numbers:
        texts = {name: ([_whole(each) for each in names], row_N) for name, (names, row_N) in texts.items()}

    # Of names, only probabilities that bear them can be used: nothing else says which column is which.
    unused, named = "", columns.classes
    if probabilities is not None:
        _refuse_bad_probabilities(probabilities, path)
        if named is None and are_numbers:
            named = [str(number) for number in range(probabilities.shape[1])]
        elif named is None:
            unused = "its probabilities are not used: p0, p1, … don't say which class is which, p_<class> does"
            probabilities = None
            if "predicted" not in there:
                raise DataError(f"{path}: {unused}")
    known = list(dict.fromkeys(name for names, _ in texts.values() for name in names))
    classes = _classes_of(known, named, path, are_numbers=are_numbers)

    if "predicted" in there:
        predicted = _spelled(texts["predicted"])
    else:
        assert probabilities is not None
        predicted = np.array(classes)[probabilities.argmax(axis=1)]
    return PredictionFile(
        path=path,
        labels=_spelled(texts["label"]) if "label" in texts else None,
        predicted=predicted,
        probabilities=probabilities,
        classes=tuple(classes),
        keys=_keys(there, n, path),
        says_rows="row" in there,
        are_numbers=are_numbers,
        unused=unused,
    )


def _rows_of(columns: Columns, path: Path) -> int:
    """How many rows a table of answers has. Raises DataError for another table, and for columns of several lengths."""
    there, probabilities = columns.arrays, columns.probabilities
    if "predicted" not in there and probabilities is None:
        found = ", ".join(sorted(there)[:SHOWN]) or "no column that is known"
        raise DataError(
            f"{path}: label and predicted, or label and probabilities (p0, p1, … or p_<class>; in .npz one array), "
            f"expected; found {found}"
        )

    lengths = {name: len(values) for name, values in there.items()}
    if probabilities is not None:
        lengths["probabilities"] = len(probabilities)
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {count:,}" for name, count in sorted(lengths.items()))
        raise DataError(f"{path}: as many of each expected, found {said}")
    n = next(iter(lengths.values()))
    if not 0 < n <= MAX_ROWS:
        raise DataError(f"{path}: 1 to {MAX_ROWS:,} rows expected, {n:,} found")
    return n


def _classes_of(known: Sequence[str], named: list[str] | None, path: Path, *, are_numbers: bool) -> list[str]:
    """The classes that probabilities are named by or, without such names, those that occur, numbers by their size.

    Raises DataError for classes that occur and are not named, and for too many.
    """
    classes = named
    if classes is None:
        classes = sorted(known, key=lambda name: (int(name), "") if are_numbers else (0, name))
    among = set(classes)
    if strangers := [name for name in known if name not in among]:
        raise DataError(
            f"{path}: labels among the {len(classes):,} classes that have probabilities expected, found "
            f"{', '.join(map(repr, strangers[:SHOWN]))}"
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{path}: up to {MAX_CLASSES:,} classes expected, {len(classes):,} found: is label a class?")
    return classes


def _whole(text: str) -> str:
    """007 and 7.0 are 7."""
    return str(int(text.partition(".")[0]))


def _spelled(column: tuple[list[str], NDArray[np.int64]]) -> NDArray[np.str_]:
    names, row_N = column
    return np.array(names)[row_N]


def _whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Floats that are whole as such, which pandas makes floats of beside a missing value; others stay."""
    return values.astype(np.int64) if values.dtype.kind == "f" and _is_whole(values).all() else values


def _is_whole(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values) & (values == values.round()))


def _classes_in(values: NDArray[Any], where: str) -> tuple[list[str], NDArray[np.int64]]:
    """The different names in a column, in Unicode's NFC, and which of them each row has."""
    # Programs write classes as columns, as floats where a value was missing once, as text: all are classes still.
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iubUf":
        raise DataError(f"{where}: a class a row expected, an array of {values.dtype} {values.shape} found")
    values = _whole_numbers(values)
    if values.dtype.kind == "f":
        row = int(np.flatnonzero(~_is_whole(values))[0])
        raise DataError(f"{where}: a class a row expected, {values[row]} found in row {row}")

    # From here on it is about the different ones alone, of which there are few.
    different, row_N = np.unique(values, return_inverse=True)
    if len(different) > MAX_CLASSES:
        raise DataError(f"{where}: up to {MAX_CLASSES:,} classes expected, {len(different):,} found: is it a class?")

    names = [unicodedata.normalize("NFC", str(name)) for name in different]
    if "" in names:
        row = int(np.flatnonzero(row_N == names.index(""))[0])
        raise DataError(f"{where}: a class a row expected, none found in row {row}")
    if (longest := max(map(len, names))) > LONGEST_NAME:
        raise DataError(
            f"{where}: names of at most {LONGEST_NAME} characters expected, {longest:,} found: is it a class?"
        )
    if len(values) * longest > MAX_VALUES:
        raise DataError(
            f"{where}: shorter names of classes expected for {len(values):,} rows, {longest} characters found"
        )
    return names, np.asarray(row_N.reshape(-1), dtype=np.int64)


def _refuse_bad_probabilities(probabilities_NC: NDArray[np.float32], path: Path) -> None:
    """Whatever isn't a probability a class, with the first row that has it."""
    # A sum is finite only where all of the row are: rows without numbers are told before rows of wrong ones.
    sums_N = probabilities_NC.sum(axis=1, dtype=np.float64)
    bad_N = ~np.isfinite(sums_N)
    if not bad_N.any():
        bad_N = (probabilities_NC < 0).any(axis=1) | (np.abs(sums_N - 1) > ROUNDING)
    if not bad_N.any():
        return

    row, count = int(np.flatnonzero(bad_N)[0]), int(bad_N.sum())
    what = f"{count:,} of {len(bad_N):,} rows have others, the first of them row {row}"
    if not np.isfinite(sums_N[row]):
        raise DataError(f"{path}: probabilities of 0 to 1 expected, {what}: NaN, infinite or missing")

    # What is below 0 was mostly never a probability: the mistake behind it is named.
    if (probabilities_NC[row] < 0).any():
        least = float(probabilities_NC[row].min())
        raise DataError(
            f"{path}: probabilities of 0 to 1 expected, {what}: {least:.4g}; are these logits? Apply softmax"
        )
    raise DataError(f"{path}: probabilities that sum to 1 expected, {what}: {sums_N[row]:.4g}")


def _keys(there: Mapping[str, NDArray[Any]], n: int, path: Path) -> dict[str, Sequence[str] | Sequence[int]]:
    """What tells each image. Equal images may be there twice; a file, an id or a row may not."""
    keys: dict[str, Sequence[str] | Sequence[int]] = {"row": range(n)}
    for name in ("image", "file", "id"):
        if name not in there:
            continue
        values = there[name]
        if values.ndim != 1 or values.dtype.kind not in "iuU":
            raise DataError(f"{path}: {name}: a text or number a row expected, {values.dtype} {values.shape} found")
        texts = list(map(str, values.tolist()))
        if name == "image":
            texts = [text.lower() for text in texts]
            wrong = next((text for text in texts if not _SHA256.fullmatch(text)), None)
            if wrong is not None:
                raise DataError(f"{path}: image: SHA-256 in hexadecimal, 64 digits, expected, {wrong[:70]!r} found")
        else:
            _refuse_repeated(texts, f"{path}: {name}")
        keys[name] = texts

    if "row" in there:
        values = _whole_numbers(there["row"])
        if values.ndim != 1 or values.dtype.kind not in "iu" or (values < 0).any():
            raise DataError(f"{path}: row: whole numbers from 0 on expected, others found")
        rows = values.tolist()
        _refuse_repeated(rows, f"{path}: row")
        keys["row"] = rows
    return keys


def _refuse_repeated(values: Sequence[str] | Sequence[int], where: str) -> None:
    if len(set(values)) == len(values):
        return
    seen: set[str | int] = set()
    repeated = next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
    count = len(values) - len(set(values))
    if "" in seen and repeated == "":
        raise DataError(f"{where}: one a row expected, {count + 1:,} rows have none")
    raise DataError(f"{where}: each once expected, {count:,} found again, such as {str(repeated)[:60]}")
