"""compare.html opened from disk in Debian's Chromium, with the network off: its figures are those of ``--json``."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fittingroom.cli import main
from fittingroom.compare.comparison import points
from tests.browser.pages import in_each_view, least_contrast, open_page, scrolls_sideways

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The page on two models, and what ``--json`` said of them."""
    runs: Path = tmp_path_factory.mktemp("compared") / "runs"
    small = ["sample", "--recipe", "plain", "--epochs", "1", "--set", "precision=float32", "--quiet", "--seeds", "2"]
    assert main(["train", *small, "--out", str(runs / "two")]) == 0

    models = [str(runs / "two" / f"seed-{seed}") for seed in (0, 1)]
    page = runs / "compare.html"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["compare", *models, "--json", "--html", str(page)]) == 0
    return page, json.loads(printed.getvalue())["comparisons"][0]


def test_its_figures_are_those_of_json_and_it_asks_for_nothing(
    browser: Browser, compared: tuple[Path, dict[str, Any]]
) -> None:
    file, said = compared
    page, asked = open_page(browser, file)
    assert [url for url in asked if not url.startswith("data:")] == []

    verdict = page.inner_text("h1")
    assert verdict.lower().startswith(said["sentence"].split(";")[0].lower())
    for figure in (abs(said["difference"]), *map(abs, said["interval"])):
        assert points(figure) in page.inner_text("body")

    rows = page.eval_on_selector_all(
        "section:nth-of-type(2) table tr", "rows => rows.slice(1).map(row => [...row.cells].map(c => c.innerText))"
    )
    listed = [row for row in said["per_class"] if row["says_something"]]
    assert [row[0] for row in rows] == [row["name"] for row in listed]
    for shown, row in zip(rows, listed, strict=True):
        assert shown[1] == f"{row['n']:,}"
        assert shown[4] == points(row["difference"], signed=True)

    headings = page.eval_on_selector_all(
        "section > h3", "all => all.map(e => Number(e.innerText.match(/([\\d,]+) images/)[1]))"
    )
    assert sum(headings) == said["images_apart"]

    pictures = page.eval_on_selector_all("img", "all => all.map(i => [i.naturalWidth, i.complete])")
    assert pictures
    assert all(picture == [28, True] for picture in pictures)


def test_a_cell_of_the_matrix_opens_its_images_without_a_script(
    browser: Browser, compared: tuple[Path, dict[str, Any]]
) -> None:
    page, _ = open_page(browser, compared[0])
    assert page.locator(".cell:visible").count() == 0
    link = page.locator(".differences a").first
    counts = {sign: int(n) for sign, n in re.findall(r"([+−])(\d+)", link.inner_text())}
    link.click()
    opened = page.locator(".cell:visible")
    assert opened.count() == 1
    assert opened.locator(".tiles .sprite").count() == min(6, sum(counts.values()))
    box = opened.locator(".sprite").first.bounding_box()
    assert box is not None
    assert abs(box["width"] - 96) < 1
    assert abs(box["height"] - 96) < 1
    opened.locator("a").click()
    assert page.locator(".cell:visible").count() == 0


@in_each_view
def test_it_is_readable_everywhere(
    browser: Browser, compared: tuple[Path, dict[str, Any]], size: str, scheme: str
) -> None:
    page, _ = open_page(browser, compared[0], size, scheme)
    assert not scrolls_sideways(page, size)
    assert least_contrast(page, "h1, h2, h3, p, td, th, figcaption, s") >= 4.5
