"""The map of a report in Debian's Chromium: it says what an image is, by mouse and by keys, on any screen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fittingroom as fr
from fittingroom.report.map import section
from fittingroom.report.page import write_report
from tests.browser.pages import in_each_view, least_contrast, open_page, scrolls_sideways, serious
from tests.support.small_run import train_small

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run: fr.Run = train_small(tmp_path_factory.mktemp("map") / "run")
    run.evaluate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(section, "MAX_IMAGES", 200)  # t-SNE takes its seconds
        return write_report(run, with_map=True)


def data_of(page: Page) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        page.locator("#map-data").inner_text() or page.locator("#map-data").inner_html()
    )
    return content


def says(data: dict[str, Any], image: list[Any]) -> list[str]:
    _, _, truth, predicted, thousandths, row = image
    mark = "✓" if truth == predicted else "✗"
    names = data["classes"]
    return [
        f"{mark} predicted {names[predicted]}, {thousandths / 10:.1f}%",
        f"labelled {names[truth]}",
        f"test image {row:,}",
    ]


@in_each_view
def test_an_image_that_is_clicked_is_shown_and_named(browser: Browser, file: Path, size: str, scheme: str) -> None:
    page, asked = open_page(browser, file, size, scheme)
    data = data_of(page)
    page.wait_for_selector("#map-grid[tabindex]")
    assert not scrolls_sideways(page, size)

    # the nearest to the left edge, which is in view on a phone too
    image = min(data["images"], key=lambda each: (each[0], each[1]))
    width = page.evaluate(
        "document.getElementById('map-grid').clientWidth / document.getElementById('map-picture').naturalWidth"
    )
    place = {"x": (16 * image[0] + 8) * width, "y": (16 * image[1] + 8) * width}
    page.locator("#map-grid").click(position=place)  # type: ignore[arg-type]
    assert page.locator("#map-says span").all_inner_texts() == says(data, image)

    assert [address for address in asked if not address.startswith("data:")] == []
    assert least_contrast(page, "#map p, #map span, .nearest *") >= 4.5
    assert size == "phone" or serious(page) == []


def test_keys_go_from_image_to_image_and_from_mistake_to_mistake(browser: Browser, file: Path) -> None:
    page, _ = open_page(browser, file)
    data = data_of(page)
    page.wait_for_selector("#map-grid[tabindex]")
    page.locator("#map-grid").focus()
    mistakes = [image for image in data["images"] if image[2] != image[3]]
    assert page.locator("#map-says span").all_inner_texts() == says(data, mistakes[0])
    page.keyboard.press("n")
    assert page.locator("#map-says span").all_inner_texts() == says(data, mistakes[1])
    page.keyboard.press("p")
    page.keyboard.press("p")
    assert page.locator("#map-says span").all_inner_texts() == says(data, mistakes[-1])

    before = mistakes[-1]
    left = any(image[0] < before[0] for image in data["images"])
    page.keyboard.press("ArrowLeft" if left else "ArrowRight")
    now = next(
        image for image in data["images"] if says(data, image) == page.locator("#map-says span").all_inner_texts()
    )
    assert (now[0] < before[0]) == left
    assert now != before


def test_the_map_speaks_the_language_of_the_page_and_dims_other_classes(browser: Browser, file: Path) -> None:
    page, _ = open_page(browser, file)
    page.wait_for_selector("#map-grid[tabindex]")
    of_the_map = "[...document.querySelectorAll('#map :is(h2, p, text, [data-map-word]), .nearest p, .nearest .label')]"
    words = page.evaluate(f"{of_the_map}.map(each => each.textContent.trim())")
    page.click("#languages [data-language=zh]")
    page.wait_for_function("document.getElementById('map-says').textContent.includes('标签')")
    assert page.inner_text("#map h2") == "测试集地图"
    chinese = page.evaluate(f"{of_the_map}.map(each => each.textContent.trim())")
    assert len(words) > 20
    assert set(words) & set(chinese) <= {""}
    assert not re.search("[，。] ", page.locator("#map").inner_text())

    data = data_of(page)
    page.select_option("#map-class", "6")
    dimmed = page.locator("#map-dim").get_attribute("d") or ""
    assert dimmed.count("M") == sum(image[2] != 6 for image in data["images"])


def test_the_map_is_printed_without_what_is_pressed(browser: Browser, file: Path) -> None:
    page, _ = open_page(browser, file, scheme="dark")
    page.wait_for_selector("#map-grid[tabindex]")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 less its margins
    assert page.locator("#map-picture").is_visible()
    assert page.locator("#map button:visible, #map select:visible, #map canvas:visible").count() == 0
    page.context.close()


def test_without_script_the_map_is_there_and_says_what_it_is(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(file.resolve().as_uri())
    picture = page.locator("#map-grid")
    assert picture.get_attribute("role") == "img"
    assert "200 images" in (picture.get_attribute("aria-label") or "")
    box = page.locator("#map-picture").bounding_box()
    assert box is not None
    assert box["width"] > 200
    assert page.locator("#map-side").is_hidden()
    context.close()
