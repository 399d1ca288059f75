"""Images read from files are recognised by the files' bytes, whatever a version of a decoder makes of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data import picture_file, preprocessing
from fittingroom.data.convert import convert
from fittingroom.errors import DataError
from fittingroom.runs.create import start
from fittingroom.runs.ledger import read_evaluations

QUICK = ["model='tutorial'", "stages.0.epochs=1", "precision=float32"]
OPTIONS = fr.Options(threads=1, cache=False)


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def recipe() -> fr.Recipe:
    return fr.load_recipe("plain", overrides=QUICK)


@pytest.fixture
def things() -> Path:
    """A folder of 200 pictures for training and 100 for a test, of ten classes."""
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    for name, part, count in (("train", sample.train, 200), ("test", sample.test, 100)):
        assert part.labels is not None
        for row in range(count):
            folder = Path("things", name, part.classes[part.labels[row]].replace("/", "-"))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(part.images[row]).save(folder / f"{row}.png", dpi=(72, 72))  # decoded by Pillow, not copied
    return Path("things")


@pytest.fixture
def another_pillow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A decoder that makes one pixel of each picture a little brighter."""

    def brighter(*given: Any, **named: Any) -> Image.Image:
        picture = picture_file.opaque_8_bit(*given, **named).copy()
        pixel: Any = picture.getpixel((14, 14))
        picture.putpixel((14, 14), min(pixel, 250) + 3)
        return picture

    return lambda: monkeypatch.setattr(preprocessing, "opaque_8_bit", brighter)


def test_a_resume_goes_on_with_the_same_files_decoded_otherwise_and_says_so_once(
    things: Path, recipe: fr.Recipe, another_pillow: Callable[[], None]
) -> None:
    run = start(things, recipe, out="run", options=OPTIONS)
    another_pillow()
    with pytest.warns(UserWarning, match="decoded by another version of Pillow") as warned:
        resumed = fr.resume(run.path, look_at_test=True)
    assert resumed.result["test"]["n"] == 100
    assert len({str(warning.message) for warning in warned if "Pillow" in str(warning.message)}) == 1


def test_a_resume_with_another_file_is_refused(things: Path, recipe: fr.Recipe) -> None:
    run = start(things, recipe, out="run", options=OPTIONS)
    changed = sorted(things.glob("train/*/*.png"))[0]
    Image.open(changed).rotate(90).save(changed)
    with pytest.raises(DataError, match="a run goes on only on the data that it was started with"):
        fr.resume(run.path)


def test_runs_on_the_same_files_are_compared_and_counted_whatever_decoded_them(
    things: Path, recipe: fr.Recipe, another_pillow: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fr.train(things, recipe, out="runs/a", options=OPTIONS, look_at_test=True)
    another_pillow()
    fr.train(things, recipe, seed=1, out="runs/b", options=OPTIONS, look_at_test=True)

    tables = [pl.read_parquet(f"runs/{name}/predictions.parquet") for name in "ab"]
    assert set(tables[0]["source"]) == set(tables[1]["source"])
    assert not set(tables[0]["image"]) & set(tables[1]["image"])
    for table in tables:
        content = Path("things", table["file"][7]).read_bytes()
        assert table["source"][7] == hashlib.sha256(content).hexdigest()

    (comparison,) = fr.compare_runs(["runs/a", "runs/b"]).comparisons
    assert comparison.as_dict()["n"] == 100
    assert not any("different test images" in warning for warning in comparison.warnings)

    test = fr.open_run("runs/b").environment.data.test
    assert test is not None
    assert len(read_evaluations(Path("runs"), test.images, test.sources)) >= 2
    assert len(read_evaluations(Path("runs"), test.images)) < len(
        read_evaluations(Path("runs"), test.images, test.sources)
    )
    capsys.readouterr()


def test_a_run_whose_pictures_became_arrays_is_compared_by_its_pixels(things: Path, recipe: fr.Recipe) -> None:
    convert(fr.open_dataset(things), Path("things.npz"))
    fr.train(things, recipe, out="runs/files", options=OPTIONS, look_at_test=True)
    fr.train("things.npz", recipe, seed=1, out="runs/arrays", options=OPTIONS, look_at_test=True)
    assert "source" not in pl.read_parquet("runs/arrays/predictions.parquet").columns
    (comparison,) = fr.compare_runs(["runs/files", "runs/arrays"]).comparisons
    assert comparison.as_dict()["n"] == 100

    # and a ledger's line without files is counted for a set with them
    test = fr.open_run("runs/files").environment.data.test
    assert test is not None
    runs = {evaluation["run"] for evaluation in read_evaluations(Path("runs"), test.images, test.sources)}
    assert {"files", "arrays"} <= runs


def test_accuracy_on_groups_is_given_with_their_number(things: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each group has five pictures of the test set; `train`, `evaluate`, report and comparison say so."""
    table = []
    for part in ("train", "test"):
        for number, file in enumerate(sorted((things / part).glob("*/*.png"))):
            table.append((file.relative_to(things).as_posix(), file.parent.name, part, f"{part} {number // 5}"))
    pl.DataFrame(table, schema=["file", "label", "split", "group"], orient="row").write_csv(things / "all.csv")
    overrides = [word for override in QUICK for word in ("--set", override)]
    arguments = ["train", str(things / "all.csv"), "--recipe", "plain", *overrides, "--threads", "1"]
    assert main([*arguments, "--out", "runs/one"]) == 0
    printed = capsys.readouterr().out
    assert "(this model: 100 images in 20 groups)" in printed
    assert "on one side of train and validation: 40 groups" in printed
    assert main([*arguments, "--seeds", "2", "--out", "runs/two"]) == 0
    assert "(recipe: seeds × 100 images in 20 groups" in capsys.readouterr().out

    result = fr.open_run("runs/one").result
    assert result["test"]["groups"] == 20
    assert fr.open_run("runs/two").result["groups"] == 20
    assert "100 images in 20 groups" in Path("runs/one/report.html").read_text()
    assert "seeds × images in 20 groups" in Path("runs/two/report.html").read_text()

    assert main(["evaluate", "runs/one", str(things / "all.csv")]) == 0
    assert "(this model: 100 images in 20 groups)" in capsys.readouterr().out
    (comparison,) = fr.compare_runs(["runs/one", "runs/two"]).comparisons
    assert any("images compared come in 20 groups" in warning for warning in comparison.warnings)
    shutil.rmtree("runs")
