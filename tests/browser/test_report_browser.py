"""A report opened from disk in Debian's Chromium, with the network off: what a reader sees is what the run holds."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.evaluation.mistakes import find_mistakes
from fittingroom.report.page import write_report
from fittingroom.report.pictures import confused_of
from fittingroom.report.run_summary import judged_on
from tests.browser.pages import SIZES, in_each_view, least_contrast, luminance, open_page, scrolls_sideways, serious
from tests.support import NARROW

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=2", "precision=float32", NARROW])
    run = fr.train("sample", recipe, out=tmp_path_factory.mktemp("runs") / "seen")
    run.evaluate()
    write_report(run)
    return run


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    run = fr.train("sample", recipe, seeds=2, out=tmp_path_factory.mktemp("runs") / "seeds")
    run.evaluate()
    write_report(run)
    return run


def test_its_figures_are_those_of_the_result_and_it_asks_for_nothing(browser: Browser, run: fr.Run) -> None:
    page, asked = open_page(browser, run.path / "report.html")
    scores = run.result["test"]
    assert page.inner_text("#accuracy") == f"{scores['accuracy']:.2%}"
    assert page.inner_text("#low") == f"{scores['interval'][0]:.2%}"
    assert page.inner_text("#high") == f"{scores['interval'][1]:.2%}"
    counts = page.eval_on_selector_all(".matrix td b", "cells => cells.map(cell => Number(cell.textContent))")
    assert counts == [count for row in scores["confusion"] for count in row]
    assert [url for url in asked if not url.startswith("data:")] == []


@in_each_view
def test_the_page_of_several_seeds_shows_their_mean_and_the_sum_of_their_confusions(
    browser: Browser, seeds: fr.Run, size: str, scheme: str
) -> None:
    page, asked = open_page(browser, seeds.path / "report.html", size, scheme)
    assert page.inner_text("#accuracy") == f"{seeds.result['mean']:.2%}"
    counts = page.eval_on_selector_all(".matrix td b", "cells => cells.map(cell => Number(cell.textContent))")
    summed = np.sum([member.result["test"]["confusion"] for member in seeds.members], axis=0)
    assert counts == summed.reshape(-1).tolist()
    assert [url for url in asked if not url.startswith("data:")] == []
    assert not scrolls_sideways(page, size)
    assert least_contrast(page, "p, h2, td, dt, dd, .name") >= 4.5


def test_every_picture_is_drawn_crisply(browser: Browser, run: fr.Run) -> None:
    page, _ = open_page(browser, run.path / "report.html")
    pictures = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.naturalWidth, i.complete, getComputedStyle(i).imageRendering, i.alt])"
    )
    assert len(pictures) > 40
    assert {(width, complete, rendering) for width, complete, rendering, _ in pictures} == {(28, True, "pixelated")}
    assert all(", taken for " in alt for *_, alt in pictures)


@pytest.mark.parametrize("size", SIZES)
def test_the_page_never_scrolls_sideways(browser: Browser, run: fr.Run, size: str) -> None:
    page, _ = open_page(browser, run.path / "report.html", size)
    assert not scrolls_sideways(page, size)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('p, td, dd, figcaption')]"
        ".filter(e => e.offsetParent).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Browser, run: fr.Run, scheme: str) -> None:
    page, _ = open_page(browser, run.path / "report.html", scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    assert least_contrast(page, "p, h2, td, dt, dd, figcaption, .name, .check") >= 4.5  # what WCAG asks for


def test_pointing_at_a_row_of_the_matrix_shows_its_shares(browser: Browser, run: fr.Run) -> None:
    page, _ = open_page(browser, run.path / "report.html")
    row = page.locator(".matrix tbody tr").nth(6)
    counts = run.result["test"]["confusion"][6]
    assert row.locator("td").nth(6).inner_text() == f"{counts[6]}"

    row.hover()
    assert row.locator("td").nth(6).inner_text() == f"{counts[6] / sum(counts):.1%}"

    page.mouse.move(0, 0)
    row.focus()  # as a tap does, or the keyboard
    assert row.locator("td").nth(6).inner_text() == f"{counts[6] / sum(counts):.1%}"


def test_it_prints_on_white_without_its_navigation(browser: Browser, run: fr.Run) -> None:
    page, _ = open_page(browser, run.path / "report.html", scheme="dark")
    page.emulate_media(media="print")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) == pytest.approx(1)
    assert not page.is_visible("nav")
    assert page.pdf().startswith(b"%PDF")


def test_a_cell_of_the_matrix_opens_the_surest_of_its_mistakes(browser: Browser, run: fr.Run) -> None:
    page, asked = open_page(browser, run.path / "report.html")
    confusion = np.array(run.result["test"]["confusion"])
    np.fill_diagonal(confusion, 0)
    assert page.locator(".matrix td a").count() == np.count_nonzero(confusion)

    i, j = np.unravel_index(confusion.argmax(), confusion.shape)
    cell = page.locator(f"#confused-{i}-{j}")
    assert not cell.is_visible()
    page.click(f'.matrix a[href="#confused-{i}-{j}"]')
    assert cell.is_visible()
    classes = run.artifact.classes
    assert cell.locator("h3").inner_text().startswith(f"{classes[i]} taken for {classes[j]}: {confusion[i, j]}")
    assert cell.locator(".sprite").count() == min(6, confusion[i, j])
    page.keyboard.press("Tab")
    page.click(f"#confused-{i}-{j} h3 a")
    assert not cell.is_visible()
    assert [url for url in asked if not url.startswith("data:")] == []


def test_what_a_cell_opens_are_the_images_themselves(run: fr.Run) -> None:
    judged = judged_on(run)
    assert judged is not None
    images = run.images("test")
    confused, sprite = confused_of(judged, images)
    assert sprite is not None
    grid = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite.source.split(",")[1]))))
    table = judged.table
    number = 0
    for cell in confused:
        rows = [row for row in find_mistakes(table) if (table.truth[row], table.predicted[row]) == cell.place]
        for row, (x, y, _) in zip(rows, cell.tiles, strict=False):
            column, line = round(x / 100 * (sprite.columns - 1)), round(y / 100 * max(1, sprite.rows - 1))
            tile = grid[28 * line : 28 * line + 28, 28 * column : 28 * column + 28]
            assert (tile == images[table.images[row]]).all()
            number += 1
    assert number > 50


@pytest.mark.parametrize("size", SIZES)
def test_the_switch_puts_all_of_the_page_into_chinese_and_back(browser: Browser, run: fr.Run, size: str) -> None:
    page, asked = open_page(browser, run.path / "report.html", size)
    english = page.inner_text("main")
    page.click("#languages [data-language=zh]")
    assert page.inner_text("h1") == f"准确率 {run.result['test']['accuracy']:.2%}"
    assert page.inner_text("#diagnosis h2, #curves h2") in ("诊断", "曲线")
    assert page.inner_text("#try h2") == "试一试"
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    counts = page.eval_on_selector_all(".matrix td b", "cells => cells.map(cell => Number(cell.textContent))")
    assert counts == [count for row in run.result["test"]["confusion"] for count in row]
    assert serious(page) == []
    assert not scrolls_sideways(page, size)

    page.focus("#languages [data-language=en]")
    page.keyboard.press("Enter")
    assert page.inner_text("main") == english
    assert [url for url in asked if not url.startswith("data:")] == []
