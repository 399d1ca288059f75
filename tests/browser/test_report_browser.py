"""A report opened from disk in Debian's Chromium, with the network off: what a reader sees is what the run holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fittingroom as fr
from fittingroom.report.page import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 800}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=2", "precision=float32"])
    run = fr.train("sample", recipe, out=tmp_path_factory.mktemp("runs") / "seen")
    run.evaluate()
    write_report(run)
    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        message = f"the report was not opened in a browser: {CHROMIUM} is missing (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def open_report(browser: Browser, run: fr.Run, size: str = "desktop", scheme: Any = "light") -> tuple[Page, list[str]]:
    """The page, and every address that it asked for."""
    width, height = SIZES[size]["width"], SIZES[size]["height"]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(f"console: {message.text}"))
    page.goto((run.path / "report.html").resolve().as_uri())
    return page, asked


def test_its_figures_are_those_of_the_result_and_it_asks_for_nothing(browser: Browser, run: fr.Run) -> None:
    page, asked = open_report(browser, run)
    scores = run.result["test"]
    assert page.inner_text("#accuracy") == f"{scores['accuracy']:.2%}"
    assert page.inner_text("#low") == f"{scores['interval'][0]:.2%}"
    assert page.inner_text("#high") == f"{scores['interval'][1]:.2%}"
    counts = page.eval_on_selector_all(".matrix td b", "cells => cells.map(cell => Number(cell.textContent))")
    assert counts == [count for row in scores["confusion"] for count in row]
    assert [url for url in asked if not url.startswith("data:")] == [(run.path / "report.html").resolve().as_uri()]


def test_every_picture_is_drawn_crisply(browser: Browser, run: fr.Run) -> None:
    page, _ = open_report(browser, run)
    pictures = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.naturalWidth, i.complete, getComputedStyle(i).imageRendering, i.alt])"
    )
    assert len(pictures) > 40
    assert {(width, complete, rendering) for width, complete, rendering, _ in pictures} == {(28, True, "pixelated")}
    assert all(", taken for " in alt for *_, alt in pictures)


@pytest.mark.parametrize("size", SIZES)
def test_the_page_never_scrolls_sideways(browser: Browser, run: fr.Run, size: str) -> None:
    page, _ = open_report(browser, run, size)
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('p, td, dd, figcaption')]"
        ".filter(e => e.offsetParent).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Browser, run: fr.Run, scheme: str) -> None:
    page, _ = open_report(browser, run, scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    colours = page.eval_on_selector_all(
        "p, h2, td, dt, dd, figcaption, .name, .doubt", "all => [...new Set(all.map(e => getComputedStyle(e).color))]"
    )
    for colour in set(colours) - {"rgba(0, 0, 0, 0)"}:  # an empty cell of the matrix shows its 0 when pointed at
        lighter, darker = sorted((luminance(colour), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{colour} on {paper}: WCAG asks for 4.5"


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, by WCAG 2."""
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_pointing_at_a_row_of_the_matrix_shows_its_shares(browser: Browser, run: fr.Run) -> None:
    page, _ = open_report(browser, run)
    row = page.locator(".matrix tbody tr").nth(6)
    counts = run.result["test"]["confusion"][6]
    assert row.locator("td").nth(6).inner_text() == f"{counts[6]}"
    row.hover()
    assert row.locator("td").nth(6).inner_text() == f"{counts[6] / sum(counts):.1%}"
    page.mouse.move(0, 0)
    row.focus()  # as a tap does, or the keyboard
    assert row.locator("td").nth(6).inner_text() == f"{counts[6] / sum(counts):.1%}"


def test_it_prints_on_white_without_its_navigation(browser: Browser, run: fr.Run) -> None:
    page, _ = open_report(browser, run, scheme="dark")
    page.emulate_media(media="print")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) == pytest.approx(1)
    assert not page.is_visible("nav")
    assert page.pdf().startswith(b"%PDF")
