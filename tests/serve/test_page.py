"""The page as a person uses it, in Debian's Chromium: each way in gives the API's answer, errors are shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.conftest import Running, started


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    """Opened, in English; nothing may be written to its console, where a breach of the policy would show."""
    context = browser.new_context(locale="en-GB")
    page, messages = context.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#examples button")).to_have_count(100)
    yield page
    context.close()
    # a request that is refused on purpose, and the report's script, which the sandbox keeps from running
    expected = ("Failed to load resource", "Blocked script execution in")
    assert [text for text in messages if not text.startswith(expected)] == []


def answer_of(server: Running, content: bytes, model: str = "first") -> dict[str, Any]:
    with server.client() as client:
        answer: dict[str, Any] = client.post(f"/predict?model={model}", content=content).json()
        return answer


def expect_answer(page: Page, answer: dict[str, Any]) -> None:
    expect(page.locator("#headline")).to_contain_text(f"{answer['class']}, {answer['probability']:.1%}")
    shown = page.locator("#bars li").all_inner_texts()
    assert [re.sub(r"\s+", " ", text) for text in shown] == [f"{name} {share:.1%}" for name, share in answer["top"]]
    assert page.locator("#seen").get_attribute("src") == answer["seen"]
    levels = ((0.01, "unlike the training images"), (0.05, "somewhat unusual"), (1, f"about {answer['typical']:.0%}"))
    sentence = next(text for least, text in levels if answer["typical"] <= least)
    expect(page.locator("#ood")).to_contain_text(sentence)
    assert page.locator("#ood.unlike").count() == answer["unfamiliar"]


def as_file(content: bytes) -> str:
    """JavaScript for a File of these bytes."""
    encoded = base64.b64encode(content).decode()
    return f"new File([Uint8Array.from(atob('{encoded}'), c => c.charCodeAt(0))], 'a.jpg', {{type: 'image/jpeg'}})"


def transfer(content: bytes) -> str:
    return f"(() => {{ const data = new DataTransfer(); data.items.add({as_file(content)}); return data; }})()"


@pytest.mark.parametrize("way", ["#file", "#camera"])
def test_a_chosen_or_photographed_picture_gets_the_apis_answer(
    page: Page, server: Running, shoe: bytes, way: str, tmp_path: Path
) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page.set_input_files(way, tmp_path / "shoe.jpg")
    expect_answer(page, answer_of(server, shoe))


def test_a_dropped_picture_gets_the_apis_answer(page: Page, server: Running, shoe: bytes) -> None:
    page.evaluate(
        f"document.dispatchEvent(new DragEvent('drop', {{dataTransfer: {transfer(shoe)}, cancelable: true}}))"
    )
    expect_answer(page, answer_of(server, shoe))


def test_a_pasted_picture_gets_the_apis_answer(page: Page, server: Running, shoe: bytes) -> None:
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {transfer(shoe)}}}))")
    expect_answer(page, answer_of(server, shoe))


def drawn(page: Page) -> bytes:
    uri = page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
    return base64.b64decode(uri.split(",")[1])


def test_a_drawing_by_mouse_gets_the_apis_answer(page: Page, server: Running) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 180, steps=8)
    page.mouse.up()
    expect(page.locator("#result")).to_be_visible()
    expect_answer(page, answer_of(server, drawn(page)))
    assert answer_of(server, drawn(page))["seen"] == page.locator("#seen").get_attribute("src")


def test_a_drawing_by_keyboard_gets_the_apis_answer(page: Page, server: Running) -> None:
    page.locator("#canvas").focus()
    for key in [" ", *["ArrowDown"] * 6, " "]:
        page.keyboard.press(key)
    page.wait_for_load_state("networkidle")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect_answer(page, answer_of(server, drawn(page)))

    page.keyboard.press("x")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect_answer(page, answer_of(server, drawn(page)))

    page.click("#clear")
    pixels = "document.getElementById('canvas').getContext('2d').getImageData(0, 0, 28, 28).data"
    assert page.evaluate(f"[...{pixels}].filter((_, i) => i % 4 < 3).every(value => value === 0)")


def test_an_example_is_reached_by_keyboard_and_tells_its_label(page: Page, server: Running) -> None:
    with server.client() as client:
        examples = client.get("/models/first/examples").json()
    page.locator("#examples button").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")

    chosen = examples[10]
    expect_answer(page, answer_of(server, base64.b64decode(chosen["image"].split(",")[1])))
    expect(page.locator("#headline")).to_contain_text(f"Label: {chosen['class']}")
    label = page.locator("#examples button").nth(10).get_attribute("aria-label")
    assert label == f"example 11: {chosen['class']}"


def test_what_mattered_can_be_hidden(page: Page) -> None:
    page.locator("#examples button").nth(3).click()
    expect(page.locator("#heat")).to_be_visible()
    assert page.evaluate("(({width, height}) => [width, height])(document.getElementById('heat'))") == [14, 14]
    page.uncheck("#show-heat")
    expect(page.locator("#heat")).to_be_hidden()


def test_it_says_what_its_probabilities_are_worth(page: Page, shoe: bytes, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page.set_input_files("#file", tmp_path / "shoe.jpg")
    expect(page.locator("#calibrated")).to_have_text("Probabilities calibrated on 200 validation images.")


def test_another_model_gives_its_own_answer(page: Page, server: Running, shoe: bytes, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page.select_option("#model", "second")
    page.set_input_files("#file", tmp_path / "shoe.jpg")
    expect_answer(page, answer_of(server, shoe, "second"))


def test_mistakes_are_shown_by_kind_and_can_be_looked_into(page: Page, server: Running) -> None:
    page.click("#tab-mistakes")
    button = page.locator("#matrix button").first
    label = button.get_attribute("aria-label") or ""
    match = re.fullmatch(r"(.+) taken for (.+): (\d+)", label)
    assert match

    button.click()
    expect(page.locator("#wrong li")).to_have_count(min(60, int(match[3])))
    with server.client() as client:
        first = client.get("/models/first/mistakes", params={"truth": match[1], "predicted": match[2]}).json()[0]
    assert page.locator("#wrong img").first.get_attribute("src") == first["image"]

    page.locator("#wrong button").first.click()
    expect(page.locator("#headline")).to_contain_text(f"{match[2]}, {first['probability']:.1%}. Label: {match[1]}")


def test_the_report_is_shown_in_a_sandbox(page: Page) -> None:
    page.click("#tab-report")
    assert page.locator("#report-frame").get_attribute("sandbox") == ""
    frame = page.frame_locator("#report-frame")
    expect(frame.locator("h1")).to_be_visible()


def test_tabs_are_worked_by_arrow_keys(page: Page) -> None:
    page.locator("#tab-try").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#mistakes")).to_be_visible()
    expect(page.locator("#tab-mistakes")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator("#report")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#try")).to_be_visible()


def test_every_word_is_there_in_chinese_and_the_choice_is_kept(page: Page) -> None:
    page.locator("#examples button").first.click()
    page.click("[data-language=zh]")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("#input-title")).to_have_text("这是什么？")
    for text in page.locator("[data-word]:visible").all_inner_texts():
        assert re.search(r"[\u4e00-\u9fff]|^API$", text), text

    keys = page.evaluate("import('/static/words.js').then(({WORDS}) => [Object.keys(WORDS.en), Object.keys(WORDS.zh)])")
    assert keys[0] == keys[1]

    page.reload()
    expect(page.locator("#input-title")).to_have_text("这是什么？")


def test_what_is_no_picture_is_reported_and_the_old_answer_goes(page: Page, tmp_path: Path) -> None:
    page.locator("#examples button").first.click()
    expect(page.locator("#result")).to_be_visible()

    (tmp_path / "a.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "a.png")
    expect(page.locator("#error")).to_have_text(re.compile("no picture that can be read"))
    expect(page.locator("#result")).to_be_hidden()

    page.locator("#examples button").first.click()
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#error")).to_be_hidden()


def test_a_server_that_is_gone_is_reported(browser: Browser, two_runs: list[Path]) -> None:
    with started(two_runs[:1]) as running:
        page = browser.new_page(locale="en-GB")
        page.goto(running.url)
        expect(page.locator("#examples button")).to_have_count(100)
    page.locator("#examples button").first.click()
    expect(page.locator("#error")).to_have_text("The server does not answer. Is it still running?")
    page.close()


def test_a_key_is_asked_for_and_then_used(browser: Browser, two_runs: list[Path]) -> None:
    with started(two_runs[:1], api_key="sesame") as running:
        page = browser.new_page(locale="en-GB")
        page.goto(running.url)
        page.fill("#key-value", "sesame")
        page.keyboard.press("Enter")
        page.locator("#examples button").first.click()
        expect(page.locator("#result")).to_be_visible()
        expect(page.locator("#key")).to_be_hidden()
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_on_a_phone_and_every_control_has_a_name(
    browser: Browser, server: Running, width: int, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("#examples button")).to_have_count(100)
    page.locator("#examples button").first.click()
    expect(page.locator("#result")).to_be_visible()

    for tab in ("try", "mistakes", "report"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    nameless = page.evaluate(
        """[...document.querySelectorAll("button, select, input, canvas[tabindex], iframe")].filter(control =>
            !(control.getAttribute("aria-label") || control.title || control.textContent.trim()
              || control.labels?.length || control.querySelector("img[alt]:not([alt=''])")))
        .map(control => control.outerHTML)"""
    )
    assert nameless == []
    context.close()


def test_the_page_is_small_and_asks_nobody_else(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.__setitem__(response.url, len(response.body())))
    page.goto(server.url)
    expect(page.locator("#examples button")).to_have_count(100)
    assert all(url.startswith((server.url, "data:")) for url in sizes)
    assert sum(size for url, size in sizes.items() if "/models" not in url and not url.startswith("data:")) < 150_000
    page.close()
