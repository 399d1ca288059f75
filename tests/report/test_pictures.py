"""Runs on a folder of pictures in colour: report, model card and comparison show the pixels and name the files."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.compare import compare_runs
from fittingroom.compare.page import write_page
from fittingroom.rendering.contact_sheet import Row
from fittingroom.report.model_card import write_model_card
from fittingroom.report.page import write_report
from tests.support.colour_images import photographs, write_pictures

PICTURE = re.compile(r'<img class="tile" src="data:image/png;base64,([^"]+)"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose class is drawn by lot, so that models make mistakes."""
    root = tmp_path_factory.mktemp("pictures")
    for part, count in (("train", 300), ("test", 60)):
        photos = photographs(count, side=28, seed=count)
        labels = np.random.default_rng(count).integers(0, 2, count)
        write_pictures(root / part, fr.Dataset(photos.images, labels, photos.classes, "x"))
    return root


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[fr.Run]:
    recipe = ["model='tutorial'", "stages.0.epochs=1", "precision=float32"]
    trained = [
        fr.train(
            folder, fr.load_recipe("plain", overrides=[*recipe, f"seed={seed}"]), out=folder.parent / f"seed-{seed}"
        )
        for seed in (0, 1)
    ]
    for run in trained:
        run.evaluate()
    return trained


def pictures(html: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in PICTURE.findall(html)]


def test_mistakes_are_shown_in_colour_with_the_names_of_their_files(runs: list[fr.Run], folder: Path) -> None:
    page = write_report(runs[0]).read_text()
    mistakes = page[page.index('id="mistakes"') : page.index('id="answers"')]
    named = re.findall(r'<span class="file">([^<]+)</span>', mistakes)
    shown = pictures(mistakes)

    assert named
    assert len(named) == len(shown)
    for name, pixels in zip(named, shown, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(folder / name)))
    assert str(folder) not in mistakes


def test_the_card_says_colour_and_its_shape(runs: list[fr.Run]) -> None:
    (card,) = write_model_card(runs[0])
    assert "Names small images in colour (28×28 pixels)" in card.read_text()
    assert "# uint8 (N, 28, 28, 3), 0–255" in card.read_text()


def test_discordant_images_are_shown_in_colour_with_the_names_of_their_files(
    runs: list[fr.Run], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one answer of each is turned round, so that each gets a picture wrong that the other gets right
    copies = []
    for number, run in enumerate(runs):
        copies.append(shutil.copytree(run.path, tmp_path / f"run-{number}"))
        table = pl.read_parquet(copies[-1] / "predictions.parquet")
        first = (table["label"] == run.artifact.classes[0]).to_numpy()
        first = np.where(np.arange(len(table)) == number, ~first, first)
        answers = table.with_columns(
            predicted=pl.Series(np.where(first, *run.artifact.classes).astype(str)),
            p0=pl.Series(first.astype(np.float32)),
            p1=pl.Series(1 - first.astype(np.float32)),
        )
        answers.write_parquet(copies[-1] / "predictions.parquet", metadata={"format": "1"})

    compared = compare_runs(copies)
    (disagreements,) = compared.disagreements
    assert not disagreements.missing
    assert len(disagreements.images) == 2
    for image in disagreements.images:
        assert image.file is not None
        np.testing.assert_array_equal(disagreements.pixels[image.image], np.asarray(Image.open(folder / image.file)))
    told = compared.as_dict()["comparisons"][0]["discordant"]
    assert [each["file"] for each in told] == [image.file for image in disagreements.images]
    assert {each["right"] for each in told} == {"run-0", "run-1"}

    rows: list[Row] = []
    monkeypatch.setattr("fittingroom.compare.disagreements.contact_sheet", lambda given, **_texts: rows.extend(given))
    disagreements.sheet()
    captions = {name for row in rows for name, _ in row.captions}
    assert captions == {Path(image.file or "").name for image in disagreements.images}

    write_page(tmp_path / "compare.html", compared)
    html = (tmp_path / "compare.html").read_text()
    assert set(re.findall(r'<span class="file">([^<]+)</span>', html)) == {image.file for image in disagreements.images}
    assert [picture.shape for picture in pictures(html)] == [(28, 28, 3)] * 2
    assert str(folder) not in html
