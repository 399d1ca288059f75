import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.parquet import parquet_blocks, read_parquet, write_parquet
from fittingroom.data.preprocessing import Preprocessing, encode_png
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)
STRUCT: dict[str, Any] = {"label": pl.Int64(), "image": pl.Struct({"bytes": pl.Binary, "path": pl.String})}
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
        (table([PNG, PNG], label=[0, None]), "row 2, column label: a label expected, none found"),
        (table([PNG, PNG], label=["a", None]), "row 2, column label: a label expected, none found"),
        (table([PNG, PNG], label=[0.5, 1]), "column label: whole numbers as labels expected, others found"),
        (
            table([PNG, PNG], label=[datetime(2026, 1, 1)] * 2),
            "column label: whole numbers or names expected as labels, Datetime.* found; the columns are image, label: ",
        ),
        (
            table([PNG] * 4, kind=["a", "b"] * 2, id=[1, 2, 3, 4]),
            "a column of labels expected, .* found image, kind, id: ",
        ),
        (table([PNG, PNG], label=[0, -1]), "column label: labels 0 to 999 expected, -1 found at image 1"),
        (table([], label=pl.Series([], dtype=pl.Int64)), "a row for each image expected, no rows found"),
        (pl.DataFrame({"label": [0, 1], "pixels": [0, 1]}), "a column called image expected, found label, pixels"),
        (
            pl.DataFrame({"label": [0, 1]} | {f"pixel{i}": [0, 1] for i in range(16)}),
            r"pictures in one column expected, a column for each pixel found: save the table as CSV \(with pandas",
        ),
        (
            pl.DataFrame({"label": [0, 1], "image": [[0, 1], [2, 3]]}),
            r"pictures as bytes .* List\(Int64\) found: give lists of pixels to fittingroom\.Dataset\.from_arrays",
        ),
        (
            pl.DataFrame({"label": [0], "image": [{"bytes": None, "path": "a.png"}]}, STRUCT),
            "pictures as bytes in column image expected, paths alone found: write these into a column called file",
        ),
        (pl.DataFrame({"label": [0], "image": ["a.png"]}), "row 1: .*a.png: no such file"),
        (pl.DataFrame({"label": [0], "image": [7]}), "pictures as bytes in column image expected, Int64 found"),
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
    table([PNG]).write_parquet(tmp_path / "train-2.parquet")
    with pytest.raises(DataError, match=r"labels in all of train-1\.parquet, train-2\.parquet expected"):
        read_parquet(tmp_path)

    (tmp_path / "train-2.parquet").rename(tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: a file named after its part"):
        read_parquet(tmp_path)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["label", "labels", "class", "target", "fine_label", "Category", "y"])
@pytest.mark.parametrize("labels", [[1, 0, 2], [1.0, 0.0, 2.0], ["b9", "a", "b10"]])
def test_labels_are_numbers_or_names_in_a_column_that_is_called_so(file: Path, name: str, labels: list[Any]) -> None:
    table([PNG] * 3, **{name: labels}).write_parquet(file)
    train = read_parquet(file).train
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0, 2]
    assert train.classes == (("a", "b9", "b10") if isinstance(labels[0], str) else ("0", "1", "2"))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["z", "b", "a"]), pl.String])
def test_text_of_every_type_is_names(file: Path, dtype: Any) -> None:
    table([PNG] * 3, label=pl.Series(["b", "a", "b"], dtype=dtype)).write_parquet(file)
    train = read_parquet(file).train
    assert train.classes == ("a", "b")


def test_the_column_that_hugging_face_says_is_the_label(file: Path) -> None:
    features = {"image": {"_type": "Image"}, "breed": {"names": ["pug", "boxer"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table([PNG, PNG], breed=[1, 0], size=[5, 6]).write_parquet(file, metadata=metadata)
    train = read_parquet(file).train
    assert train.classes == ("pug", "boxer")
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0]


def test_fine_and_coarse_labels_are_told_apart(file: Path) -> None:
    features = {name: {"names": [f"{name} {n}" for n in range(3)]} for name in ("coarse_label", "fine_label")}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table([PNG, PNG], coarse_label=[0, 0], fine_label=[2, 1]).write_parquet(file, metadata=metadata)
    assert read_parquet(file).train.classes == ("fine_label 0", "fine_label 1", "fine_label 2")


def test_a_column_that_counts_or_describes_is_no_label(file: Path) -> None:
    table([PNG] * 4, id=[1, 2, 3, 4], text=["a", "b", "c", "d"], width=[3.0, 3.5, 3.0, 3.5]).write_parquet(file)
    assert read_parquet(file).train.labels is None


def test_names_count_by_those_of_train_in_every_part(tmp_path: Path) -> None:
    table([PNG] * 3, label=["b", "a", "c"]).write_parquet(tmp_path / "train.parquet")
    table([PNG], label=["c"]).write_parquet(tmp_path / "test.parquet")
    data = read_parquet(tmp_path)
    assert data.test is not None
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [2]

    table([PNG], label=["z"]).write_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"classes of train expected in test \(a, b, c\), 'z' found"):
        read_parquet(tmp_path)


# ── colour and sizes ─────────────────────────────────────────────────────────────────────────────────────────


def photo(height: int, width: int, kind: str = "PNG", at: int = 0) -> bytes:
    """A piece of a photograph that scikit-learn has."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    content = io.BytesIO()
    Image.fromarray(load_sample_images().images[0][at : at + height, at : at + width]).save(content, kind)
    return content.getvalue()


def test_colour_makes_the_round_trip(file: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    data = Dataset(images, np.arange(6) % 2, ("a", "b"), "x")
    write_parquet(file, data)
    found = read_parquet(file)
    assert_same(found.train, data)
    assert found.preprocessing is not None
    assert (found.preprocessing.size, found.preprocessing.channels) == ((4, 5), 3)


def test_pictures_of_many_sizes_become_one_as_files_do(tmp_path: Path) -> None:
    """The same pictures in a table and in folders give the same arrays."""
    contents = [photo(300, 420, "JPEG"), photo(64, 64), photo(90, 30, "WEBP", 50), encode_png(IMAGE)]
    table(contents, label=["a", "b", "a", "b"]).write_parquet(tmp_path / "a.parquet")
    for number, content in enumerate(contents):
        (tmp_path / "folder" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / "ab"[number % 2] / f"{number}.png").write_bytes(content)
    found = read_parquet(tmp_path / "a.parquet")
    folder = fr.open_dataset(tmp_path / "folder", cache=False)

    assert found.train.images.shape == (4, 64, 64, 3)
    assert (found.train.images[[0, 2, 1, 3]] == folder.train.images).all()
    assert found.preprocessing == folder.preprocessing
    assert found.notes == folder.notes


def test_what_is_asked_for_is_made(file: Path) -> None:
    table([photo(300, 420, "JPEG"), photo(64, 64)], label=["a", "b"]).write_parquet(file)
    asked = Preprocessing(size=(20, 30), channels=1, resize="crop")
    assert read_parquet(file, asked).train.images.shape == (2, 20, 30)
    blocks = list(parquet_blocks(file, 1, asked))
    assert (np.concatenate(blocks) == read_parquet(file, asked).train.images).all()


def test_all_broken_pictures_are_listed_and_may_be_left_out(file: Path) -> None:
    table([PNG, b"junk", PNG, None, PNG[:40]], label=[0, 1, 1, 0, 0]).write_parquet(file)
    with pytest.raises(DataError, match=r"(?s)3 of 5 pictures can't be read .*row 2: .*row 4: .*none found.*row 5: "):
        read_parquet(file)
    data = read_parquet(file, skip_broken=True)
    assert_same(data.train, Dataset(np.stack([IMAGE] * 2), np.array([0, 1]), ("0", "1"), "x"))
    assert any("row 4" in note for note in data.notes)
