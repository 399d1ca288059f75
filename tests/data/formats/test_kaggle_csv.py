import csv
import gzip
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.kaggle_csv import _LABEL, _PIXEL, csv_blocks, read_kaggle_csv, write_kaggle_csv
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

HEADER = "label,pixel1,pixel2,pixel3,pixel4"
ROWS = ["2,0,1,2,3", "0,252,253,254,255", "1,9,8,7,6"]
EXPECTED = Dataset(
    np.array([[0, 1, 2, 3], [252, 253, 254, 255], [9, 8, 7, 6]], np.uint8).reshape(3, 2, 2),
    np.array([2, 0, 1]),
    ("0", "1", "2"),
    "expected",
)
KAGGLE_ROWS = Path(__file__).resolve().parents[4] / "shared" / "kaggle_rows.csv"  # beside the checkout


def text(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


@pytest.mark.parametrize(
    "content",
    [
        text(HEADER, *ROWS),
        text(HEADER, *ROWS).rstrip(b"\n"),
        text(HEADER, *ROWS, end="\r\n"),
        b"\xef\xbb\xbf" + text(HEADER, *ROWS),
        b"\xef\xbb\xbf" + text(*ROWS),
        text(*ROWS),
        text(HEADER, ROWS[0], "", *ROWS[1:], "", ""),
        text(HEADER, ROWS[0], "", *ROWS[1:], "", "", end="\r\n"),
        text("label,pixel0,pixel1,pixel2,pixel3", *ROWS),
        text("label,1x1,1x2,2x1,2x2", *ROWS),
        text("label,0,1,2,3", *ROWS),
        text('"label","pixel1","pixel2","pixel3","pixel4"', *ROWS),
        text("pixel1,pixel2,Label,pixel3,pixel4", "0,1,2,2,3", "252,253,0,254,255", "9,8,1,7,6"),
        text("pixel1,pixel2,pixel3,pixel4,class", "0,1,2,3,2", "252,253,254,255,0", "9,8,7,6,1"),
        gzip.compress(text(HEADER, *ROWS), mtime=0),
        text(HEADER, *ROWS).replace(b",", b"\t"),
        text(*ROWS).replace(b",", b"\t"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "[a]*.csv"])
def test_every_variant_gives_the_same(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    data = read_kaggle_csv(tmp_path / name)
    assert_same(data.train, EXPECTED)
    assert data.train.images.dtype == np.uint8
    assert data.test is None


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("," + HEADER, "7,{}", "the one without a name"),
        ("Unnamed: 0," + HEADER, "1000,{}", "'Unnamed: 0'"),
        ("id," + HEADER, "img_7.png,{}", "'id'"),
        ("ImageId," + HEADER, '"a, b",{}', "'ImageId'"),
        (HEADER + ",index", "{},-1", "'index'"),
        (HEADER + ",", "{},", "the one without a name"),
        ("id," + HEADER.replace("label", "sort"), "7,{}", "'id'"),
    ],
)
def test_a_column_that_counts_the_rows_is_left_out_and_that_is_said(
    tmp_path: Path, header: str, row: str, name: str
) -> None:
    (tmp_path / "a.csv").write_bytes(text(header, *(row.format(cells) for cells in ROWS)))
    data = read_kaggle_csv(tmp_path / "a.csv")
    assert_same(data.train, EXPECTED)
    assert data.notes == (f"a.csv: a column is left out, as by its name it is neither label nor pixels: {name}",)
    np.testing.assert_array_equal(np.concatenate(list(csv_blocks(tmp_path / "a.csv", 2))), EXPECTED.images)


def test_an_index_beside_pixels_without_labels_is_no_label(tmp_path: Path) -> None:
    """Kannada-MNIST's test.csv has `id,pixel0,…`."""
    (tmp_path / "a.csv").write_bytes(text("id," + HEADER[6:], "7,0,1,2,3", "8,9.0,8,7,6"))
    train = read_kaggle_csv(tmp_path / "a.csv").train
    assert train.labels is None
    assert train.images.reshape(2, 4).tolist() == [[0, 1, 2, 3], [9, 8, 7, 6]]


@pytest.mark.parametrize("header", [True, False])
def test_no_label_column_means_unlabelled(tmp_path: Path, header: bool) -> None:
    lines = [line.partition(",")[2] for line in [HEADER, *ROWS][not header :]]
    (tmp_path / "a.csv").write_bytes(text(*lines))
    train = read_kaggle_csv(tmp_path / "a.csv").train
    np.testing.assert_array_equal(train.images, EXPECTED.images)
    assert train.labels is None


@pytest.mark.parametrize("names", [("fashion-mnist_train.csv", "fashion-mnist_test.csv"), ("train.csv.gz", "test.csv")])
def test_folder_with_two_files_is_train_and_test(tmp_path: Path, tiny: Splits, names: tuple[str, str]) -> None:
    assert tiny.test is not None
    write_kaggle_csv(tmp_path / names[0], tiny.train)
    write_kaggle_csv(tmp_path / names[1], tiny.test)
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    data = read_kaggle_csv(tmp_path)
    assert_same(data.train, tiny.train)
    assert_same(data.test, tiny.test)


def test_two_train_files_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a_train.csv", "b_train.csv"):
        (tmp_path / name).write_bytes(text(HEADER, *ROWS))
    with pytest.raises(DataError, match=r"one train file expected, a_train.csv and b_train.csv found"):
        read_kaggle_csv(tmp_path)


def test_file_whose_name_says_test_is_the_only_part(tmp_path: Path) -> None:
    (tmp_path / "fashion-mnist_test.csv").write_bytes(text(HEADER, *ROWS))
    data = read_kaggle_csv(tmp_path / "fashion-mnist_test.csv")
    assert data.train.name == "fashion-mnist_test.csv test"
    assert data.test is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,1,2,3", "row 3: 5 cells expected, 4 found"),
        ("0,1,2,3,4,5", "row 3: 5 cells expected, 6 found"),
        ("0", "row 3: 5 cells expected, 1 found"),
        ("0,1,,3,4", "row 3, column pixel2: a whole number 0–255 expected, an empty cell found"),
        ("0,1,2,3,", "row 3, column pixel4: a whole number 0–255 expected, an empty cell found"),
        (",1,2,3,4", "row 3, column label: a whole number 0–999 expected, an empty cell found"),
        (",,,,", "row 3, column label: a whole number 0–999 expected, an empty cell found"),
        ("  ", "row 3, column label: .* an empty cell found"),
        ("0,1,-2,3,4", "row 3, column pixel2: a whole number 0–255 expected, '-2' found"),
        ("0,1,256,3,4", "row 3, column pixel2: a whole number 0–255 expected, '256' found"),
        ("0,1,2.5,3,4", "row 3, column pixel2: a whole number 0–255 expected, '2.5' found"),
        ("0,1,2.01,3,4", "row 3, column pixel2: a whole number 0–255 expected, '2.01' found"),
        ("0,1,256.0,3,4", "row 3, column pixel2: a whole number 0–255 expected, '256.0' found"),
        ("0.5,1,2,3,4", "row 3, column label: a whole number 0–999 expected, '0.5' found"),
        ('0,1,"2",3,4', "row 3, column pixel2: a whole number 0–255 expected, '\"2\"' found"),
        ('0,1,"2,3",4', "row 3, column pixel2: a whole number 0–255 expected, '\"2' found"),
        ("0,1,NaN,3,4", "row 3, column pixel2: a whole number 0–255 expected, 'NaN' found"),
        ("0,1,2\0,3,4", "row 3, column pixel2: a whole number 0–255 expected, '2\\\\x00' found"),
        ("0,1,é,3,4", "row 3, column pixel2: a whole number 0–255 expected, 'é' found"),
        (
            "bag,1,2,3,4",
            "row 3, column label: a whole number 0–999 expected, 'bag' found: the other labels are numbers; write",
        ),
        ("-1,1,2,3,4", "row 3, column label: a whole number 0–999 expected, '-1' found"),
        ("99999,1,2,3,4", "row 3, column label: a whole number 0–999 expected, '99999' found"),
        ("0;1;2;3;4", "row 3, column label: a whole number 0–999 expected, '0;1;2;3;4' found"),
        ("0," + "9" * 100 + ",2,3,4", "row 3, column pixel1: a whole number 0–255 expected, '9{20}…' found"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "windows", "gzip", "without header", "last row"])
def test_bad_cell_is_named_by_row_and_column(tmp_path: Path, row: str, message: str, kind: str) -> None:
    lines = [HEADER, ROWS[0], row, *ROWS[1:]]
    if kind == "without header":
        lines[0] = ROWS[0]
    if kind == "last row":
        lines = lines[:3]
    content = text(*lines, end="\r\n" if kind == "windows" else "\n")
    (tmp_path / "a.csv").write_bytes(gzip.compress(content) if kind == "gzip" else content)

    with pytest.raises(DataError, match=f"a.csv: {message}"):
        read_kaggle_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("kind", ["plain", "windows", "gzip", "without header"])
def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path, kind: str) -> None:
    lines = [HEADER, *ROWS][kind == "without header" :]
    with_points = [line if line == HEADER else line.replace(",", ".0,") + "." for line in lines]
    for name, rows in {"whole.csv": lines, "points.csv": with_points}.items():
        content = text(*rows, end="\r\n" if kind == "windows" else "\n")
        (tmp_path / name).write_bytes(gzip.compress(content) if kind == "gzip" else content)
    whole, points = (read_kaggle_csv(tmp_path / name).train for name in ("whole.csv", "points.csv"))

    assert whole.labels is not None
    assert points.labels is not None
    assert np.array_equal(points.images, whole.images)
    assert np.array_equal(points.labels, whole.labels)


NAMED = ["bag,0,1,2,3", "cap 10,252,253,254,255", "cap 9,9,8,7,6"]
EXPECTED_NAMED = Dataset(EXPECTED.images, np.array([0, 2, 1]), ("bag", "cap 9", "cap 10"), "expected")


@pytest.mark.parametrize(
    "content",
    [
        text(HEADER, *NAMED),
        text(HEADER, *NAMED, end="\r\n"),
        text(*NAMED),
        text(HEADER, '"bag",0,1,2,3', '"cap 10",252,253,254,255', " cap 9 ,9,8,7,6"),
        text(
            "pixel1,pixel2,pixel3,pixel4,kind", *(f"{row.partition(',')[2]},{row.partition(',')[0]}" for row in NAMED)
        ),
        text(*(f"{row.partition(',')[2]},{row.partition(',')[0]}" for row in NAMED)),
        text("kind," + HEADER[6:], *NAMED),
        gzip.compress(text(HEADER, *NAMED), mtime=0),
    ],
)
def test_labels_may_be_the_names_of_the_classes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert_same(read_kaggle_csv(tmp_path / "a.csv").train, EXPECTED_NAMED)
    np.testing.assert_array_equal(np.concatenate(list(csv_blocks(tmp_path / "a.csv", 2))), EXPECTED.images)


def test_a_name_may_hold_commas_in_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text(HEADER, '"bag, ""red""",0,1,2,3', *NAMED[1:]))
    assert read_kaggle_csv(tmp_path / "a.csv").train.classes == ('bag, "red"', "cap 9", "cap 10")

    (tmp_path / "a.csv").write_bytes(text(HEADER, '"bag, red",0,1,2,3', '"a, b",1,2,256,3'))
    with pytest.raises(DataError, match="row 3, column pixel3: a whole number 0–255 expected, '256' found"):
        read_kaggle_csv(tmp_path / "a.csv")


def test_digits_and_letters_are_names(tmp_path: Path) -> None:
    """As in sets of handwriting, where most rows at the start may be digits."""
    rows = [f"{label},0,1,2,3" for label in [*"0123456789" * 3, *"abcdef"]]
    (tmp_path / "a.csv").write_bytes(text(HEADER, *rows))
    train = read_kaggle_csv(tmp_path / "a.csv").train
    assert train.classes == tuple("0123456789abcdef")
    assert train.labels is not None
    assert train.labels[-2:].tolist() == [14, 15]


def test_names_count_by_those_of_train_or_of_classes_txt(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(text(HEADER, *NAMED))
    (tmp_path / "test.csv").write_bytes(text(HEADER, NAMED[2]))
    data = read_kaggle_csv(tmp_path)
    assert_same(data.test, EXPECTED_NAMED.subset([2]))

    (tmp_path / "classes.txt").write_text("cap 9\nhat\nbag\ncap 10\n")
    assert_same(read_kaggle_csv(tmp_path).train, EXPECTED_NAMED.aligned_to(("cap 9", "hat", "bag", "cap 10")))
    (tmp_path / "test.csv").write_bytes(text(HEADER, "shoe,1,2,3,4"))
    with pytest.raises(DataError, match=r"classes of train expected in test .*, 'shoe' found"):
        read_kaggle_csv(tmp_path)


@pytest.mark.parametrize(
    "name", ["class", "Target", "y", "category", "Emotion", "fine_label", "class name", "digit", "étiquette"]
)
@pytest.mark.parametrize("is_last", [True, False])
def test_the_labels_column_is_known_by_its_name_or_its_place(tmp_path: Path, name: str, is_last: bool) -> None:
    rows = [row.split(",") for row in (f"{name},pixel1,pixel2,pixel3,pixel4", *ROWS)]
    lines = [",".join([*row[1:], row[0]] if is_last else row) for row in rows]
    (tmp_path / "a.csv").write_bytes(text(*lines))
    assert_same(read_kaggle_csv(tmp_path / "a.csv").train, EXPECTED)


def digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images = np.pad(np.round(load_digits().images * 255 / 16), ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    return images[:rows], load_digits().target[:rows]


@pytest.mark.parametrize("background", ["black", "white", "photo"])
@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("rows", [12, 300])
def test_without_a_header_the_values_tell_where_the_labels_are(
    tmp_path: Path, background: str, is_last: bool, rows: int
) -> None:
    images, labels = digits(rows)
    if background == "white":
        images = 255 - images
    if background == "photo":
        from sklearn.datasets import load_sample_images

        photo = load_sample_images().images[0][..., 1]
        places = np.random.default_rng(0).integers(0, (400, 600), (rows, 2))
        images = np.stack([photo[top : top + 10, left : left + 10] for top, left in places])

    pixels = images.reshape(rows, -1)
    table = np.hstack([pixels, labels[:, None]] if is_last else [labels[:, None], pixels])
    (tmp_path / "a.csv").write_bytes(text(*(",".join(map(str, row)) for row in table.tolist())))
    data = read_kaggle_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.train.images, images)
    np.testing.assert_array_equal(data.train.labels, labels)
    assert data.notes == ("a.csv has no header; by its values, the labels are those of the last column",) * is_last
    np.testing.assert_array_equal(np.concatenate(list(csv_blocks(tmp_path / "a.csv", 100))), images)


@pytest.mark.parametrize("rows", [["0,0,0,0,0"] * 3, ["0,0,9,0,0", "1,1,9,1,1"], ["3,3,9,3,3"]])
def test_without_a_header_and_without_a_sign_it_is_refused(tmp_path: Path, rows: list[str]) -> None:
    (tmp_path / "a.csv").write_bytes(text(*rows))
    with pytest.raises(DataError, match=r"the values don't tell .* put label,pixel1,pixel2,… or pixel1,pixel2,…,label"):
        read_kaggle_csv(tmp_path / "a.csv")


def test_a_label_above_255_is_no_pixel(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text("9,9,9,9,300", "9,9,9,9,2"))
    train = read_kaggle_csv(tmp_path / "a.csv").train
    assert train.labels is not None
    assert train.labels.tolist() == [300, 2]


def test_colour_is_not_written(tmp_path: Path) -> None:
    colour = Dataset(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a", "b"), "x")
    with pytest.raises(DataError, match="a CSV holds grey images, colour found: convert to npz or parquet"):
        write_kaggle_csv(tmp_path / "a.csv", colour)


def test_a_header_that_counts_the_columns_is_no_image(tmp_path: Path) -> None:
    pixels = [f"{n}.0" for n in range(16)]
    (tmp_path / "a.csv").write_bytes(text(",".join(map(str, range(16))), ",".join(pixels)))
    train = read_kaggle_csv(tmp_path / "a.csv").train
    assert train.labels is None
    assert train.images.tolist() == [np.arange(16).reshape(4, 4).tolist()]

    (tmp_path / "a.csv").write_bytes(text(",".join(map(str, range(17))), ",".join(["3.0", *pixels])))
    with pytest.raises(DataError, match="17 pixel columns and no column called label found"):
        read_kaggle_csv(tmp_path / "a.csv")


def test_label_of_four_digits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text(HEADER, *ROWS, "1000,1,2,3,4"))
    with pytest.raises(DataError, match="labels 0 to 999 expected, 1000 found at image 3"):
        read_kaggle_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file found"),
        (b"\n" + text(HEADER), "an empty line found"),
        (text(HEADER), "no rows found"),
        (text(HEADER, "", *ROWS), "row 2, column label: a whole number 0–999 expected, an empty cell found"),
        (text("label,pixel1,pixel2,pixel3", "1,2,3,4"), "784 pixels for 28×28, 3 pixel columns beside the label"),
        (text("1,2,3", "1,2,3"), "784 pixels for 28×28, 2 pixel columns beside one of labels found"),
        (text("label|pixel1|pixel2", "1|2|3"), "row 1: commas between the cells expected, '|' found: save"),
        (text("label;pixel1;pixel2", "1;2;3"), "row 1: commas between the cells expected, ';' found: save"),
        (text("label", "1"), "0 pixel columns beside the label"),
        (text("label,pixel1,pixel3,pixel2,pixel4", *ROWS), "row 1, column 3: pixel2 expected, 'pixel3' found"),
        (text("label,pixel1,pixel2,pixel4,pixel5", *ROWS), "row 1, column 4: pixel3 expected, 'pixel4' found"),
        (text("age," + HEADER, *("7," + row for row in ROWS)), "row 1: .* other columns found: 'age'; remove"),
        (text("id," + HEADER, *("7," + row for row in ROWS[:1]), "8,2,0,1,x,3"), "row 3, column pixel3: .* 'x' found"),
        (text(HEADER, ROWS[0], "1,9,x,7,6").replace(b",", b"\t"), "row 3, column pixel2: .* 'x' found"),
        (text(HEADER, "a,0,0,0,0", "b,0,x,7,6").replace(b",", b"\t"), "row 3, column pixel2: .* 'x' found"),
        (text("a,pixel1,pixel2,b,pixel3,pixel4", *ROWS), "other columns found: 'a', 'b'; a label is called"),
        (text("pixel1,pixel2,kind,pixel3,pixel4", *ROWS), "other columns found: 'kind'; a label is called"),
        (text("0.0,0.5,0.25,1.0,0.0", *ROWS), "row 1, column pixel1: .* '0.5' found: where white is 1, multiply all"),
        (text("label,pixel1,pixel2,pixel3,pixel3", *ROWS), "row 1: .* 'pixel3' found 2 times"),
        (text("label," + ",".join(f"pixel{n}" for n in range(257**2)), "1"), "at most 256 pixels a side expected, 257"),
        (text(HEADER, *ROWS).decode().encode("utf-16"), "text in UTF-8 expected, other bytes found in row 1"),
        (text(HEADER, *ROWS).decode().encode("utf-16-le"), "text in UTF-8 expected, NUL bytes found in row 1"),
        (text("étiquette,pixel1", *ROWS).decode().encode("latin-1"), "text in UTF-8 expected, other bytes found"),
        (b"\0" * 1000, "NUL bytes found in row 1"),
        (text(HEADER, *ROWS).replace(b"\n", b"\r"), "line ends of Unix or Windows expected, those of old Macs found"),
        (
            text(HEADER, *("Käse" + row[1:] for row in ROWS)).decode().encode("latin-1"),
            "row 2: text in UTF-8 expected, other bytes found: save it as UTF-8",
        ),
        (
            text(HEADER, *("shoe" + row[1:] for row in ROWS)),
            "'shoe' alone found; .* a file classes.txt beside it names",
        ),
        (text("name,breed", "a,b"), "or one of paths, called file, .*; found name, breed"),
        (text(HEADER.replace(",", " "), *(row.replace(",", " ") for row in ROWS)), "row 1: commas .*, ' ' found: save"),
        (text(*(row.replace(",", " ") for row in ROWS)), "row 1: commas between the cells expected, ' ' found"),
        (
            text("label," + ",".join(f"pixel{n}" for n in range(12)), "1" + ",7" * 12),
            "12 pixel columns .*; these may be 2×2 in colour",
        ),
        (b"1," * (1 << 20), "a line of less than 1,048,576 bytes expected, row 1 is longer"),
        (gzip.compress(text(HEADER, *ROWS), mtime=0)[:-12], "whole gzip data expected, damaged found"),
        (gzip.compress(text(HEADER, *ROWS), mtime=0)[:20], "whole gzip data expected, damaged found"),
        (b"<!doctype html><html></html>", "a web page found"),
    ],
)
def test_what_is_no_csv_of_images_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_kaggle_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(text(HEADER), mtime=0) + gzip.compress(b"0,0,0,0,0\n" * (1 << 22), mtime=0) * 3,
        gzip.compress(text(HEADER), mtime=0) + gzip.compress(b"\0" * (64 << 20), mtime=0) * 8,
        text(HEADER, ROWS[0]) + b"7" * (32 << 20) + text("", ROWS[0]),
        text(HEADER, ROWS[0]) + b"7," * (16 << 20) + text("", ROWS[0]),
    ],
    ids=["bomb of good rows", "bomb of zeros", "one huge cell", "one huge row"],
)
def test_hostile_file_is_refused_quickly_without_taking_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(DataError):
        read_kaggle_csv(tmp_path / "a.csv")

    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 100 << 20


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv"])
def test_written_file_reads_back_the_same(tmp_path: Path, tiny: Splits, name: str) -> None:
    write_kaggle_csv(tmp_path / name, tiny.train)
    if name == "a.tsv":
        assert (tmp_path / name).read_text().startswith("label\tpixel1\t")
    assert_same(read_kaggle_csv(tmp_path / name).train, tiny.train)
    unlabelled = Dataset(tiny.train.images, None, (), "x")
    write_kaggle_csv(tmp_path / name, unlabelled)
    assert_same(read_kaggle_csv(tmp_path / name).train, unlabelled)


def test_images_that_are_not_square_have_no_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="square images, 2×3 found"):
        write_kaggle_csv(tmp_path / "a.csv", Dataset(np.zeros((1, 2, 3), np.uint8), None, (), "x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not KAGGLE_ROWS.exists(), reason="the notebook's rows are not here")
def test_rows_that_the_notebook_prints_are_read_as_it_shows_them(tmp_path: Path) -> None:
    with KAGGLE_ROWS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"] == "fashion-mnist_train.csv"]
    names = [f"pixel{number}" for number in range(1, 785)]
    lines = [",".join([row["label"], *(row.get(name) or "0" for name in names)]) for row in rows]
    (tmp_path / "fashion-mnist_train.csv").write_bytes(text(",".join(["label", *names]), *lines))
    train = read_kaggle_csv(tmp_path / "fashion-mnist_train.csv").train

    assert train.labels is not None
    assert train.labels.tolist() == [2, 9, 6, 0, 3, 4, 4, 5, 4, 8]
    assert train.images[5, 0, :9].tolist() == [0, 0, 0, 5, 4, 5, 5, 3, 5]
    assert train.images[5, 27, -10:].tolist() == [7, 8, 7, 4, 3, 7, 5, 0, 0, 0]


def test_numbers_with_leading_zeros_before_a_bad_cell_are_refused_at_once(tmp_path: Path) -> None:
    rows = ["label," + ",".join(f"pixel{i}" for i in range(784)), "007," + ",".join(["007"] * 783 + ["x"])]
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")

    # Were a cell to match in two ways, this would take 2⁷⁸³ steps.
    with pytest.raises(DataError, match="row 2, column pixel783: a whole number 0–255 expected, 'x' found"):
        read_kaggle_csv(tmp_path)


def test_a_pixel_is_a_whole_number_0_to_255_in_any_of_the_ways_that_it_is_written_in() -> None:
    for number in (*range(300), 999, 1000, 2550):
        for text in (f"{number}", f"0{number}", f"000{number}", f" +{number}.0", f"{number}.", f"00{number}.00"):
            assert bool(re.fullmatch(_PIXEL, text.encode())) == (number <= 255)
            assert bool(re.fullmatch(_LABEL, text.encode())) == (number <= 999)
    for other in (b"", b" ", b"+", b".0", b"1.5", b"-1", b"1e2", b"0x1"):
        assert not re.fullmatch(_PIXEL, other)
        assert not re.fullmatch(_LABEL, other)


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n", "\n \n\n"])
def test_empty_lines_at_the_end_of_classes_txt_are_no_names(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.csv").write_bytes(text(HEADER, *ROWS))
    (tmp_path / "classes.txt").write_bytes(("cat\ndog\nowl" + end).encode())
    assert read_kaggle_csv(tmp_path / "a.csv").train.classes == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"cat\ndog\n", r"classes\.txt: names of the labels 0 to 2, one a line, expected, 2 found: name the others"),
        (b"cat,dog,owl", "one a line, expected, 1 found"),
        ("猫\n狗\n鸟\n".encode("gbk"), r"classes\.txt: class names, .* other bytes found: save it as UTF-8"),
    ],
)
def test_names_of_classes_that_do_not_fit_are_refused_by_their_file(tmp_path: Path, names: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(text(HEADER, *ROWS))
    (tmp_path / "classes.txt").write_bytes(names)
    with pytest.raises(DataError, match=message):
        read_kaggle_csv(tmp_path / "a.csv")


def test_a_class_that_is_called_as_nothing_is_pointed_out(tmp_path: Path) -> None:
    """What ``str`` makes of a missing label of pandas."""
    (tmp_path / "a.csv").write_bytes(
        text(HEADER, *(name + row[1:] for name, row in zip(("nan", "cat", "dog"), ROWS, strict=True)))
    )
    (note,) = read_kaggle_csv(tmp_path / "a.csv").notes
    assert note.startswith("'nan' is taken for the name of a class; where it stands for no label, leave")


def test_labels_that_do_not_count_classes_are_told_how_they_may(tmp_path: Path) -> None:
    for label in ("-1", "1000000"):
        (tmp_path / "a.csv").write_bytes(text(HEADER, label + ROWS[0][1:], *ROWS))
        with pytest.raises(DataError, match=f"'{label}' found: number the classes from 0 on, or write their names"):
            read_kaggle_csv(tmp_path / "a.csv")
