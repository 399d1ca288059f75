"""A model answers to whatever people have: arrays in any layout, tensors, pictures, paths, lists of them, data sets."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import fittingroom as fr
from tests.support.small_run import train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("run") / "grey")


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_small(tmp_path_factory.mktemp("run") / "colour", "channels=3")


@pytest.fixture(scope="module")
def model(run: fr.Run) -> fr.Classifier:
    return fr.load(run)


IMAGES = fr.open_dataset("sample").train.images[:6]


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        IMAGES,
        list(IMAGES),
        IMAGES.astype(np.float64),
        torch.tensor(IMAGES),
        [torch.tensor(image) for image in IMAGES],
        pl.Series(list(IMAGES), dtype=pl.Object).to_numpy(),
        [Image.fromarray(image) for image in IMAGES],
        [png(image) for image in IMAGES],
        [IMAGES[0], Image.fromarray(IMAGES[1]), *IMAGES[2:]],
        [png(IMAGES[0]), bytearray(png(IMAGES[1])), Image.fromarray(IMAGES[2]), *IMAGES[3:]],
        np.repeat(IMAGES[..., None], 3, axis=3),
        fr.Dataset(IMAGES, None, (), "six"),
    ],
    ids=[
        "array",
        "list",
        "whole floats",
        "tensor",
        "tensors",
        "column",
        "pillow",
        "bytes",
        "mixed",
        "bytes first",
        "grey RGB",
        "data set",
    ],
)
def test_the_same_images_get_the_same_answers(model: fr.Classifier, given: Any) -> None:
    expected = model.predict_proba(IMAGES)
    assert np.array_equal(model.predict_proba(given), expected)
    assert model.predict(given).tolist() == expected.argmax(1).tolist()
    assert model.predict_names(given) == [model.classes[label] for label in expected.argmax(1)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (IMAGES[:, None], r"\(N, 1, H, W\)"),
        (IMAGES[..., None], r"\(N, H, W, 1\)"),
        ((IMAGES / 255).astype(np.float32), "taken as pixels of which 1 is white"),
        (fr.open_dataset("sample").train.subset(range(6)).as_torch()[0][0], "of which 1 is white"),
    ],
)
def test_what_is_done_to_arrays_is_said(model: fr.Classifier, given: Any, said: str) -> None:
    with pytest.warns(UserWarning, match=said) as warned:
        found = model.predict_proba(given)
    assert np.array_equal(found, model.predict_proba(IMAGES)[: len(found)])
    assert {warning.filename for warning in warned} == {__file__}


def test_pixels_of_0_to_16_are_told_from_those_of_training(model: fr.Classifier) -> None:
    with pytest.warns(UserWarning, match="the brightest of all pixels is 15, and the mean of those in training was"):
        model.predict((IMAGES // 16).astype(np.float64))


def test_one_image_is_one(model: fr.Classifier) -> None:
    first = model.predict_proba(IMAGES)[:1]
    for one in (IMAGES[0], torch.tensor(IMAGES[0]), Image.fromarray(IMAGES[0]), png(IMAGES[0]), IMAGES[:1]):
        assert np.array_equal(model.predict_proba(one), first)


def test_a_path_gets_the_answer_of_the_command(model: fr.Classifier, tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(IMAGES):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(files[-1])
    expected = model.predict(IMAGES)
    np.savez(tmp_path / "all.npz", x_train=IMAGES, y_train=[0, 1, 2, 3, 4, 5])
    for given in (files, list(map(str, files)), str(tmp_path / "*.png"), tmp_path / "all.npz"):
        assert np.array_equal(model.predict(given), expected)
    names = list(map(str, files))
    columns: list[Any] = [pl.Series(names), np.array(names), np.array(files), iter(files)]
    for column in (*columns, (Image.open(file) for file in files)):
        assert np.array_equal(model.predict(column), expected)
    assert np.array_equal(model.predict(files[3]), expected[3:4])
    assert np.array_equal(model.predict([files[3], IMAGES[2], files[1]]), expected[[3, 2, 1]])
    with pytest.raises(fr.DataError, match=r"nowhere\.png: a file, a folder, a pattern or the name"):
        model.predict([files[0], "nowhere.png"])


def test_pictures_of_another_size_are_made_over_and_that_is_said(tmp_path: Path) -> None:
    data = fr.open_dataset("sample").train
    digits = fr.Dataset(255 - data.images, data.labels, data.classes, "negatives")  # none of the official images
    recipe = fr.load_recipe("plain", overrides=["model=tutorial", "stages.0.epochs=1", "precision=float32"])
    model = fr.load(fr.train(digits, recipe, out=tmp_path / "run"))
    large = Image.fromarray(digits.images[0]).resize((280, 280), Image.Resampling.NEAREST)
    large.save(tmp_path / "large.png")
    set_of_it = fr.Dataset(np.asarray(large)[None, ::2, ::2], None, (), "large")
    for given in (large, tmp_path / "large.png", set_of_it):
        with pytest.warns(UserWarning, match="images of another size than 28×28 are fitted in") as warned:
            assert model.predict(given).tolist() == model.predict(digits.images[0]).tolist()
        assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (IMAGES[:, :20], r"uint8 \(N, 28, 28\) expected, as the model was trained on, uint8 \(6, 20, 28\) found"),
        (IMAGES - 128.0, r"float64 \(6, 28, 28\) found; .*undo their normalization"),
        (np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3), np.uint8), r"\(N, 28, 28\) expected"),
        (fr.open_dataset("sample"), "one part of the data set expected, all of it found: give train or test of it"),
        ([object()], r"found \(numpy.ndarray\)"),
        ([{"image": IMAGES[0], "label": 3}], "picture 0: a picture expected, a row of image, label found"),
        (SimpleNamespace(column_names=["image", "label"]), "a column of them expected, a table of image, label found"),
        (None, "expected"),
        (b"no picture", "a picture"),
        (np.ma.masked_equal(IMAGES, IMAGES[0, 0, 0]), "an array without a mask expected, .* masked values found"),
    ],
)
def test_what_it_can_not_take_is_refused_in_words(model: fr.Classifier, given: Any, message: str) -> None:
    with pytest.raises(fr.DataError, match=message):
        model.predict(given)


def test_nothing_is_answered_by_nothing(model: fr.Classifier) -> None:
    assert model.predict_proba([]).shape == (0, 10)


def test_a_model_of_colour_takes_grey_as_colour(colour_run: fr.Run) -> None:
    model = fr.load(colour_run)
    in_colour = np.repeat(IMAGES[..., None], 3, axis=3)
    expected = model.predict_proba(in_colour)
    for given in (IMAGES, [Image.fromarray(image) for image in IMAGES], fr.Dataset(IMAGES, None, (), "six")):
        assert np.array_equal(model.predict_proba(given), expected)
    with pytest.warns(UserWarning, match=r"\(N, 3, H, W\)"):
        assert np.array_equal(model.predict_proba(in_colour.transpose(0, 3, 1, 2)), expected)


@pytest.mark.parametrize("kind", ["run", "colour_run"])
def test_the_module_of_a_run_answers_as_its_onnx_does(kind: str, request: pytest.FixtureRequest) -> None:
    run: fr.Run = request.getfixturevalue(kind)
    images = IMAGES if kind == "run" else np.repeat(IMAGES[..., None], 3, axis=3)
    module = run.model()
    assert not module.training
    given = torch.tensor(images)
    with torch.no_grad():
        assert np.abs(module(given).numpy() - fr.load(run).predict_proba(images)).max() < 1e-5
        channels_first = given[:, None] if kind == "run" else given.permute(0, 3, 1, 2)
        assert torch.equal(module(channels_first), module(given))
        assert torch.equal(module.network(module.normalized(given)), module.logits(given))
    assert module.temperature == run.artifact.temperature
    assert module.temperature.changes
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_module_of_a_run_refuses_pixels_that_were_scaled(run: fr.Run) -> None:
    with pytest.raises(fr.DataError, match=r"of 0–255 expected, torch.float32 .* floats of 0–1 become it by"):
        run.model()(torch.tensor(IMAGES) / 255)
    with pytest.raises(fr.DataError, match=r"uint8 \(N, 28, 28\) of 0–255 expected, torch.uint8 \(6, 20, 28\) found$"):
        run.model()(torch.tensor(IMAGES[:, :20]))


def test_a_path_that_is_no_picture_file_by_kind_or_size_is_not_read(run: fr.Run, tmp_path: Path) -> None:
    model = fr.load(run.path)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(8 << 30)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name, why in (("sparse.png", "at most 268,435,456 bytes expected"), ("zero.png", r"zero\.png: .* expected")):
        with pytest.raises(fr.DataError, match=why):
            model.predict([tmp_path / name])
