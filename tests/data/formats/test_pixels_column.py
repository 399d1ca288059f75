"""FER2013's layout: all pixels of an image in one cell, blanks between them."""

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.formats.table import read_blocks
from fittingroom.errors import DataError

FACES = np.random.default_rng(0).integers(0, 256, (9, 48, 48), dtype=np.uint8)
EMOTIONS = [0, 3, 6, 1, 2, 4, 5, 3, 0]
USAGE = ["Training"] * 5 + ["PublicTest"] * 2 + ["PrivateTest"] * 2


def rows(images: NDArray[np.uint8] = FACES, blank: str = " ") -> list[str]:
    return [blank.join(map(str, image.ravel().tolist())) for image in images]


def fer(path: Path, header: str = "emotion,pixels,Usage", end: str = "\n") -> Path:
    lines = [header, *(f"{label},{pixels},{part}" for label, pixels, part in zip(EMOTIONS, rows(), USAGE, strict=True))]
    path.write_text("".join(line + end for line in lines))
    return path


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, pixels, Usage", "Emotion,Pixels,usage"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fer2013_has_three_parts_and_its_classes(tmp_path: Path, header: str, end: str) -> None:
    data = fr.open_dataset(fer(tmp_path / "fer2013.csv", header, end))
    assert data.validation is not None
    assert data.test is not None
    for part, chosen in ((data.train, slice(0, 5)), (data.validation, slice(5, 7)), (data.test, slice(7, 9))):
        np.testing.assert_array_equal(part.images, FACES[chosen])
        np.testing.assert_array_equal(part.labels, EMOTIONS[chosen])
    assert data.train.classes == ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")


def test_files_for_each_part_gzip_and_other_blanks(tmp_path: Path) -> None:
    """The challenge's own train.csv and test.csv, the latter without labels."""
    train = [
        "emotion,pixels",
        *(f'{label},"{pixels}"' for label, pixels in zip(EMOTIONS, rows(blank="  "), strict=True)),
    ]
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress("\n".join(train).encode()))
    (tmp_path / "test.csv").write_text("pixels\n" + "\n".join(rows(FACES[:2])) + "\n")
    data = fr.open_dataset(tmp_path)
    np.testing.assert_array_equal(data.train.images, FACES)
    assert data.train.classes[3] == "Happy"
    assert data.test is not None
    assert data.test.labels is None
    np.testing.assert_array_equal(data.test.images, FACES[:2])


def test_labels_of_other_sets_are_numbers_or_names(tmp_path: Path) -> None:
    small = FACES[:4, :10, :10]
    for labels, classes in ((["0", "1", "0", "1"], ("0", "1")), (["wink", "grin", "wink", "grin"], ("grin", "wink"))):
        lines = [f"{pixels},{label}" for pixels, label in zip(rows(small), labels, strict=True)]
        (tmp_path / "a.csv").write_text("pixels,label\n" + "\n".join(lines))
        train = fr.open_dataset(tmp_path / "a.csv").train
        np.testing.assert_array_equal(train.images, small)
        assert train.classes == classes


def test_blocks_are_the_whole_in_order(tmp_path: Path) -> None:
    blocks = list(read_blocks(fer(tmp_path / "fer2013.csv"), 4))
    assert [len(block) for block in blocks] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), FACES)


def test_data_info_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(fer(tmp_path / "fer2013.csv"))]) == 0
    printed = capsys.readouterr().out
    for words in ("48×48", "Surprise", "validation", "test"):
        assert words in printed


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,1 2 3,Training", "row 3, column pixels: 4 pixels expected as in the first row, 3 found"),
        ("0,1 2 3 4 5,Training", "row 3, column pixels: 4 pixels expected as in the first row, 5 found"),
        ("0,1 2 3 256,Training", "row 3, column pixels: whole numbers 0–255 with blanks between them expected"),
        ("0,1 2 3 -4,Training", "row 3, column pixels: whole numbers 0–255 with blanks between them expected"),
        ("0,1 2 3 4.5,Training", "row 3, column pixels: whole numbers 0–255"),
        ("0,,Training", "row 3, column pixels: whole numbers 0–255"),
        ("0,1 2 3 x,Training", "row 3, column pixels: whole numbers 0–255"),
        ("0,1 2 3 4", "row 3: 3 cells expected, 2 found"),
        ("0,1 2 3 4,Holdout", "column Usage: row 3: train, validation or test expected, 'Holdout' found"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(f"emotion,pixels,Usage\n0,1 2 3 4,Training\n{row}\n1,4 3 2 1,Training\n")
    with pytest.raises(DataError, match=f"a.csv: {message}"):
        fr.open_dataset(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"emotion,pixels,Usage\n", "a row for each image expected, no rows found"),
        (b"emotion,pixels\n0,1 2 3\n", "row 2, column pixels: a square image .* expected, 3 pixels found"),
        (b"emotion,pixels\n0," + b"1 " * 257**2 + b"\n", "a square image of at most 256 pixels a side expected"),
        (b"emotion,pixels\n0,1 2 3 \xff\n", "text in UTF-8 expected"),
        (b"emotion,pixels\n0," + b"1 " * (1 << 20) + b"\n", "far longer ones found"),
    ],
)
def test_what_is_no_table_of_images_is_refused_quickly(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(DataError, match=message):
        fr.open_dataset(tmp_path / "a.csv")
    assert time.perf_counter() - start < 5
