"""What a person left out or corrected is found by file or row, and whatever is unknown is refused with a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.data.edit_lists import image_name
from fittingroom.data.edits import Edits, apply_edits, edited
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError


def small(files: bool = True) -> Splits:
    """Six images in train and two in test, of two classes; with names as a folder of pictures has them."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, 9, 9), np.uint8)
    names = [f"{'cat' if i % 2 else 'dog'}/{i}.png" for i in range(8)]
    labels = np.array([0, 1] * 4)
    all_of_it = Dataset(images, labels, ("dog", "cat"), "pets", files=tuple(names) if files else None)
    return Splits(all_of_it.subset(range(6), "pets train"), test=all_of_it.subset([6, 7], "pets test"), source="pets")


def write(text: str, encoding: str = "utf-8") -> str:
    Path("list.csv").write_bytes(text.encode(encoding))
    return "list.csv"


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pets").mkdir()


@pytest.mark.parametrize(
    "text",
    [
        "cat/1.png\ndog/4.png\n",
        "cat/1.png\r\n\r\n  dog/4.png",
        "pets/cat/1.png\npets/dog/4.png\n",
        "1\n4\n",
        "file,row\ncat/1.png,1\ndog/4.png,4\n",
        "row\n4\n1\n",
        "\n \nrow,why\n4,\n1,dark\n",
        "part;file;row\ntrain;cat/1.png;1\ntrain;dog/4.png;4\n",
        "path,why\ncat/1.png,blurred\ndog/4.png,dark\n",
    ],
)
def test_images_are_left_out_by_file_or_row_however_the_list_is_written(text: str) -> None:
    data, edits, notes = edited(small(), without=write(text))
    assert data.train.files == ("dog/0.png", "dog/2.png", "cat/3.png", "cat/5.png")
    assert edits is not None
    assert edits.removed == {"train": "1 4"}
    assert notes == ["list.csv: 2 images left out"]
    assert data.test is not None
    assert len(data.test) == 2


def test_rows_name_images_of_data_without_files() -> None:
    data, edits, _ = edited(small(files=False), without=write("5\n0\n"))
    assert len(data.train) == 4
    assert edits is not None
    assert np.array_equal(apply_edits(small(files=False), edits).train.images, data.train.images)


def test_a_list_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "list.txt").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a list of images expected, it can't be read: a regular file expected"):
        edited(fr.open_dataset("sample"), without=str(tmp_path / "list.txt"))


def test_what_is_unknown_is_refused_with_a_list_of_all_of_it() -> None:
    with pytest.raises(DataError, match=r"2 of 3 not found there: line 1: cat/8.png; line 3: 6: name files"):
        edited(small(), without=write("cat/8.png\ncat/1.png\n6\n"))
    with pytest.raises(DataError, match="1 of 1 not found there: line 1: 6: name rows, counted from 0"):
        edited(small(files=False), without=write("6\n"))
    with pytest.raises(DataError, match="a list of images expected, it can't be read: No such file"):
        edited(small(), without="nowhere.csv")
    with pytest.raises(DataError, match="at least one image expected, none is left"):
        edited(small(), without=write("0\n1\n2\n3\n4\n5\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_that_were_filled_in_are_taken_and_empty_cells_change_nothing(encoding: str) -> None:
    table = "file,row,given,corrected\ncat/1.png,1,cat,dog\ndog/2.png,2,dog,\ncat/3.png,3,cat,cat\n"
    data, edits, notes = edited(small(), labels=write(table, encoding))
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 0, 0, 1, 0, 1]
    assert edits is not None
    assert edits.relabelled == {"train": "1-0"}
    assert notes == ["list.csv: 1 label corrected"]


def test_a_corrected_image_stays_where_the_same_list_leaves_out_the_others() -> None:
    table = write("file,corrected\ncat/1.png,dog\ndog/2.png,\n")
    data, edits, _ = edited(small(), without=table, labels=table)
    assert data.train.files == ("dog/0.png", "cat/1.png", "cat/3.png", "dog/4.png", "cat/5.png")
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 0, 1, 0, 1]
    assert edits is not None
    assert edits.in_words == "1 image left out, 1 label corrected"


@pytest.mark.parametrize("text", ['row,why\n4,"dark\n1,\n', "row,why\n4," + 200_000 * "x", "row,why\r4,dark\r"])
def test_a_table_of_which_rows_would_be_lost_is_refused_in_words(text: str) -> None:
    with pytest.raises(DataError, match=r"list\.csv: a CSV or a list of images expected, found what can't be read"):
        edited(small(), without=write(text))


def test_a_class_that_the_data_lacks_is_refused_with_the_one_that_was_meant() -> None:
    table = write("file,corrected\ndog/0.png,catt\ncat/1.png,dog\ndog/2.png,bird\ncat/3.png,bird\n")
    said = r"\(dog, cat\), catt \(did you mean cat\?\) in line 2; bird in 2 lines from 4 on"
    with pytest.raises(DataError, match=said):
        edited(small(), labels=table)
    with pytest.raises(DataError, match=r"one label for cat/1\.png expected, dog and cat found"):
        edited(small(), labels=write("file,corrected\ncat/1.png,dog\ncat/1.png,cat\n"))
    with pytest.raises(DataError, match="a CSV with a column corrected, or of class names as class, expected"):
        edited(small(), labels=write("file,note\ncat/1.png,dog\n"))


def test_the_test_set_is_never_changed_and_it_is_said() -> None:
    table = write("part,file,row,corrected\ntest,dog/6.png,0,cat\ntrain,cat/1.png,1,dog\n")
    for given in ({"labels": table}, {"without": table}):
        data, _, notes = edited(small(), **given)
        assert data.test is not None
        assert data.test.labels is not None
        assert data.test.labels.tolist() == [0, 1]
        assert notes[1].startswith("list.csv: 1 of its images is of the test set, which stays as it is")


def test_an_image_that_was_replaced_since_the_list_was_made_is_refused() -> None:
    data = small()
    right = image_name(data.train, 3)
    assert edited(data, without=write(f"file,row,image\ncat/3.png,3,{right}\n"))[1] is not None
    with pytest.raises(DataError, match=r"1 of 1 are other images now: line 2: cat/1.png: check the data again"):
        edited(data, without=write(f"file,row,image\ncat/1.png,1,{right}\n"))


def test_a_record_that_does_not_fit_the_data_is_refused() -> None:
    for odd in (
        Edits(without="l", labels="", removed={"train": "6"}, relabelled={}),
        Edits(without="", labels="l", removed={}, relabelled={"train": "0-2"}),
        Edits(without="l", labels="", removed={"validation": "0"}, relabelled={}),
    ):
        with pytest.raises(DataError, match="has fewer images or classes than when l was written"):
            apply_edits(small(), odd)


def test_groups_and_files_stay_with_their_images() -> None:
    data = small()
    grouped = fr.Splits(Dataset(data.train.images, data.train.labels, data.train.classes, "g", groups=tuple("abcdef")))
    assert edited(grouped, without=write("1\n2\n"))[0].train.groups == ("a", "d", "e", "f")
