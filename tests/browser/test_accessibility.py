"""Every page by axe-core, light and dark, in Debian's Chromium: nothing that it calls serious."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fittingroom.cli import main
from tests.browser.pages import SIZES, in_each_view, open_page, scrolls_sideways, serious
from tests.support import NARROW, SUPPORT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Two words of English beside each other, which no name of the program or of the data has in these pages.
ENGLISH = re.compile(r"(?<![\w.-])[a-z]{2,} [a-z]{2,}(?![\w.-])")
NAMES = re.compile("sample (train|test)|fittingroom data fetch")  # of parts, and a command

SMALL = f"--recipe plain --epochs 1 --threads 1 --set precision=float32 --set {NARROW} --quiet"
LINEAR = f"--recipe plain --epochs 1 --threads 1 --{{}} model='{SUPPORT / 'linear_net.py'}:net' --quiet"
SPACE = 'lr = { low = 0.001, high = 0.3, log = true }\nmirror = ["none", "random"]\n'
PAGES = {
    "report": "runs/one/report.html",
    "report of seeds": "runs/seeds/report.html",
    "compare": "compare.html",
    "tune": "study/report.html",
    "try": "ideas/report.html",
    "data check": "check.html",
    "predict": "answers.html",
    "model": "model.html",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command that writes a page has written it."""
    folder: Path = tmp_path_factory.mktemp("pages")
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    commands = (
        f"train sample {SMALL} --seed 0 --out runs/one",
        f"train sample {SMALL} --seed 1 --out runs/two",
        f"train sample {SMALL} --seeds 2 --out runs/seeds",
        "compare runs/one runs/two --html compare.html",
        f"tune sample {LINEAR.format('set')} --space space.toml --trials 3 --final-seeds 2 --out study",
        f"try sample {LINEAR.format('baseline')} --set mirror=random --budget 1s --out ideas",
        "data show sample --sheet sheet.png",
        "predict runs/one sheet.png --html answers.html",
        "export runs/one --format page --out model.html",
        "data check sample --html check.html",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            assert main(command.split()) == 0, command
    return folder


@in_each_view
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_nothing_that_axe_calls_serious_one_main_part_and_fits(
    browser: Browser, pages: Path, name: str, scheme: str, size: str
) -> None:
    page, asked = open_page(browser, pages / PAGES[name], size, scheme)
    assert serious(page) == []
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    assert not scrolls_sideways(page, size)
    assert [address for address in asked if not address.startswith("data:")] == []

    # A window of 1,280 pixels at 200% has 640.
    page.set_viewport_size({"width": 640, "height": 450})
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    page.context.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_chinese_has_no_english_sentence_and_fits(
    browser: Browser, pages: Path, name: str, size: str
) -> None:
    page, asked = open_page(browser, pages / PAGES[name], size)
    page.click("#languages [data-language=zh]")
    shown = page.evaluate(
        """[...document.querySelectorAll("main *")].filter(e => e.checkVisibility() && !e.closest("pre, code, script"))
        .flatMap(e => [...[...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data), e.getAttribute("title"),
                       e.getAttribute("alt"), e.getAttribute("aria-label")]).filter(Boolean)"""
    )
    assert [text for text in shown if ENGLISH.search(NAMES.sub("", text))] == []
    assert re.search("[一-鿿]", page.inner_text("h1")), page.inner_text("h1")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert serious(page) == []
    assert not scrolls_sideways(page, size)
    assert [address for address in asked if not address.startswith("data:")] == []
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_printed_dark_on_white_and_fits_the_paper(browser: Browser, pages: Path, name: str) -> None:
    """A4 less its margins is 186 mm: 703 pixels."""
    page, _ = open_page(browser, pages / PAGES[name], scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 703, "height": 1000})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert page.locator("button:visible, select:visible, nav:visible").count() == 0
    page.context.close()
