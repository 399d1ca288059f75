"""Pages on pictures in colour, in Debian's Chromium: pixels keep colours, files their names, phones their width."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.audit import as_html, check
from fittingroom.report.page import write_report
from tests.browser.pages import SIZES, least_contrast, open_page, scrolls_sideways
from tests.support.colour_images import photographs, write_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CLASSES = ("a_temple_that_stands_on_a_hill_above_the_city_in_the_evening", "flower")
COLOURED = """all => all.map(image => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, i) => i % 4 === 0 && (value !== data[i + 1] || value !== data[i + 2]));
})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose class is drawn by lot, so that a model makes mistakes; two of train's are equal."""
    root = tmp_path_factory.mktemp("pictures")
    for part, count in (("train", 200), ("test", 60)):
        photos = photographs(count, side=28, seed=count)
        images = np.concatenate([photos.images[:1], photos.images[:-1]])
        labels = np.random.default_rng(count).integers(0, 2, count)
        write_pictures(root / part, fr.Dataset(images, labels, CLASSES, "x"))
    return root


@pytest.fixture(scope="module")
def pages(folder: Path) -> list[Path]:
    """The report on a run, and the data check."""
    overrides = ["model='tutorial'", "stages.0.epochs=1", "precision=float32"]
    run = fr.train(folder, fr.load_recipe("plain", overrides=overrides), out=folder.parent / "run")
    run.evaluate()
    checked = folder.parent / "check.html"
    checked.write_text(as_html(check([folder], cache=False)))
    return [write_report(run), checked]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", [0, 1], ids=["report", "check"])
def test_colours_and_names_are_seen_on_any_screen(browser: Browser, pages: list[Path], number: int, size: str) -> None:
    page, asked = open_page(browser, pages[number], size)
    assert [address for address in asked if not address.startswith("data:")] == []
    assert not scrolls_sideways(page, size)
    assert CLASSES[0] + "/0" in page.inner_text("body")
    coloured = page.eval_on_selector_all("img", COLOURED)
    assert coloured
    assert all(coloured)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_of_files_stand_out_in_both_schemes(browser: Browser, pages: list[Path], scheme: str) -> None:
    page, _ = open_page(browser, pages[0], scheme=scheme)
    assert least_contrast(page, ".file") >= 4.5
