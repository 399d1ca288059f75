"""Predictions of any program: what is read, whichever format they come in, and that what can't be is one message."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fittingroom.errors import DataError, FittingRoomError
from fittingroom.evaluation import prediction_file
from fittingroom.evaluation.prediction_file import SUFFIXES, read_prediction_file
from tests.hostile import mutations

N, NAMES = 50, ("bag", "ankle boot", "été")
LABELS = np.arange(N) % 3
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), N).astype(np.float32)


def write(path: Path, **columns: Any) -> Path:
    """A file of whichever format its name asks for."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
        return path
    wide = columns.pop("probabilities", None)
    if wide is not None:
        names = columns.pop("classes", None)
        columns |= {f"p{i}" if names is None else f"p_{names[i]}": wide[:, i] for i in range(wide.shape[1])}
    table = pl.DataFrame(columns)
    if path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_predictions_are_read_from_every_format(suffix: str, tmp_path: Path) -> None:
    numbers = read_prediction_file(write(tmp_path / f"a{suffix}", label=LABELS, probabilities=PROBABILITIES))
    assert numbers.classes == ("0", "1", "2")
    assert numbers.are_numbers
    assert numbers.labels is not None
    assert numbers.labels.tolist() == [str(label) for label in LABELS]
    assert numbers.predicted.tolist() == [str(i) for i in PROBABILITIES.argmax(axis=1)]
    assert numbers.probabilities is not None
    np.testing.assert_allclose(numbers.probabilities, PROBABILITIES, rtol=1e-6)
    assert not numbers.says_rows

    labels = np.array(NAMES)[LABELS]
    file = write(
        tmp_path / f"b{suffix}", label=labels, probabilities=PROBABILITIES, classes=np.array(NAMES), id=np.arange(N)
    )
    named = read_prediction_file(file)
    assert named.classes == NAMES
    assert named.predicted.tolist() == [NAMES[i] for i in PROBABILITIES.argmax(axis=1)]
    assert list(named.keys["id"]) == [str(i) for i in range(N)]


def test_an_answer_that_is_given_goes_before_the_largest_probability(tmp_path: Path) -> None:
    said = (PROBABILITIES.argmax(axis=1) + 1) % 3
    read = read_prediction_file(write(tmp_path / "a.npz", label=LABELS, predicted=said, probabilities=PROBABILITIES))
    assert read.predicted.tolist() == [str(i) for i in said]


def test_probabilities_that_dont_say_their_class_are_left_out_and_named(tmp_path: Path) -> None:
    labels = np.array(NAMES)[LABELS]
    read = read_prediction_file(write(tmp_path / "a.csv", label=labels, predicted=labels, probabilities=PROBABILITIES))
    assert read.probabilities is None
    assert "p_<class>" in read.unused
    with pytest.raises(DataError, match="which class is which"):
        read_prediction_file(write(tmp_path / "b.csv", label=labels, probabilities=PROBABILITIES))


def test_numbers_are_classes_however_they_are_spelled(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,predicted\n1.0,01\n0,1\n2,2.0\n", encoding="utf-8")
    read = read_prediction_file(tmp_path / "a.csv")
    assert read.labels is not None
    assert (read.labels.tolist(), read.predicted.tolist()) == (["1", "0", "2"], ["1", "1", "2"])


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    other = PROBABILITIES.copy()
    other[place] = value
    return other


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"label": LABELS}, "label and predicted, or label and probabilities"),
        ({"truth": LABELS, "guess": LABELS}, "expected; found"),
        (
            {"label": LABELS, "probabilities": changed((3, 1), np.nan)},
            "1 of 50 rows have others, the first of them row 3",
        ),
        ({"label": LABELS, "probabilities": changed((3, 1), np.inf)}, "row 3: NaN, infinite or missing"),
        ({"label": LABELS, "probabilities": np.log(PROBABILITIES)}, "Apply softmax"),
        ({"label": LABELS, "probabilities": 2 * PROBABILITIES}, "sum to 1 expected, 50 of 50 rows"),
        ({"label": LABELS + 1, "probabilities": PROBABILITIES}, "labels among the 3 classes that have probabilities"),
        ({"label": LABELS, "predicted": LABELS, "id": np.arange(N) // 2}, "id: each once expected, 25 found again"),
        ({"label": LABELS, "predicted": LABELS, "row": np.arange(N) // 2}, "row: each once expected"),
        ({"label": LABELS, "predicted": LABELS, "row": np.arange(N) - 1}, "whole numbers from 0 on"),
        ({"label": LABELS, "predicted": LABELS, "image": np.arange(N)}, "SHA-256 in hexadecimal"),
        ({"label": LABELS + 0.5, "predicted": LABELS}, ""),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cant_be_is_one_message_with_the_row(
    columns: dict[str, Any], told: str, suffix: str, tmp_path: Path
) -> None:
    file = write(tmp_path / f"a{suffix}", **columns)
    if suffix == ".csv" and told == "":  # there a class may be called 0.5
        assert "0.5" in read_prediction_file(file).classes
        return
    with pytest.raises(DataError) as error:
        read_prediction_file(file)
    assert str(error.value).startswith(str(file))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_arrays_of_other_lengths_and_python_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="as many of each expected, found label 10, probabilities 50"):
        read_prediction_file(write(tmp_path / "a.npz", label=LABELS[:10], probabilities=PROBABILITIES))
    with pytest.raises(DataError, match="Python objects"):
        read_prediction_file(write(tmp_path / "b.npz", label=np.array([{}] * N, dtype=object), predicted=LABELS))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_more_rows_than_are_read_are_refused_before_they_take_memory(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = np.zeros(10_000_001, dtype=np.int8)
    file = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        file.write_bytes(b"label,predicted\n" + b"0,0\n" * len(many))
    elif suffix == ".npz":
        np.savez_compressed(file, label=many, predicted=many)
    else:
        pl.DataFrame({"label": many, "predicted": many}).write_parquet(file)

    # The values of no column are looked at, whatever the file claims.
    monkeypatch.setattr(prediction_file, "_classes_in", lambda *_: pytest.fail("looked at the values"))
    with pytest.raises(DataError, match=r"1,000,000 rows expected, 10,000,001 found|claims|expected"):
        read_prediction_file(file)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_one_message_or_predictions(suffix: str, tmp_path: Path) -> None:
    whole = write(
        tmp_path / f"whole{suffix}", label=LABELS, predicted=LABELS, probabilities=PROBABILITIES, id=np.arange(N)
    ).read_bytes()
    rng = random.Random(0)
    refused = 0
    for number in range(150):
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(mutations.damaged(whole, rng))
        told = ""
        try:
            read_prediction_file(file)
        except FittingRoomError as error:
            told = str(error)
        refused += bool(told)
        assert len(told) < 2_000
        assert "\n" not in told
    assert refused > 50


def test_what_is_no_file_of_predictions_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.parquet, \.csv, \.npz expected, \.txt found"):
        read_prediction_file(tmp_path / "a.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="can't be read"):
        read_prediction_file(tmp_path / "folder.csv")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("label.npy", b"\x93NUMPY")
    with pytest.raises(DataError, match="npz"):
        read_prediction_file(tmp_path / "a.npz")
