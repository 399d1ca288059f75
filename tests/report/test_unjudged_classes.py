"""What is said of classes of which no image was judged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.rendering.languages import translated
from fittingroom.report.run_summary import said_of_none, unjudged_in_words
from fittingroom.runs.create import start
from fittingroom.serve.run_info import summary

pytestmark = pytest.mark.usefixtures("own_folder")


def test_classes_without_a_judged_image_are_named_in_terminal_report_and_card(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    labels = sample.labels
    rows = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in ((0, 40), (1, 40), (2, 1), (3, 2))])
    np.savez("rare.npz", x_train=sample.images[rows], y_train=labels[rows])
    assert main(["train", "rare.npz", "--epochs", "1", "--threads", "1", "--out", "runs/rare"]) == 0

    said = "o validation image is of 2, 3: what it makes of them isn't known"
    assert f"n{said}" in capsys.readouterr().out
    assert f"N{said}" in (Path("runs/rare") / "README.md").read_text(encoding="utf-8")
    page = (Path("runs/rare") / "report.html").read_text(encoding="utf-8")
    assert f"N{said}".replace("'", "&#39;") in page
    assert "weakest of 4 classes" not in page  # two were judged, and both are listed

    assert main(["export", "runs/rare", "--format", "page", "--out", "rare.html"]) == 0
    assert f"N{said}".replace("'", "&#39;") in Path("rare.html").read_text(encoding="utf-8")


def test_the_score_of_lopsided_classes_stands_beside_their_accuracy_wherever_a_model_goes() -> None:
    sample = fr.open_dataset("sample").train
    assert sample.labels is not None
    rows = np.concatenate([np.flatnonzero(sample.labels == k)[:n] for k, n in ((2, 100), (4, 20))])
    np.savez("lopsided.npz", x_train=sample.images[rows], y_train=sample.labels[rows])
    run = fr.train("lopsided.npz", fr.load_recipe("plain", overrides=["stages.0.epochs=1"]), folds=2, out="runs/lop")
    scores = run.result["validation"]
    said = f"balanced accuracy {scores['balanced_accuracy']['value']:.1%}"
    assert main(["export", "runs/lop", "--format", "page", "--out", "lop.html"]) == 0
    page = Path("lop.html").read_text(encoding="utf-8")
    assert "each judged by a model that learned from the other 1 of 2 folds" in page
    for text in (page, *((run.path / name).read_text(encoding="utf-8") for name in ("README.md", "report.html"))):
        assert said in text
    assert summary(run)["balanced_accuracy"] == scores["balanced_accuracy"]

    # What pages and card say of a stranger's run is checked before it is said.
    result = json.loads((run.path / "result.json").read_text(encoding="utf-8"))
    for name, value in (
        ("near_in_test", {"n": "<b>", "near": 1, "searched_by": ""}),
        ("validation", scores | {"folds": 1}),
    ):
        (run.path / "result.json").write_text(json.dumps(result | {name: value}), encoding="utf-8")
        assert main(["report", "runs/lop"]) == 2


def test_of_many_such_classes_some_are_named_and_the_others_counted_in_both_languages() -> None:
    rows = [{"class": f"c{i}", "n": int(i > 9)} for i in range(12)]
    words = unjudged_in_words({"per_class": rows}, "test")
    assert words == "no test image is of c0, c1, c2, c3 and 6 other classes: what it makes of them isn't known"
    assert translated(f"N{words[1:]}.", "report")
    assert unjudged_in_words({"per_class": rows[10:]}, "test") == ""


def test_one_test_image_is_said_in_the_singular_and_no_more_is_made_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    np.savez("one.npz", x_train=images, y_train=[0, 1, 2, 0, 1], x_test=255 - images[:1], y_test=[0])
    assert main(["train", "one.npz", "--epochs", "1", "--threads", "1", "--out", "runs/one"]) == 0
    printed = capsys.readouterr()
    assert "on 1 image; 95% interval" in printed.out
    assert "none of 5 held out for validation, as a tenth of them is none" in printed.err

    card = (Path("runs/one") / "README.md").read_text(encoding="utf-8")
    page = (Path("runs/one") / "report.html").read_text(encoding="utf-8")
    assert "1 test image;" in card
    assert "Its probabilities are not calibrated. 1 image is too few to say more of them." in card
    for text in (printed.out, card, page):
        assert " 1 images" not in text
        assert " 1 test images." not in text
        assert "as the least of 1" not in text
        assert not re.search(r"\bnan\b", text.split("<script")[0])
    assert "1 image is too few to tell whether its probabilities mean" in page
    sentence = "It is 41.6% sure on average, and right in 0.0% of cases; 1 image is too few to tell whether its "
    assert translated(f"{sentence}probabilities mean what they say.", "report")


def test_it_is_said_why_nothing_validates_where_the_recipe_holds_images_out() -> None:
    """Three near-duplicates of each of forty things: about 108 images to learn from, and all 120 were learned from."""
    recipe = fr.load_recipe("plain")
    for images, folds, validation, is_said in ((120, None, 0, True), (4, None, 0, False), (120, 5, 0, False)):
        environment: Any = SimpleNamespace(data=SimpleNamespace(train=SimpleNamespace(n=images), validation=validation))
        environment.folds = folds
        assert bool(said_of_none(environment, recipe)) == is_said
    assert said_of_none(environment, replace(recipe, validation=0)) == ""

    # The line at the start counts by the same: each class is ten copies of one image.
    copies = np.repeat(np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8), 10, axis=0)
    data = fr.Dataset(copies, np.repeat(np.arange(12), 10), tuple("abcdefghijkl"), "copies")
    said = start(data, fr.load_recipe("plain", overrides=["validation=40"]), out="copies").environment.recipe_reason
    assert said.startswith("120 images to learn from: 8 a step")
    assert "held out" not in said
