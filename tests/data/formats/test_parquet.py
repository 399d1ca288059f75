import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.formats.parquet import read_parquet, write_parquet
from fittingroom.data.preprocessing import encode_png
from fittingroom.errors import DataError
from tests.support.same import assert_same

IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)
PNG = encode_png(IMAGE)


def table(images: list[Any], **columns: Any) -> pl.DataFrame:
    """As Hugging Face lays it out."""
    structs = [None if content is None else {"bytes": content, "path": "1.png"} for content in images]
    return pl.DataFrame(
        {"image": pl.Series(structs, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String})), **columns}
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


def test_written_file_reads_back_the_same_with_class_names(file: Path, tiny: Splits) -> None:
    named = Dataset(tiny.train.images, tiny.train.labels, ("T-shirt/top", "Hose", "Stiefel – hoch"), "x")
    write_parquet(file, named)
    assert_same(read_parquet(file).train, named)


def test_unlabelled_set_makes_the_round_trip(file: Path, tiny: Splits) -> None:
    unlabelled = Dataset(tiny.train.images, None, (), "x")
    write_parquet(file, unlabelled)
    assert_same(read_parquet(file).train, unlabelled)


def test_folder_of_shards_is_train_and_test(tmp_path: Path, tiny: Splits) -> None:
    assert tiny.test is not None
    write_parquet(tmp_path / "train-00000-of-00002.parquet", tiny.train.subset(range(7)))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", tiny.train.subset(range(7, 12)))
    write_parquet(tmp_path / "test-00000-of-00001.parquet", tiny.test)
    (tmp_path / "README.md").write_text("")
    data = read_parquet(tmp_path)

    assert_same(data.train, tiny.train)
    assert_same(data.test, tiny.test)


@pytest.mark.parametrize("name", ["a.parquet", "[a]*.parquet"])
@pytest.mark.parametrize("image", ["image", "img"])
@pytest.mark.parametrize("label", ["label", "labels"])
def test_columns_of_plain_bytes_and_other_names_are_known(tmp_path: Path, name: str, image: str, label: str) -> None:
    frame = pl.DataFrame({"index": [7, 8], label: pl.Series([1, 0], dtype=pl.UInt8), image: [PNG, PNG]})
    frame.write_parquet(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / name)
    assert_same(read_parquet(tmp_path / name).train, Dataset(np.stack([IMAGE] * 2), np.array([1, 0]), ("0", "1"), "x"))


def test_labels_of_minus_one_are_none(file: Path) -> None:
    table([PNG, PNG], label=[-1, -1]).write_parquet(file)
    assert read_parquet(file).train.labels is None


@pytest.mark.parametrize(
    "metadata", ["", "[]", "not json", "{}", json.dumps({"info": {"features": {"label": {"dtype": "int64"}}}})]
)
def test_strange_metadata_leave_the_numbers(file: Path, metadata: str) -> None:
    table([PNG, PNG], label=[0, 1]).write_parquet(file, metadata={"huggingface": metadata})
    assert read_parquet(file).train.classes == ("0", "1")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table([PNG, b"junk"], label=[0, 1]), "row 2: a picture .* expected, damaged or other content found"),
        (table([PNG, PNG[:40]], label=[0, 1]), "row 2: a picture .* expected, damaged"),
        (table([PNG, None], label=[0, 1]), "row 2: a picture's bytes expected, none found"),
        (table([PNG, encode_png(IMAGE.T)], label=[0, 1]), "row 2: 2×3 pixels expected as in row 1, 3×2 found"),
        (table([PNG, PNG], label=[0, None]), "row 2, column label: a label expected, none found"),
        (table([PNG, PNG], label=["a", "b"]), "whole numbers in column label expected, String found"),
        (table([PNG, PNG], label=[0, -1]), "column label: labels 0 to 999 expected, -1 found at image 1"),
        (table([], label=pl.Series([], dtype=pl.Int64)), "a row for each image expected, no rows found"),
        (pl.DataFrame({"label": [0, 1], "pixels": [0, 1]}), "a column called image expected, found label, pixels"),
        (pl.DataFrame({"label": [0], "image": ["a.png"]}), "pictures as bytes in column image expected, String found"),
    ],
)
def test_bad_table_is_refused_with_its_row(file: Path, frame: pl.DataFrame, message: str) -> None:
    frame.write_parquet(file)
    with pytest.raises(DataError, match=rf"a\.parquet: {message}"):
        read_parquet(file)


@pytest.mark.parametrize("damage", ["empty", "other", "first half", "last half", "middle", "footer", "length"])
def test_damaged_file_is_refused(file: Path, damage: str) -> None:
    table([PNG, PNG], label=[0, 1]).write_parquet(file)
    good = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "other": b"not parquet at all",
            "first half": good[: len(good) // 2],
            "last half": good[len(good) // 2 :],
            "middle": good[:20] + b"\xff" * 60 + good[80:],
            "footer": good[:-40] + b"\xff" * 32 + good[-8:],
            "length": good[:-8] + b"\xff\xff\xff\x7fPAR1",
        }[damage]
    )

    with pytest.raises(DataError, match=r"a\.parquet: "):
        read_parquet(file)


def test_a_small_file_with_very_many_rows_is_refused_before_they_are_read(file: Path) -> None:
    pl.select(image=pl.repeat(PNG, 2_000_000), label=pl.repeat(0, 2_000_000)).write_parquet(file)
    assert file.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="claims 2,000,000 rows"):
        read_parquet(file)


def test_shards_must_fit_together(tmp_path: Path) -> None:
    table([PNG, PNG], label=[0, 1]).write_parquet(tmp_path / "train-1.parquet")
    table([encode_png(IMAGE.T)], label=[0]).write_parquet(tmp_path / "train-2.parquet")
    with pytest.raises(DataError, match=r"train-2\.parquet: images of 2×3 expected as in train-1\.parquet, 3×2 found"):
        read_parquet(tmp_path)

    table([PNG]).write_parquet(tmp_path / "train-2.parquet")
    with pytest.raises(DataError, match=r"labels in all of train-1\.parquet, train-2\.parquet expected"):
        read_parquet(tmp_path)

    (tmp_path / "train-2.parquet").rename(tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: a file named after its part"):
        read_parquet(tmp_path)
