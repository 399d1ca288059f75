"""Which images belong together: by a column of a table, or by the names of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.data.groups import groups_by_pattern
from fittingroom.errors import DataError


def test_a_pattern_finds_groups_in_paths() -> None:
    files = ["cat/anna_1.png", "cat/anna_2.png", "dog/ben_1.png", "dog/stray.png"]
    assert groups_by_pattern(files, r"/([a-z]+)_\d+") == ["anna", "anna", "ben", None]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "regular expression, expected"),
        ("a", "one with 0 groups"),
        ("(a)(b)", "one with 2 groups"),
        ("(zebra)", r"found in none of 2 files, such as cat/1\.png"),
        ("(" + "a" * 200 + ")", "at most 200 characters expected, 202 found"),
        ("(a{99999999999999})", "regular expression, expected"),
    ],
)
def test_patterns_that_are_none_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        groups_by_pattern(["cat/1.png", "cat/2.png"], pattern)


def test_a_path_beyond_all_measure_is_refused() -> None:
    with pytest.raises(DataError, match="at most 1,000 characters"):
        groups_by_pattern(["a" * 1001], "(a)")


# ── in what is opened ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pictures of two classes and three persons, whose names are in those of the files."""
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    train = fr.open_dataset("sample").train
    for row in range(12):
        (tmp_path / "data" / f"class {row % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(train.images[row]).save(tmp_path / "data" / f"class {row % 2}" / f"p{row % 3}_{row}.png")
    return tmp_path / "data"


def persons(dataset: fr.Dataset) -> list[str]:
    assert dataset.files is not None
    return [Path(file).name[:2] for file in dataset.files]


def write_table(folder: Path, name: str, **more: list[str | None]) -> Path:
    files = sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/*.png"))
    columns = {"file": files, "label": [file.split("/")[0] for file in files]} | more
    path = folder / name
    frame = pl.DataFrame(columns)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


def test_a_pattern_gives_the_groups_of_a_folder_and_the_cache_keeps_what_was_read(folder: Path) -> None:
    for _ in range(2):
        train = fr.open_dataset(folder, group=r"/(p\d)_").train
        assert list(train.groups or ()) == persons(train)
    assert fr.open_dataset(folder).train.groups is None


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_files_has_groups_by_its_column_or_by_another_that_is_named(folder: Path, kind: str) -> None:
    files = [file.name for file in sorted(folder.glob("*/*.png"))]
    plain: list[str | None] = [None if file.startswith("p2") else file[:2] for file in files]
    path = write_table(folder, f"all.{kind}", group=plain, day=[f"day {row // 4}" for row in range(12)])
    for _ in range(2):  # read, and from the cache
        train = fr.open_dataset(path).train
        assert list(train.groups or ()) == [None if name == "p2" else name for name in persons(train)]
        assert list(fr.open_dataset(path, group="day").train.groups or ()) == [f"day {row // 4}" for row in range(12)]
        assert list(fr.open_dataset(path, group=r"(p\d)_").train.groups or ()) == persons(train)


def test_groups_go_with_their_files_whatever_is_left_out_or_in_which_part_they_lie(folder: Path) -> None:
    splits: list[str | None] = ["train", "test", "train", "validation"] * 3
    path = write_table(folder, "all.csv", who=[f"w{row}" for row in range(12)], split=splits)
    broken = sorted(folder.glob("*/*.png"))[4]
    broken.write_bytes(b"no picture")
    data = fr.open_dataset(path, group="who", skip_broken=True)
    assert list(data.train.groups or ()) == [f"w{row}" for row in (0, 2, 6, 8, 10)]
    assert data.test is not None
    assert list(data.test.groups or ()) == ["w1", "w5", "w9"]


def test_a_test_set_elsewhere_has_the_same_groups_if_it_has_any(folder: Path) -> None:
    data = fr.open_dataset(folder, test=folder, group=r"/(p\d)_")
    assert data.test is not None
    assert data.test.groups == data.train.groups
    assert fr.open_dataset("sample").test is not None


@pytest.mark.parametrize("group", ["who", "(who)"])
def test_arrays_have_no_groups_to_be_found(group: str) -> None:
    with pytest.raises(DataError, match=r"no such column, and no files in whose names"):
        fr.open_dataset("sample", group=group)


def test_pictures_in_a_table_have_groups_and_sources_of_their_cells(tmp_path: Path, folder: Path) -> None:
    contents = [file.read_bytes() for file in sorted(folder.glob("*/*.png"))]
    frame = pl.DataFrame({"image": contents, "label": ["a", "b"] * 6, "group": [f"g{row // 3}" for row in range(12)]})
    frame.write_parquet(tmp_path / "cells.parquet")
    for _ in range(2):
        train = fr.open_dataset(tmp_path / "cells.parquet").train
        assert list(train.groups or ()) == [f"g{row // 3}" for row in range(12)]
        assert list(train.sources or ()) == [hashlib.sha256(content).digest() for content in contents]


def test_each_image_of_a_file_has_the_hash_of_its_bytes(folder: Path) -> None:
    for source in (folder, write_table(folder, "t.csv")):
        for _ in range(2):
            train = fr.open_dataset(source).train
            assert train.files is not None
            expected = [hashlib.sha256((folder / file).read_bytes()).digest() for file in train.files]
            assert list(train.sources or ()) == expected
    assert fr.open_dataset("sample").train.sources is None


def test_an_expression_that_would_never_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.data.groups.SECONDS", 1)
    names = ["cat/" + "a" * 60 + "!.png"]

    with pytest.raises(DataError, match="an expression that is found within 1 seconds expected"):
        groups_by_pattern(names, "^cat/(a+)+$")

    assert groups_by_pattern(["a/é_1.png", "a/ü_2.png", "b"], "/(.)_") == ["é", "ü", None]
    assert groups_by_pattern(["x1", "x2"], "x(?:1|(2))") == [None, "2"]
