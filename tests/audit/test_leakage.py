"""What a training says of test images that are like ones it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.audit import known_pairs
from fittingroom.audit.leakage import NearInTest, near_in_test
from fittingroom.cli import main

TINY = ["--recipe", "plain", "--epochs", "1", "--set", "precision=float32", "--threads", "1"]


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def sample() -> fr.Splits:
    return fr.open_dataset("sample")


@pytest.fixture
def leaky(sample: fr.Splits, own_folder: None) -> Path:
    """500 training images; of 150 test images 60 are softened copies of the first of them."""
    train, test = sample.train, sample.test
    assert test is not None
    assert train.labels is not None
    assert test.labels is not None
    softer = [np.asarray(Image.fromarray(image).resize((24, 24)).resize((28, 28))) for image in train.images[:60]]
    np.savez(
        "leaky.npz",
        x_train=train.images[:500],
        y_train=train.labels[:500],
        x_test=np.concatenate([np.stack(softer), test.images[:90]]),
        y_test=np.concatenate([train.labels[:60], test.labels[:90]]),
    )
    return Path("leaky.npz")


def trained(*arguments: str) -> dict[str, object]:
    """The result of the newest run."""
    assert main(["train", *arguments, *TINY]) == 0
    newest = max(Path("runs").glob("*/result.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    result: dict[str, object] = json.loads(newest.read_text(encoding="utf-8"))
    return result


def learned_of_first_60(run: fr.Run, sample: fr.Splits) -> int:
    """How many of the 60 originals were not held out for validation."""
    held_out = set(pl.read_parquet(run.predictions_file("validation"))["image"])
    return sum(digest.hex() not in held_out for digest in sample.train.subset(range(60)).image_hashes())


def test_train_counts_test_images_that_are_altered_copies_of_what_it_learned_from(
    leaky: Path, sample: fr.Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    found = trained(str(leaky))["near_in_test"]
    assert isinstance(found, dict)
    copies = learned_of_first_60(fr.open_run("runs/plain-1"), sample)
    assert 40 <= copies < 60  # some originals were held out, and those teach nothing
    assert copies - 4 <= found["near"] <= copies + 4
    assert (found["n"], found["searched_by"]) == (150, "search")
    said = f"overlap     {found['near']} of the 150 test images ({found['near'] / 150:.2%}) are near-duplicates of"
    assert said in capsys.readouterr().out


def test_every_seed_and_their_summary_have_the_number(leaky: Path) -> None:
    summary = trained(str(leaky), "--seeds", "2")
    for seed in (0, 1):
        member = json.loads(Path(f"runs/plain-1/seed-{seed}/result.json").read_text(encoding="utf-8"))
        assert member["near_in_test"] == summary["near_in_test"]


def test_a_training_that_is_not_judged_by_test_says_nothing_of_it(
    leaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "near_in_test" not in trained(str(leaky), "--no-test")
    assert "overlap" not in capsys.readouterr().out


def test_where_a_search_takes_long_what_a_data_check_found_is_said(
    leaky: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(known_pairs, "MAX_IMAGES", 100)
    before = trained(str(leaky))["near_in_test"]
    assert before == {"n": 150, "near": None, "searched_by": "", "equal": 0}
    assert "near-duplicates were not looked for; fittingroom data check leaky.npz does it" in capsys.readouterr().out

    assert main(["data", "check", str(leaky)]) in (0, 1, 2)
    after = trained(str(leaky))["near_in_test"]
    assert isinstance(after, dict)
    assert after["searched_by"] == "data check"
    assert after["near"] >= 40


def test_equal_pictures_without_a_pattern_are_counted_which_a_search_passes_over() -> None:
    plain = np.repeat(np.arange(0, 240, 4, dtype=np.uint8), 400).reshape(60, 20, 20)
    labels = np.arange(60) % 2
    train = fr.Dataset(plain, labels, ("a", "b"), "train")
    test = fr.Dataset(plain[[3, 5, 7, 9]], labels[[3, 5, 7, 9]], ("a", "b"), "test")
    held_out = train.subset(np.array([9]))
    assert near_in_test(train, test, None, cache=False).near == 4
    assert near_in_test(train, test, held_out, cache=False).near == 3  # that one was not learned from


def test_test_images_that_were_trained_on_are_said_to_be_in_terminal_report_and_card(
    sample: fr.Splits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = sample.train, sample.test
    assert test is not None
    assert train.labels is not None
    assert test.labels is not None
    images = np.concatenate([train.images[:60], test.images[:90]])
    labels = np.concatenate([train.labels[:60], test.labels[:90]])
    np.savez("copied.npz", x_train=train.images[:500], y_train=train.labels[:500], x_test=images, y_test=labels)
    found = trained("copied.npz")["near_in_test"]
    assert isinstance(found, dict)
    run = fr.open_run("runs/plain-1")
    assert found["equal"] == learned_of_first_60(run, sample)

    said = (
        f"{found['equal']} of the 150 test images ({found['equal'] / 150:.2%}) are among those that it was trained on"
    )
    assert f"overlap     {said}" in capsys.readouterr().out
    assert said in (run.path / "report.html").read_text(encoding="utf-8")
    assert said in (run.path / "README.md").read_text(encoding="utf-8")

    # Equal ones are known without a search.
    monkeypatch.setattr(known_pairs, "MAX_IMAGES", 100)
    unsearched = trained("copied.npz")["near_in_test"]
    assert isinstance(unsearched, dict)
    assert (unsearched["equal"], unsearched["near"]) == (found["equal"], None)


def test_an_accuracy_has_the_warning_beside_it_where_copies_flatter_it() -> None:
    assert NearInTest(n=100, near=1, searched_by="search").flatters
    assert NearInTest(n=1_000, near=1, searched_by="search", equal=1).flatters
    assert not NearInTest(n=10_000, near=42, searched_by="package").flatters
    both = NearInTest(n=100, near=5, searched_by="search", equal=4)
    assert both.sentence == (
        "4 of the 100 test images (4.00%) are among those that it was trained on, and 1 other is a near-duplicate of "
        "such: expect less on new images"
    )


def test_the_official_sets_need_no_search(official_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_pairs, "near_duplicates", None)
    data = fr.open_dataset(official_folder)
    assert data.test is not None
    found = near_in_test(data.train, data.test, None, cache=False)
    assert (found.n, found.near, found.searched_by) == (10_000, 42, "package")
    assert found.sentence.startswith("42 of the 10,000 test images (0.42%) are near-duplicates of training images")
