"""Judging a run: labels by name, never by number; what doesn't fit is refused; the curve is drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.evaluation.metrics import log_loss
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.report.plots import plot_loss
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.training.inference import predict_dataset
from tests.support import NARROW


@pytest.fixture(scope="module")
def sample() -> fr.Splits:
    return fr.open_dataset("sample")


@pytest.fixture(scope="module")
def run(sample: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    # So few steps leave a network far too unsure, which a temperature makes much better, on other images too.
    few_steps = ["model='tutorial'", "stages.0.epochs=2", "stages.0.lr=0.003", "batch_size=256", "ema=0"]
    plain_images = [f"{key}=0" for key in ("shift", "rotate", "scale", "brightness", "contrast")]
    recipe = fr.load_recipe("plain", overrides=[*few_steps, *plain_images, "precision=float32"])
    return fr.train(sample, recipe, out=tmp_path_factory.mktemp("runs") / "run")


def test_a_set_with_its_classes_in_another_order_is_judged_by_name(sample: fr.Splits, run: fr.Run) -> None:
    assert sample.test is not None
    assert sample.test.labels is not None
    turned = tuple(reversed(sample.test.classes))
    other_order = fr.Dataset(sample.test.images, 9 - sample.test.labels, turned, "other order")
    assert run.evaluate(other_order)["correct"] == run.evaluate(sample.test)["correct"]


def test_a_set_with_other_class_names_is_refused_with_both_lists(sample: fr.Splits, run: fr.Run) -> None:
    assert sample.test is not None
    other = replace(sample.test, classes=tuple("abcdefghij"))
    with pytest.raises(fr.DataError, match=r"T-shirt/top.*found \[a, b, c"):
        run.evaluate(other)


def test_images_of_another_size_are_judged_as_predict_sees_them_and_it_is_said(
    sample: fr.Splits, run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample.test is not None
    large = replace(sample.test, images=sample.test.images.repeat(2, axis=1).repeat(2, axis=2))
    np.savez(tmp_path / "large.npz", images=large.images)

    with pytest.warns(UserWarning, match=r"grey images of 28×28 pixels; these, grey images of 56×56 pixels, are made"):
        scores = run.evaluate(large)

    assert main(["predict", str(run.path), str(tmp_path / "large.npz"), "--json"]) == 0
    printed = capsys.readouterr()
    labels = [answer["label"] for answer in json.loads(printed.out)]
    assert scores["correct"] == np.count_nonzero(labels == large.labels)
    assert scores["accuracy"] > 0.5, "an image that was only enlarged shows the same"
    assert printed.err.count("images of another size than 28×28 are fitted in") == 1


def test_the_result_has_the_loss_of_what_ships_and_the_uncalibrated_one(run: fr.Run) -> None:
    network, artifact = run.artifact.network(), run.artifact
    splits = run.open_data()
    assert splits.test is not None
    said = predict_dataset(network, splits.test, artifact.normalization)
    assert splits.test.labels is not None

    scores = run.evaluate(splits.test)
    assert scores["loss_uncalibrated"] == pytest.approx(log_loss(said.probabilities, splits.test.labels), rel=1e-5)
    shipped = fr.load(run.path).predict_proba(splits.test.images)
    assert scores["loss"] == pytest.approx(log_loss(shipped, splits.test.labels), rel=1e-4)
    assert scores["loss"] != scores["loss_uncalibrated"]
    assert scores["correct"] == (said.predicted == splits.test.labels).sum()

    # Of validation the loss is cross-fitted: its images are judged by temperatures that others gave.
    validation = run.result["validation"]
    kept = read_predictions(run.predictions_file("validation"), artifact.classes)
    assert validation["loss"] == pytest.approx(log_loss(kept.probabilities, kept.truth), rel=1e-6)
    images = run.images("validation", set(kept.images))
    held_out = np.stack([images[digest] for digest in kept.images])
    in_sample = log_loss(fr.load(run.path).predict_proba(held_out), kept.truth)
    assert in_sample < validation["loss"] < validation["loss_uncalibrated"]

    # The curve goes on from epoch to epoch by what the network says, uncalibrated.
    epochs = [event for event in read_metrics(run.path / "metrics.jsonl") if event["event"] == "epoch"]
    assert epochs[-1]["validation_loss"] == pytest.approx(validation["loss_uncalibrated"], rel=1e-5)


def test_another_test_set_in_place_of_the_runs_own_is_refused(sample: fr.Splits, run: fr.Run) -> None:
    assert sample.test is not None
    exchanged = fr.Run(run.path, replace(sample, test=sample.test.subset(range(500))))
    with pytest.raises(fr.DataError, match="not the test set that the run was started with"):
        exchanged.evaluate()


@pytest.mark.parametrize("xkcd", [False, True])
def test_the_loss_curve_is_a_picture_in_either_style(run: fr.Run, xkcd: bool) -> None:
    path = plot_loss(run.path, xkcd=xkcd, stage_epochs=[1, 1])
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (960, 540)
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50  # something is drawn


def test_one_bad_batch_does_not_flatten_the_loss_curve(run: fr.Run, tmp_path: Path) -> None:
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    bad = next(i for i, line in enumerate(lines) if '"step"' in line)
    lines[bad] = json.dumps(json.loads(lines[bad]) | {"loss": 1e6})
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    with Image.open(plot_loss(tmp_path)) as picture:
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), dtype=int), -1, 0)

    height = len(red)
    of_train = (red == 0x40) & (green == 0x59) & (blue == 0xAD)
    assert of_train[height // 6 :].any(axis=1).sum() > height / 8  # rows below the legend


def test_a_run_of_data_in_memory_says_that_it_needs_the_data_again(run: fr.Run, tmp_path: Path) -> None:
    splits = replace(fr.open_dataset("sample"), source="")
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    made = fr.train(splits, recipe, out=tmp_path / "run")

    with pytest.raises(fr.DataError, match="given in memory; give it again"):
        fr.open_run(made.path).evaluate()
    assert fr.open_run(made.path).evaluate(splits.test)["n"] == 1000


def test_images_are_given_by_the_hashes_that_predictions_name_them_by(run: fr.Run) -> None:
    validation = read_predictions(run.predictions_file("validation"), run.artifact.classes)
    wanted = set(validation.images[:5])

    images = run.images("validation", wanted)  # which lie in train: the run held them out of it

    assert images.keys() == wanted
    for digest, image in images.items():
        row = validation.images.index(digest)
        alone = fr.Dataset(image[None], validation.truth[row : row + 1], validation.classes, "one image")
        assert alone.image_hashes()[0].hex() == digest


def test_images_of_a_part_that_the_data_lacks_are_refused(run: fr.Run, sample: fr.Splits) -> None:
    assert len(fr.Run(run.path, sample).images("test")) == 1000
    with pytest.raises(fr.DataError, match="a test set expected, it has none"):
        fr.Run(run.path, replace(sample, test=None)).images("test")
