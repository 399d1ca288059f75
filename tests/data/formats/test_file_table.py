"""A table of picture files, as CSV and as Parquet: real pictures, real paths, the public API and the real command."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data import Preprocessing
from fittingroom.data.formats.table import is_data_file, read_blocks
from fittingroom.errors import DataError
from tests.data.formats.test_cifar import photos

PHOTOS = photos(6)
CLASSES = ["sky", "sea", "sky", "sea", "sky", "sea"]
Write = Callable[[pl.DataFrame, str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photographs of 32×32, in folders that say nothing about their classes."""
    for number, photo in enumerate(PHOTOS):
        (tmp_path / "data" / f"day {number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(tmp_path / "data" / f"day {number % 2}" / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture(params=["csv", "csv.gz", "jsonl", "parquet"])
def write(request: pytest.FixtureRequest, folder: Path) -> Write:
    def write_table(frame: pl.DataFrame, name: str = "files") -> Path:
        path = folder / f"{name}.{request.param}"
        if request.param == "parquet":
            frame.write_parquet(path)
        elif request.param == "jsonl":
            frame.write_ndjson(path)
        elif request.param == "csv":
            frame.write_csv(path)
        else:
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        return path

    return write_table


NAMES = [f"day {number % 2}/{number}.png" for number in range(6)]
TABLE = pl.DataFrame({"file": NAMES, "label": CLASSES})


@pytest.mark.parametrize("paths", ["file", "filename", "file_name", "Path", "image", "image_path", "filepaths"])
@pytest.mark.parametrize("labels", ["label", "class", "target", "Category", "Class Name", "dx"])
def test_paths_and_labels_are_known_by_their_columns(folder: Path, paths: str, labels: str) -> None:
    frame = TABLE.rename({"file": paths, "label": labels}).with_columns(id=pl.Series(range(6)), width=pl.lit(32.5))
    frame.write_csv(folder / "a.csv")
    train = fr.open_dataset(folder / "a.csv").train
    np.testing.assert_array_equal(train.images, PHOTOS)
    assert train.classes == ("sea", "sky")
    assert train.labels is not None
    assert [train.classes[label] for label in train.labels] == CLASSES
    assert train.files == tuple(NAMES)


def test_every_kind_of_file_gives_the_same(write: Write) -> None:
    path = write(TABLE, "files")
    train = fr.open_dataset(path).train
    np.testing.assert_array_equal(train.images, PHOTOS)
    assert train.files == tuple(NAMES)
    assert fr.open_dataset(path).train.fingerprint == train.fingerprint  # from the cache


def test_a_column_says_which_part_a_row_is_of(write: Write) -> None:
    usual = ["Training", "train", "val", "TEST", "train", "valid"]
    data = fr.open_dataset(write(TABLE.with_columns(split=pl.Series(usual)), "files"))
    assert data.train.files == (NAMES[0], NAMES[1], NAMES[4])
    assert data.validation is not None
    assert data.validation.files == (NAMES[2], NAMES[5])
    assert data.test is not None
    assert data.test.files == (NAMES[3],)


def test_a_folder_may_hold_a_table_for_each_part(folder: Path, write: Write) -> None:
    write(TABLE[:4], "train")
    write(TABLE[4:], "test")
    data = fr.open_dataset(folder)
    assert data.train.files == tuple(NAMES[:4])
    assert data.test is not None
    assert data.test.files == tuple(NAMES[4:])


def test_a_table_without_a_header_has_paths_and_labels(folder: Path) -> None:
    (folder / "a.csv").write_text("".join(f"{name},{label}\n" for name, label in zip(NAMES, CLASSES, strict=True)))
    (folder / "b.csv").write_text("".join(f"{label},{name}\n" for name, label in zip(NAMES, CLASSES, strict=True)))
    one, other = (fr.open_dataset(folder / name).train for name in ("a.csv", "b.csv"))
    assert one.files == tuple(NAMES)
    assert one.fingerprint == other.fingerprint
    assert one.classes == ("sea", "sky")

    (folder / "c.csv").write_text(f"{NAMES[0]},sky,7\n")
    with pytest.raises(DataError, match=r"a first row with the names of the columns expected \(file, label, split\)"):
        fr.open_dataset(folder / "c.csv")


def test_numbers_as_labels_are_names_in_natural_order_or_count_classes_txt(folder: Path) -> None:
    TABLE.with_columns(label=pl.Series([1, 10, 2, 1, 10, 2])).write_csv(folder / "a.csv")
    assert fr.open_dataset(folder / "a.csv").train.classes == ("1", "2", "10")
    TABLE.with_columns(label=pl.Series([1.0, 0.0, 2.0, 1.0, None, 2.0])).drop_nulls().write_parquet(
        folder / "a.parquet"
    )
    assert fr.open_dataset(folder / "a.parquet").train.classes == ("0", "1", "2")

    (folder / "classes.txt").write_text("cat\nsky\nsea\n")
    TABLE.with_columns(label=pl.Series([1, 2, 1, 2, 1, 2])).write_csv(folder / "b.csv")
    train = fr.open_dataset(folder / "b.csv").train
    assert train.classes == ("cat", "sky", "sea")
    assert train.labels is not None
    assert [train.classes[label] for label in train.labels] == CLASSES


def test_no_column_of_labels_means_unlabelled_but_one_that_may_be_it_is_asked_about(write: Write) -> None:
    assert fr.open_dataset(write(TABLE.drop("label"), "files")).train.labels is None
    twice = TABLE.rename({"label": "weather"}).with_columns(place=pl.Series(["here", "there"] * 3))
    with pytest.raises(DataError, match=r"found file, weather, place: call the one .* \(it may be weather or place\)"):
        fr.open_dataset(write(twice, "files"))


def test_the_only_column_beside_the_paths_is_the_label_and_that_is_said(write: Write) -> None:
    """Kaggle's dog breeds have `id,breed`."""
    frame = TABLE.rename({"label": "weather"}).with_columns(index=pl.Series(range(6)))
    data = fr.open_dataset(write(frame, "files"))
    assert data.train.classes == ("sea", "sky")
    assert any(
        note.endswith("the labels are those of the column 'weather', the only one beside the paths")
        for note in data.notes
    )


def test_whole_numbers_with_a_point_are_whole_numbers_as_labels(write: Write) -> None:
    """What pandas makes of a column of numbers that once had an empty cell."""
    labels = pl.Series(["2.0", "10.0"] * 3)
    assert fr.open_dataset(write(TABLE.with_columns(label=labels), "files")).train.classes == ("2", "10")
    assert fr.open_dataset(write(TABLE.with_columns(label=labels + "5"), "other")).train.classes == ("2.05", "10.05")


def test_pictures_of_a_test_part_may_lack_labels(write: Write) -> None:
    frame = TABLE.with_columns(split=pl.Series(["train"] * 4 + ["test"] * 2))
    labels = pl.Series([*CLASSES[:4], None, None], dtype=pl.String)
    data = fr.open_dataset(write(frame.with_columns(label=labels), "files"))
    assert data.test is not None
    assert data.test.labels is None

    with pytest.raises(DataError, match=r"row \d: a label expected as in other rows of train, none found"):
        fr.open_dataset(write(frame.with_columns(label=labels.reverse()), "files"))


def test_paths_may_count_from_the_one_folder_beside_the_table_and_lack_a_suffix(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "other").mkdir()
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(folder / "images" / f"img{number}.jpg")
    pl.DataFrame({"image_id": [f"img{number}" for number in range(6)], "label": CLASSES}).write_csv(folder / "a.csv")
    assert fr.open_dataset(folder / "a.csv").train.files == tuple(f"images/img{number}.jpg" for number in range(6))


@pytest.mark.parametrize(
    ("column", "values", "parts"),
    [
        ("is_valid", [False, False, False, False, True, True], (4, 2, 0)),
        ("is_test", [0, 0, 0, 0, 1, 1], (4, 0, 2)),
        ("is_training_image", [1, 1, 1, 1, 0, 0], (4, 0, 2)),
        ("Is Valid", ["no", "no", "no", "no", "Yes", "yes"], (4, 2, 0)),
    ],
)
def test_a_column_of_yes_and_no_says_which_part_a_row_is_of(
    write: Write, column: str, values: list[Any], parts: tuple[int, int, int]
) -> None:
    """What fastai's tables call is_valid must never be learned from."""
    data = fr.open_dataset(write(TABLE.with_columns(pl.Series(column, values)), "files"))
    assert tuple(0 if part is None else len(part) for part in (data.train, data.validation, data.test)) == parts
    with pytest.raises(DataError, match=f"row [67], column {column}: True or False expected, 'maybe' found"):
        fr.open_dataset(write(TABLE.with_columns(pl.Series(column, [*map(str, values[:5]), "maybe"])), "other"))


def test_several_columns_of_yes_and_no_say_it_together(write: Write) -> None:
    """By the first of them alone, the test images were learned from."""
    table = TABLE.with_columns(
        is_valid=pl.Series([0, 0, 0, 0, 1, 0]), is_test=pl.Series([0, 0, 0, 0, 0, 1]), note=pl.lit("x")
    )
    for given in (table, table.with_columns(is_train=pl.Series([1, 1, 1, 1, 0, 0]))):
        data = fr.open_dataset(write(given, "files"))
        assert (len(data.train), data.validation and len(data.validation), data.test and len(data.test)) == (4, 1, 1)
    with pytest.raises(DataError, match=r"row [67]: one part expected, test and train found, by is_valid, is_test"):
        fr.open_dataset(write(table.with_columns(is_train=pl.Series([1, 1, 1, 1, 0, 1])), "other"))


def test_ids_are_names_of_files_where_no_column_is_called_so(folder: Path) -> None:
    """As competitions have it: id,label beside a folder of pictures called <id>.tif."""
    (folder / "train").mkdir()
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(folder / "train" / f"f3{number}.tif")
    pl.DataFrame({"id": [f"f3{number}" for number in range(6)], "label": CLASSES}).write_csv(folder / "labels.csv")
    assert fr.open_dataset(folder / "labels.csv").train.files == tuple(f"train/f3{number}.tif" for number in range(6))


def test_a_column_of_0_and_1_for_each_class_is_read_where_each_row_has_one(folder: Path, write: Write) -> None:
    one_hot = [pl.col("label").eq(name).cast(pl.Float64).alias(name) for name in ("sky", "sea")]
    data = fr.open_dataset(write(TABLE.select("file", *one_hot), "files"))
    assert data.train.labels is not None
    assert [data.train.classes[label] for label in data.train.labels.tolist()] == CLASSES
    assert any("the labels are the names of the columns that are 1" in note for note in data.notes)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_what_spreadsheets_write_where_a_comma_is_for_decimals_is_read(folder: Path, mark: str) -> None:
    """As German traffic signs have it, too: ``Filename;Width;…;ClassId``, with the pictures beside the table."""
    table = TABLE.select(Filename="file", Width=pl.lit("32,5"), ClassId="label", group=pl.Series([1, 1, 2, 2, 3, 3]))
    (folder / "labels.csv").write_text("\ufeff" + table.write_csv(separator=mark, line_terminator="\r\n"))
    data = fr.open_dataset(folder / "labels.csv", group="group")
    np.testing.assert_array_equal(data.train.images, PHOTOS)
    assert data.train.labels is not None
    assert [data.train.classes[label] for label in data.train.labels.tolist()] == CLASSES
    assert data.train.groups == ("1", "1", "2", "2", "3", "3")


def test_empty_lines_below_a_table_are_no_rows(folder: Path) -> None:
    (folder / "a.csv").write_text(TABLE.write_csv() + "\n,\n\n")
    assert len(fr.open_dataset(folder / "a.csv").train) == 6
    (folder / "a.csv").write_text("file,label\n,\n\n")
    with pytest.raises(DataError, match="a row for each picture expected, no rows found"):
        fr.open_dataset(folder / "a.csv")


def test_absolute_paths_below_a_table_that_is_named_relatively_are_not_called_outside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TABLE.with_columns(file=pl.format("{}/{}", pl.lit(str(folder)), "file")).write_csv(folder / "a.csv")
    monkeypatch.chdir(folder)
    data = fr.open_dataset("a.csv")
    assert data.train.files == tuple(NAMES)
    assert data.notes == ()


def test_windows_paths_are_understood(folder: Path) -> None:
    TABLE.with_columns(pl.col("file").str.replace_all("/", "\\", literal=True)).write_csv(folder / "a.csv")
    assert fr.open_dataset(folder / "a.csv").train.files == tuple(NAMES)


def test_absolute_paths_and_those_that_lead_out_are_read_and_said(folder: Path, tmp_path: Path) -> None:
    """As `data split` writes them into a folder of its own; reports name them from the table's folder."""
    (tmp_path / "split").mkdir()
    for file in (pl.format("../data/{}", "file"), pl.format("{}/{}", pl.lit(str(folder)), "file")):
        TABLE.with_columns(file=file).write_csv(tmp_path / "split" / "files.csv")
        data = fr.open_dataset(tmp_path / "split" / "files.csv")
        np.testing.assert_array_equal(data.train.images, PHOTOS)
        assert data.train.files == tuple(f"../data/{name}" for name in NAMES)
        assert data.notes == (f"6 pictures lie outside of the table's folder, the first is ../data/{NAMES[0]}",)


def test_what_data_split_writes_reads_back(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TABLE.write_csv(folder / "all.csv")
    assert main(["data", "split", str(folder / "all.csv"), "--test", "34%", "--out", str(tmp_path / "split")]) == 0
    assert main(["data", "info", str(tmp_path / "split")]) == 0
    printed = capsys.readouterr().out
    assert "sea" in printed
    data = fr.open_dataset(tmp_path / "split")
    assert data.test is not None
    assert sorted(data.train.image_hashes() + data.test.image_hashes()) == sorted(
        fr.open_dataset(folder / "all.csv").train.image_hashes()
    )


def test_all_missing_and_broken_pictures_are_listed_in_one_error(folder: Path, write: Write) -> None:
    (folder / NAMES[1]).unlink()
    (folder / NAMES[3]).unlink()
    (folder / NAMES[3]).mkdir()
    first = 1 if write(TABLE, "files").suffix in (".parquet", ".jsonl") else 2
    with pytest.raises(
        DataError,
        match=rf"(?s)2 of 6 pictures are missing .*row {first + 1}: .*1.png: no such file\n.*row {first + 3}: .*some",
    ):
        fr.open_dataset(write(TABLE, "files"))

    (folder / NAMES[4]).write_bytes(b"no picture")
    (folder / NAMES[5]).write_bytes((folder / NAMES[5]).read_bytes()[:100])
    (folder / NAMES[3]).rmdir()
    for name in (NAMES[1], NAMES[3]):
        Image.fromarray(PHOTOS[0]).save(folder / name)
    with pytest.raises(DataError, match=rf"(?s)2 of 6 pictures can't be read .*row {first + 4}: .*row {first + 5}: "):
        fr.open_dataset(write(TABLE, "files"))


def test_missing_and_broken_pictures_are_left_out_where_it_is_asked_for(folder: Path, write: Write) -> None:
    (folder / NAMES[1]).unlink()
    (folder / NAMES[4]).write_bytes(b"no picture")
    doubled = pl.concat([TABLE, TABLE[4:5], TABLE[:1]])
    data = fr.open_dataset(write(doubled, "files"), skip_broken=True)
    assert data.train.files == (NAMES[0], NAMES[2], NAMES[3], NAMES[5], NAMES[0])
    np.testing.assert_array_equal(data.train.images, PHOTOS[[0, 2, 3, 5, 0]])
    assert any("left out, as they can't be read" in note and "1.png" in note for note in data.notes)


def test_a_name_in_another_form_of_unicode_is_told_as_such(folder: Path) -> None:
    for name in ("e\u0301 0.png", "e\u0301 1.png"):  # as macOS packs them
        (folder / name).write_bytes((folder / NAMES[0]).read_bytes())
    (folder / "a.csv").write_text("file,label\n\u00e9 0.png,a\n\u00e9 1.png,b\n", "utf-8")
    with pytest.raises(DataError, match=r"0\.png is there, whose accents are written otherwise .*: rename the files"):
        fr.open_dataset(folder / "a.csv")


def test_a_row_with_more_cells_than_columns_is_named(folder: Path) -> None:
    (folder / "a.csv").write_text(f"file,label\n{NAMES[0]},a\n{NAMES[1]},b,\n")
    with pytest.raises(DataError, match=r"2 cells in every row expected, 3 found in row 3: put a cell .* in quotes"):
        fr.open_dataset(folder / "a.csv")


def test_a_label_that_lacks_is_told_by_its_own_row_below_ones_that_were_left_out(folder: Path) -> None:
    (folder / NAMES[1]).unlink()
    TABLE.with_columns(label=pl.Series([*CLASSES[:3], None, *CLASSES[4:]])).write_csv(folder / "a.csv")
    with pytest.raises(DataError, match="row 5: a label expected as in other rows of train, none found"):
        fr.open_dataset(folder / "a.csv", skip_broken=True)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            TABLE.with_columns(file=pl.format("gone/{}", "file")),
            "none of the 6 files of the table is there; the first: ",
        ),
        (
            TABLE.with_columns(file=pl.format("DAY 0/{}", pl.col("file").str.slice(6))),
            "the first: .*DAY 0/0.png: no such file: .*day 0/0.png is there: capital letters count",
        ),
        (
            TABLE.with_columns(file=pl.format("C:\\Users\\me\\{}", "file")),
            "no such file: such a path is of one machine alone: write paths from the table's folder on",
        ),
        (
            TABLE.drop("label").with_columns(old=pl.Series([1, 0] * 3), red=pl.Series([0, 1, 1] * 2)),
            r"columns of 0 and 1 found \(old, red\) of which rows have 0 to 2 that are 1: .*; to learn one of",
        ),
        (TABLE.with_columns(file=pl.lit("https://example.org/a.png")), "a path expected, an address found"),
        (TABLE.with_columns(file=pl.Series([*NAMES[:5], None])), r"row \d, column file: a path expected, none found"),
        (TABLE[:0], "a row for each picture expected, no rows found"),
        (TABLE.with_columns(split=pl.Series(["train"] * 5 + ["extra"])), "train, validation or test expected, 'extra'"),
        (TABLE.with_columns(split=pl.Series(["test"] * 3 + ["val"] * 3)), "a train part expected, only"),
        (TABLE.with_columns(label=pl.lit("sky")), "2 to 1,000 classes expected, 1 found"),
        (TABLE.with_columns(file=pl.lit("/dev/zero")), "a file expected, something else found"),
        (TABLE.with_columns(file=pl.lit("day 0/0.png\0")), "no such file"),
    ],
)
def test_bad_tables_are_refused(write: Write, frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fr.open_dataset(write(frame, "files"), cache=False)


def test_a_table_in_latin_1_is_named_by_its_row(folder: Path) -> None:
    text = TABLE.with_columns(label=pl.Series(["sky", "mer très claire"] * 3)).write_csv()
    (folder / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv: row 3: text in UTF-8 expected, other bytes found: save it as UTF-8"):
        fr.open_dataset(folder / "a.csv")


def test_other_files_than_pictures_are_never_shown(folder: Path) -> None:
    """What a path names is read as a picture, or named as none; not a byte of it is told."""
    (folder / "secret.txt").write_text("password: hunter2")
    TABLE.with_columns(file=pl.Series([*NAMES[:5], "secret.txt"])).write_csv(folder / "a.csv")
    with pytest.raises(
        DataError, match=r"secret\.txt: a picture .* expected, damaged or other content found"
    ) as caught:
        fr.open_dataset(folder / "a.csv")
    assert "hunter2" not in str(caught.value)

    os.mkfifo(folder / "pipe.png")
    TABLE.with_columns(file=pl.Series([*NAMES[:5], "pipe.png"])).write_csv(folder / "a.csv")
    with pytest.raises(DataError, match=r"pipe\.png: a file expected, something else found"):
        fr.open_dataset(folder / "a.csv")


def test_blocks_are_what_the_model_was_trained_on(write: Write) -> None:
    path, asked = write(TABLE, "files"), Preprocessing(size=(20, 24), channels=1)
    assert is_data_file(path)
    blocks = list(read_blocks(path, 4, asked))
    assert [block.shape for block in blocks] == [(4, 20, 24), (2, 20, 24)]
    assert (np.concatenate(blocks) == fr.open_dataset(path, preprocessing=asked).train.images).all()


def test_data_info_shows_it(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(write(TABLE, "files"))]) == 0
    printed = capsys.readouterr().out
    for words in ("32×32", "sky", "sea"):
        assert words in printed


def test_a_picture_that_changes_is_read_again(folder: Path, write: Write) -> None:
    path = write(TABLE, "files")
    before = fr.open_dataset(path).train.fingerprint
    Image.fromarray(255 - PHOTOS[0]).save(folder / NAMES[0])
    assert fr.open_dataset(path).train.fingerprint != before
