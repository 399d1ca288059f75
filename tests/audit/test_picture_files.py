"""What `data check` says of the files that pictures come from, and of groups on both sides of a split."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.audit import Finding, check
from fittingroom.cli import main

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def things() -> Path:
    """60 pictures of two classes, by three persons each of whom has some of every class."""
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    rows = np.flatnonzero(sample.labels < 2)[:60]
    for number, row in enumerate(rows.tolist()):
        folder = Path("things", f"class {sample.labels[row]}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.images[row]).save(folder / f"p{number % 3}_{number}.png")
    return Path("things")


def files_of(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/*.png"))


def table_of(folder: Path, name: str = "files.csv", **more: list[str]) -> Path:
    files = files_of(folder)
    pl.DataFrame({"file": files, "label": [file.split("/")[0] for file in files]} | more).write_csv(folder / name)
    return folder / name


def cells_of(folder: Path, name: str = "cells.parquet") -> Path:
    contents = [(folder / file).read_bytes() for file in files_of(folder)]
    labels = [file.split("/")[0] for file in files_of(folder)]
    pl.DataFrame({"image": contents, "label": labels}).write_parquet(name)
    return Path(name)


def found(path: Path, name: str, **how: str) -> Finding | None:
    findings = [finding for finding in check([path], near=False, **how).findings if finding.name == name]  # type: ignore[arg-type]
    assert len(findings) <= 1
    return findings[0] if findings else None


KINDS = ("folder", "table", "cells")


def source(kind: str, folder: Path) -> Path:
    """The same pictures as a folder, by a table of their files, or in the cells of one."""
    return {"table": table_of, "cells": cells_of}.get(kind, Path)(folder)


def place(kind: str, file: str, row: int) -> str:
    """What a finding calls the picture of a row."""
    return f"cells.parquet: row {row + 1}" if kind == "cells" else file


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_other_sizes_are_counted_and_named(things: Path, kind: str) -> None:
    assert found(source(kind, things), "mixed-sizes") is None

    odd = files_of(things)[7]
    Image.open(things / odd).resize((40, 30)).save(things / odd)
    finding = found(source(kind, things), "mixed-sizes")
    assert finding is not None
    assert finding.severity == "note"
    assert finding.figures == {
        "n": 60,
        "sizes": 2,
        "smallest": [28, 28],
        "largest": [30, 40],
        "usual": [28, 28],
        "of_usual_size": 59,
        "files": [place(kind, odd, 7)],
    }
    assert "become 64×64" in finding.effect


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_beyond_reading_are_named_whatever_they_came_from(things: Path, kind: str) -> None:
    assert found(source(kind, things), "unreadable") is None
    for row in (3, 30):
        (things / files_of(things)[row]).write_bytes(b"no picture")
    expected = [place(kind, files_of(things)[row], row) for row in (3, 30)]
    for _ in range(2):  # read, and from the cache
        finding = found(source(kind, things), "unreadable")
        assert finding is not None
        assert (finding.severity, finding.figures) == ("error", {"unreadable": 2, "n": 60, "files": expected})
        assert "2 of 60 pictures can't be read" in finding.message


def test_files_of_a_table_that_are_missing_are_beyond_reading_too(things: Path) -> None:
    table = table_of(things)
    lost = files_of(things)[5]
    (things / lost).unlink()
    finding = found(table, "unreadable")
    assert finding is not None
    assert finding.figures["files"] == [lost]


def test_files_that_are_no_pictures_by_their_names_are_listed(things: Path) -> None:
    assert found(things, "left-out-files") is None
    (things / "class 0" / "notes.txt").write_text("…")
    (things / "class 1" / "photo.heic").write_bytes(b"heic")
    finding = found(things, "left-out-files")
    assert finding is not None
    assert finding.severity == "note"
    assert finding.figures["files"] == ["class 0/notes.txt", "class 1/photo.heic"]
    assert finding.figures["suffixes"] == {".txt": 1, ".heic": 1}
    assert not any("left out" in note for note in check([things], near=False).checked[0].notes)


def test_pictures_beside_those_that_a_table_names_are_listed(things: Path) -> None:
    table = table_of(things)
    assert found(table, "left-out-files") is None
    shutil.copy(things / files_of(things)[0], things / "class 0" / "more.png")
    finding = found(table, "left-out-files")
    assert finding is not None
    assert finding.figures["files"] == ["class 0/more.png"]


def test_groups_on_both_sides_are_an_error_with_their_files(things: Path) -> None:
    files = files_of(things)
    person = [Path(file).name[:2] for file in files]
    sides = ["test" if name == "p0" else "train" for name in person]
    assert found(table_of(things, group=person, split=sides), "groups-split") is None

    sides[person.index("p1")] = "test"
    finding = found(table_of(things, group=person, split=sides), "groups-split")
    assert finding is not None
    assert finding.severity == "error"
    assert {key: finding.figures[key] for key in ("groups", "images", "n", "names")} == {
        "groups": 1,
        "images": 1,
        "n": 21,
        "names": ["p1"],
    }
    of_p1 = [file for file, name in zip(files, person, strict=True) if name == "p1"]
    assert sorted(finding.figures["files"]) == sorted(of_p1)


def test_groups_are_found_by_a_pattern_and_across_the_files_of_one_folder(
    things: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, step in (("train", 2), ("test", 3)):
        for file in files_of(things)[::step]:
            (Path("split") / part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(things / file, Path("split") / part / file)
    assert found(Path("split"), "groups-split") is None
    assert main(["data", "check", "split", "--group", r"(p\d)_", "--no-near-duplicates", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert "groups-split" in [finding["name"] for finding in report["findings"]]

    for part in ("train", "test"):
        table_of(things, f"{part}.csv", group=[Path(file).name[:2] for file in files_of(things)])
    both = check([things / "train.csv", things / "test.csv"], near=False).findings
    assert "groups-split" in [finding.name for finding in both]


def test_one_file_in_two_parts_is_an_overlap_whatever_size_each_was_read_in(things: Path) -> None:
    for part, size in (("train", 28), ("test", 40)):
        for file in files_of(things):
            (Path(part) / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(things / file, Path(part) / file)
        odd = files_of(things)[0]
        Image.open(things / odd).resize((size, size)).save(Path(part) / odd)  # of one size, and of several
    report = check(["train", "test"], near=False)
    assert {part.dataset.image_size for part in report.parts} == {(28, 28), (64, 64)}
    (finding,) = (finding for finding in report.findings if finding.name == "overlap")
    assert finding.figures["overlap"] == 59
