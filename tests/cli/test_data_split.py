"""``fittingroom data split`` as its user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.data.splits import Splits

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def things() -> Path:
    """300 pictures by class, of 40 persons whose names stand in those of the files."""
    train = fr.open_dataset("sample").train
    assert train.labels is not None
    for row in range(300):
        folder = Path("things", train.classes[train.labels[row]].replace("/", "-"))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(train.images[row]).save(folder / f"person{row % 40}_{row}.png")
    return Path("things")


def split(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run `fittingroom data split …`; return what it printed, on stderr if it is to fail."""
    capsys.readouterr()
    assert main(["data", "split", *arguments]) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err if code else printed.out


def test_a_folder_becomes_a_table_of_its_files_and_nothing_is_copied(
    things: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--test", "20%", "--validation", "0.1", "--group", r"(person\d+)_", "--out", "below/split")
    printed = split(capsys, str(things), *arguments)
    assert "40 groups kept together" in printed
    assert [path.name for path in Path("below/split").iterdir()] == ["files.csv"]

    table = pl.read_csv("below/split/files.csv")
    assert table.columns == ["file", "label", "split", "group"]
    assert len(table) == 300
    for line in table.iter_rows(named=True):
        assert Path("below/split", line["file"]).is_file()
        assert Path(line["file"]).parent.name == line["label"]
    assert (table.group_by("group").agg(pl.col("split").n_unique())["split"] == 1).all()
    counts = dict(table["split"].value_counts().iter_rows())
    assert counts["test"] == pytest.approx(60, abs=4)
    assert counts["validation"] == pytest.approx(30, abs=4)

    # The same seed gives the same table; another one another; and what is there is not replaced unasked.
    before = Path("below/split/files.csv").read_text()
    assert "is there already" in split(capsys, str(things), *arguments, code=2)
    split(capsys, str(things), *arguments, "--force")
    assert Path("below/split/files.csv").read_text() == before
    split(capsys, str(things), *arguments, "--force", "--seed", "1")
    assert Path("below/split/files.csv").read_text() != before


def test_a_table_of_files_is_read_back_and_split_by_its_column_again(
    things: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split(capsys, str(things), "--test", "20%", "--group", r"(person\d+)_", "--out", "split", "--no-near-duplicates")
    whole, data = fr.open_dataset(things).train, fr.open_dataset("split")
    assert data.test is not None
    assert len(data.test) == pytest.approx(60, abs=4)
    assert sorted(data.train.image_hashes() + data.test.image_hashes()) == sorted(whole.image_hashes())

    # A table without parts, whose own column names the groups, from another folder.
    table = pl.read_csv("split/files.csv").drop("split").rename({"group": "person"})
    table.write_csv("split/all.csv")
    Path("split/files.csv").unlink()
    split(capsys, "split/all.csv", "--test", "30%", "--group", "person", "--out", "a/b", "--no-near-duplicates")
    again = pl.read_csv("a/b/files.csv")
    assert all(Path("a/b", file).is_file() for file in again["file"])
    assert again["group"].to_list() == table["person"].to_list()
    assert (again.group_by("group").agg(pl.col("split").n_unique())["split"] == 1).all()


def test_arrays_become_copies_in_the_format_of_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    train = fr.open_dataset("sample").train
    convert(Splits(train), Path("things.npz"))
    report = json.loads(split(capsys, "things.npz", "--test", "20%", "--out", "split.npz", "--json"))
    assert report["class_counts"]["test"] == dict.fromkeys(train.classes, 40)
    assert report["files"] == ["split.npz"]

    data = fr.open_dataset("split.npz")
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (1600, 400)
    assert sorted(data.train.image_hashes() + data.test.image_hashes()) == sorted(train.image_hashes())

    split(capsys, "things.npz", "--validation", ".1", "--out", "folder", "--to", "parquet")
    data = fr.open_dataset("folder")
    assert data.validation is not None
    assert (len(data.train), len(data.validation)) == (1800, 200)


def test_a_column_of_a_table_gives_the_groups(capsys: pytest.CaptureFixture[str]) -> None:
    train = fr.open_dataset("sample").train.subset(range(400))
    convert(Splits(train), Path("things.parquet"))
    table = pl.read_parquet("things.parquet")
    groups = np.random.default_rng(0).integers(0, 60, 400)
    table.with_columns(pl.Series("person", groups)).write_parquet("things.parquet")

    printed = split(capsys, "things.parquet", "--test", "25%", "--group", "person", "--out", "split.npz")
    assert "60 groups kept together" in printed
    data = fr.open_dataset("split.npz")
    assert data.test is not None
    person = dict(zip(train.image_hashes(), groups.tolist(), strict=True))
    sides = [{person[digest] for digest in part.image_hashes()} for part in (data.train, data.test)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--test", "20%", "--out", "x"], "train and test found: it is split already"),
        (["things.npz", "--out", "x.npz"], "--test 20% expected"),
        (["things.npz", "--test", "20%", "--seed", "-1", "--out", "x.npz"], "--seed: 0 or more expected"),
        (["things.npz", "--test", "60%", "--validation", "40%", "--out", "x.npz"], "less than 100%"),
        (["things.npz", "--test", "20%", "--group", "(a)", "--out", "x.npz"], "no files in whose names"),
        (["things.npz", "--test", "20%", "--out", "x"], "a name that ends in .npz expected"),
        (["things.npz", "--test", "20%", "--out", "things.npz"], "this one is read"),
    ],
)
def test_what_can_not_be_is_refused_with_what_to_do(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(Splits(fr.open_dataset("sample").train.subset(range(200))), Path("things.npz"))
    assert message in split(capsys, *arguments, code=2)


@pytest.mark.parametrize("share", ["20 %", "1", "100%", "-0.1", "nan", "1e-2", "a"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "split", "sample", f"--test={share}", "--out", "x"])
    assert stop.value.code == 2
    assert "a share such as 20% or 0.2 expected" in capsys.readouterr().err
