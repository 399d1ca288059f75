"""What a model said is read back as it was written; what is damaged or of other classes is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fittingroom.errors import ArtifactError
from fittingroom.evaluation.predictions import JudgedPredictions, Predictions, read_predictions, write_predictions

CLASSES = ("bag", "boot", "coat")


def judged() -> JudgedPredictions:
    """Four images: two right, one wrong, one tie."""
    probabilities_NC = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]], np.float32)
    predicted_N = Predictions.of(probabilities_NC).predicted
    images = tuple(f"{i:064x}" for i in range(4))
    truth_N = np.array([0, 1, 0, 0])
    return JudgedPredictions(probabilities_NC, predicted_N, classes=CLASSES, truth=truth_N, images=images)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, judged())

    read = read_predictions(file, CLASSES)

    assert (read.classes, read.images) == (CLASSES, judged().images)
    assert read.truth.tolist() == [0, 1, 0, 0]
    assert read.probabilities.tobytes() == judged().probabilities.tobytes()
    assert read.scores() == judged().scores()


def test_the_files_of_pictures_are_kept_beside_them(tmp_path: Path) -> None:
    names = ("a/1.png", "a/2.png", "衣服/3.jpg", "b/4.png")
    file = tmp_path / "predictions.parquet"
    write_predictions(file, replace(judged(), files=names))

    assert pl.read_parquet(file)["file"].to_list() == list(names)
    assert read_predictions(file, CLASSES).files == names


def test_data_without_files_has_no_column_of_them(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, judged())
    assert pl.read_parquet(file).columns == ["image", "row", "label", "predicted", "p0", "p1", "p2"]
    assert read_predictions(file, CLASSES).files is None


def test_of_classes_that_tie_the_first_is_predicted() -> None:
    predictions = judged()
    assert predictions.predicted.tolist() == [0, 1, 2, 0]
    assert predictions.is_right.tolist() == [True, True, False, True]
    assert predictions.confidence.tolist() == pytest.approx([0.7, 0.8, 0.6, 0.4])


def test_labels_are_read_by_name_whatever_their_order(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, judged())
    assert read_predictions(file, ("coat", "boot", "bag")).truth.tolist() == [2, 1, 2, 2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [(("bag", "boot", "hat"), r"labels among the model's classes"), (("bag", "boot", "coat", "hat"), "4 classes")],
)
def test_labels_of_other_classes_are_refused(classes: tuple[str, ...], message: str, tmp_path: Path) -> None:
    predictions = judged()
    predictions.truth[0] = 2
    file = tmp_path / "predictions.parquet"
    write_predictions(file, predictions)
    with pytest.raises(ArtifactError, match=message):
        read_predictions(file, classes)


def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, judged())
    pl.read_parquet(file).write_parquet(file, metadata={"format": "2"})
    with pytest.raises(ArtifactError, match=r"predictions\.parquet: format 1 expected, '2' found"):
        read_predictions(file, CLASSES)


def test_a_part_is_said_of_some_of_the_images() -> None:
    some = Predictions.of(judged().probabilities).subset(slice(1, 3))
    assert (len(some), some.predicted.tolist(), some.energies) == (2, [1, 2], None)
