"""``predict`` sees what training saw: on the same files it gives evaluation's answers, to the last one."""

from __future__ import annotations

import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import Interrupted
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.predict.inputs import read_inputs
from tests.support import NARROW
from tests.support.photo_patches import photo_patches
from tests.support.picture_folders import KINDS, write_folder

Captured = pytest.CaptureFixture[str]
SHORT = ("stages.0.epochs=2", "stages.0.warmup=0", "precision=float32", "batch_size=16", NARROW)


def trained(data: Path | fr.Splits, out: Path, *overrides: str) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=[*SHORT, *overrides])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the gate and the export warn where they fail
        return fr.train(data, recipe, out=out, look_at_test=True, options=fr.Options(threads=1))


def predicted(run: fr.Run, what: Path, out: Path) -> pl.DataFrame:
    assert main(["predict", str(run.path), str(what), "--parquet", str(out)]) == 0
    return pl.read_parquet(out)


def assert_same_answers(run: fr.Run, said: pl.DataFrame, keys: list[str]) -> None:
    """``said`` has the answers of the run's own test, for images that are called ``keys`` there."""
    judged = read_predictions(run.predictions_file("test"), run.artifact.classes)
    rows = {key: row for row, key in enumerate(keys)}
    assert len(said) == len(rows) == len(judged)
    order = [rows[key] for key in said["key"]]
    assert said["label"].to_list() == judged.predicted[order].tolist()
    probabilities = said.select(pl.col("^p[0-9]+$")).to_numpy()
    np.testing.assert_allclose(probabilities, judged.probabilities[order], atol=2e-5)
    right = (said["label"].to_numpy() == judged.truth[order]).sum()
    assert run.result["test"]["correct"] == right


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_predicted_as_it_was_judged(kind: str, tmp_path: Path, capsys: Captured) -> None:
    write_folder(tmp_path / "data" / "train", kind, 80)
    test = write_folder(tmp_path / "data" / "test", kind, 40, seed=1)
    run = trained(tmp_path / "data", tmp_path / "run")
    files = read_predictions(run.predictions_file("test"), run.artifact.classes).files
    capsys.readouterr()

    said = predicted(run, test, tmp_path / "answers.parquet")

    assert files is not None
    said = said.with_columns(key=pl.col("file").str.strip_prefix(f"{tmp_path / 'data'}/"))
    assert_same_answers(run, said, list(files))
    assert run.artifact.channels == (1 if "grey" in kind or kind == "deep" else 3)
    assert capsys.readouterr().err == "", "nothing was unknown, so nothing is said"


@pytest.mark.parametrize("kind", ["grey", "colour", "jpeg", "transparent", "grey jpeg", "grey transparent"])
def test_pictures_in_parquet_are_predicted_as_they_were_judged(kind: str, tmp_path: Path, capsys: Captured) -> None:
    for part, count in (("train", 80), ("test", 40)):
        files = sorted(write_folder(tmp_path / part, kind, count, seed=count).glob("*/*"))
        cells = {"bytes": [file.read_bytes() for file in files], "label": [file.parent.name for file in files]}
        pl.DataFrame(cells).write_parquet(tmp_path / f"{part}.parquet")
    splits = fr.open_dataset(tmp_path / "train.parquet", test=tmp_path / "test.parquet")
    run = trained(splits, tmp_path / "run")
    capsys.readouterr()

    said = predicted(run, tmp_path / "test.parquet", tmp_path / "answers.parquet")

    assert_same_answers(run, said.with_columns(key=pl.col("row").cast(pl.String)), [str(row) for row in range(40)])
    assert run.artifact.channels == (1 if "grey" in kind else 3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["resize=crop", "resize=stretch", "channels=1", "size=[20,30]", "background=black"])
def test_what_the_recipe_asks_of_pictures_predict_does_too(how: str, tmp_path: Path) -> None:
    kind = "transparent" if "background" in how else "jpeg"
    write_folder(tmp_path / "data" / "train", kind, 60)
    test = write_folder(tmp_path / "data" / "test", kind, 30, seed=1)
    run = trained(tmp_path / "data", tmp_path / "run", *([how] if "size=[" in how else [how, "size=24"]))
    files = read_predictions(run.predictions_file("test"), run.artifact.classes).files

    said = predicted(run, test, tmp_path / "answers.parquet")

    assert files is not None
    said = said.with_columns(key=pl.col("file").str.strip_prefix(f"{tmp_path / 'data'}/"))
    assert_same_answers(run, said, list(files))


@pytest.mark.parametrize("to", ["npz", "parquet"])
@pytest.mark.parametrize("is_colour", [False, True], ids=["grey", "colour"])
def test_arrays_are_predicted_as_they_were_judged(to: str, is_colour: bool, tmp_path: Path) -> None:
    train, test = arrays(80, is_colour, seed=0), arrays(40, is_colour, seed=1)
    convert(fr.Splits(train), tmp_path / f"train.{to}", to=to)
    convert(fr.Splits(test), tmp_path / f"test.{to}", to=to)
    splits = fr.open_dataset(tmp_path / f"train.{to}", test=tmp_path / f"test.{to}")
    run = trained(splits, tmp_path / "run")

    said = predicted(run, tmp_path / f"test.{to}", tmp_path / "answers.parquet")

    assert_same_answers(run, said.with_columns(key=pl.col("row").cast(pl.String)), [str(row) for row in range(40)])
    assert run.artifact.channels == (3 if is_colour else 1)
    assert run.result["pictures_checked"] == run.result["validation"]["n"]


@pytest.mark.parametrize("is_colour", [False, True], ids=["grey", "colour"])
def test_arrays_written_as_pictures_are_seen_as_they_were(is_colour: bool, tmp_path: Path, capsys: Captured) -> None:
    test = arrays(40, is_colour, seed=1)
    run = trained(fr.Splits(arrays(80, is_colour, seed=0), test=test), tmp_path / "run")
    for row, image in enumerate(test.images):
        Image.fromarray(image).save(tmp_path / f"{row:04}.png")
    capsys.readouterr()

    said = predicted(run, tmp_path / "*.png", tmp_path / "answers.parquet")

    said = said.with_columns(key=pl.col("file").str.slice(-8, 4).cast(pl.Int64).cast(pl.String))
    assert_same_answers(run, said, [str(row) for row in range(40)])
    assert capsys.readouterr().err == ""


def arrays(count: int, is_colour: bool, seed: int) -> fr.Dataset:
    patches = photo_patches(count, side=24, seed=seed)
    images = patches.images if is_colour else patches.images[..., 1]
    return fr.Dataset(np.ascontiguousarray(images), patches.labels, patches.classes, "patches")


def test_evaluate_on_other_files_reads_them_as_predict_does(tmp_path: Path, capsys: Captured) -> None:
    """A model of small grey arrays, and JPEGs in colour, large, turned: each way makes the same of them."""
    run = trained(fr.Splits(arrays(80, False, seed=0)), tmp_path / "run")
    other = write_folder(tmp_path / "other", "jpeg", 40, seed=1)
    assert main(["evaluate", str(run.path), str(other), "--json", "--no-cache"]) == 0
    scores = json.loads(capsys.readouterr().out)

    assert main(["predict", str(run.path), str(other), "--json"]) == 0

    printed = capsys.readouterr()
    answers = json.loads(printed.out)
    assert sum(Path(answer["file"]).parent.name == answer["class"] for answer in answers) == scores["correct"]
    for note in (
        "the model was trained on arrays, and how pictures became these isn't known; images of another size than "
        "24×24 are fitted in",
        "the model was trained on grey images; coloured ones are made grey",
    ):
        assert printed.err.count(note) == 1


def test_pictures_that_change_under_a_training_are_found_out(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", "jpeg", 60)
    splits = fr.open_dataset(data, cache=False)
    assert splits.train.files is not None
    recipe = fr.load_recipe("plain", overrides=[*SHORT])
    for name in splits.train.files:
        Image.new("RGB", (90, 90), "red").save(data / name)

    with pytest.warns(UserWarning, match=r"predict would not see what training saw: 6 of 6 pictures come out .*jpg"):
        run = fr.train(splits, recipe, out=tmp_path / "run")

    assert run.result["pictures_checked"] is None
    assert not (run.path / "model.onnx").exists()
    assert run.is_finished


def test_the_record_is_kept_from_the_first_second_and_goes_into_what_ships(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", "jpeg", 60)
    run = trained(data, tmp_path / "run", "size=24", "resize=crop")
    record = {"size": [24, 24], "channels": 3, "resize": "crop", "background": [255, 255, 255], "photo": "none"}
    for name in ("environment.json", "config.json"):
        assert json.loads((run.path / name).read_text(encoding="utf-8"))["preprocessing"] == record
    assert (
        run.artifact.preprocessing
        == run.preprocessing
        == Preprocessing(size=(24, 24), channels=3, resize="crop", photo="none")
    )
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8"))["format"] == 2


def test_a_stopped_run_goes_on_with_its_own_preprocessing(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", "jpeg", 60)
    whole = trained(data, tmp_path / "whole", "size=24", "resize=crop")
    recipe = fr.load_recipe("plain", overrides=[*SHORT, "size=24", "resize=crop"])
    with pytest.raises(Interrupted):
        fr.train(data, recipe, out=tmp_path / "run", options=fr.Options(threads=1), should_stop=lambda: True)

    run = fr.resume(tmp_path / "run")

    assert run.artifact.preprocessing == whole.artifact.preprocessing
    assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert run.result["pictures_checked"] == run.result["validation"]["n"]


def test_files_opened_in_one_size_are_not_trained_on_in_another(tmp_path: Path) -> None:
    splits = fr.open_dataset(write_folder(tmp_path / "data", "jpeg", 60), cache=False)
    recipe = fr.load_recipe("plain", overrides=[*SHORT, "size=24"])
    with pytest.raises(fr.DataError, match="24×24 pixels asked for, but it was opened as colour images of 64×64"):
        fr.train(splits, recipe, out=tmp_path / "run")


def test_arrays_in_memory_get_the_size_that_the_recipe_asks_for(tmp_path: Path) -> None:
    test = arrays(40, True, seed=1)
    run = trained(fr.Splits(arrays(80, True, seed=0), test=test), tmp_path / "run", "size=20", "channels=1")
    np.savez(tmp_path / "test.npz", images=test.images)

    said = predicted(run, tmp_path / "test.npz", tmp_path / "answers.parquet")

    assert (run.artifact.image_size, run.artifact.channels) == ((20, 20), 1)
    assert_same_answers(run, said.with_columns(key=pl.col("row").cast(pl.String)), [str(row) for row in range(40)])


def test_a_sheet_shows_each_picture_beside_what_the_model_saw(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", "jpeg", 60)
    run = trained(data, tmp_path / "run", "size=24", "channels=1")

    assert main(["predict", str(run.path), str(data / "temple"), "--sheet", str(tmp_path / "sheet.png")]) == 0

    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    is_colourful = (pixels.max(axis=2) - pixels.min(axis=2) > 40).any(axis=0)
    last_column = np.flatnonzero((pixels != 255).any(axis=(0, 2))).max()
    seen = last_column - 100  # within the second tile
    assert is_colourful[: seen - 40].any(), "the pictures themselves are in colour"
    assert not is_colourful[seen:].any(), "and the model saw them in grey"


# ── Fashion-MNIST's own conversion ───────────────────────────────────────────────────────────────────────────


def shop_photo(image: NDArray[np.uint8]) -> bytes:
    """The image as a shop's photo would show it: large, dark on white."""
    file = io.BytesIO()
    Image.fromarray(np.pad(255 - image, 3, constant_values=255)).resize((340, 340)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def test_product_photos_are_converted_for_a_model_of_fashion_mnist_alone(tmp_path: Path, capsys: Captured) -> None:
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=2", "precision=float32"])
    run = fr.train(sample, recipe, out=tmp_path / "run")
    assert run.artifact.preprocessing.photo == "fashion-mnist"
    for row in range(60):
        (tmp_path / f"{row:04}.jpg").write_bytes(shop_photo(sample.test.images[row]))
    capsys.readouterr()

    said = predicted(run, tmp_path / "*.jpg", tmp_path / "answers.parquet")

    expected = fr.load(run.path).predict(sample.test.images[:60])
    agree = (said["label"].to_numpy() == expected).mean()
    assert agree > 0.8, "a product photo is recognised as the image that it shows"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("official", "photo"), [(1000, "fashion-mnist"), (910, "fashion-mnist"), (880, "none")])
def test_nine_tenths_of_official_images_make_it_fashion_mnist(official: int, photo: str, tmp_path: Path) -> None:
    train = fr.open_dataset("sample").train.subset(range(0, 2000, 2))
    images = train.images.copy()
    images[official:, 0, 0] ^= 1
    mixed = np.random.default_rng(0).permutation(1000)
    data = fr.Dataset(images[mixed], train.labels[mixed], train.classes, "garments")  # type: ignore[index]
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    assert fr.train(data, recipe, out=tmp_path / "run").artifact.preprocessing.photo == photo


def test_the_recipe_may_ask_for_the_conversion_or_against_it(tmp_path: Path) -> None:
    few = fr.open_dataset("sample").train.subset(range(150))
    short = ["stages.0.epochs=1", "precision=float32", "validation=20", "stages.0.warmup=0", "batch_size=32"]
    chosen = {}
    for photo in ("auto", "none", "fashion-mnist"):
        recipe = fr.load_recipe("plain", overrides=[*short, f"photo={photo}"])
        chosen[photo] = fr.train(few, recipe, out=tmp_path / photo).artifact.preprocessing.photo
    assert chosen == {"auto": "none", "none": "none", "fashion-mnist": "fashion-mnist"}


def test_a_picture_on_standard_input_is_prepared_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(tmp_path / "data", "jpeg", 60)
    run = trained(data, tmp_path / "run")
    file = next((data / "temple").iterdir())
    one, other = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdout", one)
    assert main(["predict", str(run.path), str(file), "--json"]) == 0
    with file.open("rb") as content:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
        monkeypatch.setattr("sys.stdout", other)
        assert main(["predict", str(run.path), "-", "--json"]) == 0
    without_name = [{**json.loads(text.getvalue())[0], "file": None} for text in (one, other)]
    assert without_name[0] == without_name[1]
    assert os.fspath(file) == json.loads(one.getvalue())[0]["file"]


def test_a_folder_is_walked_as_a_training_walks_it(tmp_path: Path) -> None:
    """What zip programs and file servers leave behind is no picture, and a linked folder is read once."""
    data = write_folder(tmp_path / "data", "grey", 60)
    run = trained(data, tmp_path / "run")
    for junk in ("__MACOSX", "@eaDir"):
        (data / junk).mkdir()
        (data / junk / "0001.png").write_bytes(b"no picture")
    write_folder(tmp_path / "elsewhere", "grey", 10, seed=1)
    (data / "more").symlink_to(tmp_path / "elsewhere")
    (data / "temple" / "round").symlink_to(data)

    said = predicted(run, data, tmp_path / "answers.parquet")

    assert len(said) == 70


def test_a_grey_model_decodes_each_coloured_picture_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    run = trained(fr.Splits(arrays(80, False, seed=0)), tmp_path / "run")
    other = write_folder(tmp_path / "other", "jpeg", 12, seed=1)
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(picture: ImageFile.ImageFile) -> object:
        decoded.extend([str(picture.format)] if picture.tile else [])
        return load(picture)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)

    assert main(["predict", str(run.path), str(other), "--json"]) == 0

    assert len(decoded) == 12
    assert "coloured ones are made grey" in capsys.readouterr().err


def test_a_sheet_adds_nothing_to_a_picture_but_paper_around_it(tmp_path: Path) -> None:
    run = trained(fr.Splits(arrays(80, True, seed=0)), tmp_path / "run")
    Image.new("RGB", (120, 40), (200, 30, 30)).save(tmp_path / "wide.png")

    def fail(error: fr.DataError) -> None:
        raise error

    (block,) = read_inputs([str(tmp_path / "wide.png")], fr.load(run.path), on_error=fail, originals=(48, 48))

    assert block.originals is not None
    (tile,) = block.originals
    assert (tile[16:32] == (200, 30, 30)).all()
    assert (tile[:16] == 255).all()
    assert (tile[32:] == 255).all()
