"""The page as a person uses it, in Debian's Chromium: each way in gives the API's answer, errors are shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

import fittingroom as fr
from fittingroom.compare import compare_runs
from fittingroom.rendering.share import share_text
from tests.browser.pages import serious
from tests.serve.conftest import Running, started
from tests.support.machine import CHROMIUM


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
    expect(page.locator("#headline")).to_contain_text(f"{answer['class']}, {share_text(answer['probability'], 1)}")
    shown = page.locator(
        "#bars li"
    ).all_text_contents()  # as it is written: how it is laid out is no part of the answer
    assert [re.sub(r"\s+", "", text) for text in shown] == [
        re.sub(r"\s+", "", f"{name}{share_text(share, 1)}") for name, share in answer["top"]
    ]
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

    expect(page.locator("#pad-hint")).to_be_hidden()
    page.keyboard.press("x")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect_answer(page, answer_of(server, drawn(page)))

    page.click("#clear")
    pixels = "document.getElementById('canvas').getContext('2d').getImageData(0, 0, 28, 28).data"
    assert page.evaluate(f"[...{pixels}].filter((_, i) => i % 4 < 3).every(value => value === 0)")


def test_a_fill_paints_what_a_line_encloses_and_gets_the_apis_answer(page: Page, server: Running) -> None:
    expect(page.locator("#pad-hint")).to_have_text("Draw here")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    for x, y in ((170, 50), (170, 170), (50, 170), (50, 50)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    page.mouse.up()
    page.check("[name=tool][value=fill]")
    page.mouse.click(box["x"] + 110, box["y"] + 110)
    level = "(x, y) => document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data[0]"
    assert page.evaluate(f"[({level})(14, 14), ({level})(1, 1)]") == [255, 0]
    page.wait_for_load_state("networkidle")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect_answer(page, answer_of(server, drawn(page)))


def test_an_example_is_reached_by_keyboard_and_tells_its_label(page: Page, server: Running) -> None:
    with server.client() as client:
        examples = client.get("/models/first/examples").json()
    page.locator("#examples button").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")

    chosen = examples[10]
    expect_answer(page, answer_of(server, base64.b64decode(chosen["image"].split(",")[1])))
    expect(page.locator("#label")).to_contain_text(f"label: {chosen['class']}")
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


def test_the_score_and_the_matrix_are_those_of_the_result(page: Page, two_runs: list[Path]) -> None:
    for folder in two_runs:
        run = fr.open_run(folder)
        page.select_option("#model", folder.name)
        split = "test" if run.result["test"] else "validation"
        scores, classes = run.result[split], run.artifact.classes
        low, high = (f"{bound:.2%}" for bound in scores["interval"])
        accuracy = f"Accuracy {scores['accuracy']:.2%} on {scores['n']:,} {split} images"
        expect(page.locator("#score")).to_have_text(f"{accuracy} (this model, 95%: {low}–{high})")

        page.click("#tab-mistakes")
        cells = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        expect(page.locator("#matrix tbody tr")).to_have_count(len(classes))
        expect(page.locator("#matrix [aria-current]")).to_have_count(1)
        heads, *rows = page.eval_on_selector_all("#matrix tr", cells)
        assert heads[1:] == list(classes)
        assert [row[0] for row in rows] == list(classes)
        assert [[int(count.replace("·", "0")) for count in row[1:]] for row in rows] == scores["confusion"]
        labels = page.eval_on_selector_all(
            "#matrix a", "all => all.map(a => [a.getAttribute('aria-label'), a.textContent])"
        )
        wrong = [(i, j, n) for i, row in enumerate(scores["confusion"]) for j, n in enumerate(row) if n and i != j]
        assert labels == [[f"{classes[i]} taken for {classes[j]}: {n}", str(n)] for i, j, n in wrong]
        page.click("#tab-try")


def test_mistakes_are_shown_by_kind_and_can_be_looked_into(page: Page, server: Running) -> None:
    page.click("#tab-mistakes")
    cell = page.locator("#matrix a").first
    label = cell.get_attribute("aria-label") or ""
    match = re.fullmatch(r"(.+) taken for (.+): (\d+)", label)
    assert match

    cell.click()
    expect(page.locator("#kind")).to_have_text(label)
    expect(page.locator("#wrong li")).to_have_count(min(60, int(match[3])))
    with server.client() as client:
        first = client.get("/models/first/mistakes", params={"truth": match[1], "predicted": match[2]}).json()[0]
    assert page.locator("#wrong img").first.get_attribute("src") == first["image"]

    page.locator("#wrong a").first.click()
    expect(page.locator("#one-text")).to_have_text(
        f"✗ labelled {match[1]}, predicted {match[2]}, {share_text(first['probability'], 1)}"
    )
    expect(page.locator("#one-name")).to_have_text(f"#{first['row']:,}")
    assert page.locator("#one-image").get_attribute("src") == first["image"]

    page.click("#try-one")
    expect(page.locator("#headline")).to_have_text(f"{match[2]}, {share_text(first['probability'], 1)}")
    expect(page.locator("#label")).to_have_text(f"✗ label: {match[1]}")


def test_the_cell_chosen_last_is_shown_though_an_earlier_answer_comes_after_it(page: Page) -> None:
    held: list[Route] = []
    page.route("**/mistakes?*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/mistakes?*") as request:  # for the cell with the most mistakes, which no one chose
        page.click("#tab-mistakes")
    cell = page.locator("#matrix a").first
    label = cell.get_attribute("aria-label") or ""
    cell.click()
    expect(page.locator("#kind")).to_have_text(label)

    with page.expect_response(request.value.url):
        held[0].continue_()
    page.evaluate("url => fetch(url).then((response) => response.json())", request.value.url)  # is read after it
    expect(page.locator("#kind")).to_have_text(label)
    expect(page.locator("#matrix [aria-current]")).to_have_attribute("aria-label", label)


def test_a_mistake_has_an_address_that_opens_it_and_back_leads_to_what_was_before(page: Page, server: Running) -> None:
    page.click("#tab-mistakes")
    expect(page.locator("#wrong li").first).to_be_visible()  # of the most frequent kind
    page.locator("#matrix a").first.click()
    expect(page.locator("#matrix a").first).to_have_attribute("aria-current", "true")
    of_cell = page.url
    page.locator("#wrong a").first.click()
    expect(page.locator("#one")).to_be_visible()
    of_image, says = page.url, page.inner_text("#one-text")
    assert of_image.startswith(of_cell + "/")
    page.click("#tab-try")
    expect(page.locator("#try")).to_be_visible()

    for expected in (of_image, of_cell):
        page.go_back()
        page.wait_for_url(expected)
    expect(page.locator("#one")).to_be_hidden()
    expect(page.locator("#mistakes")).to_be_visible()

    sent = page.context.new_page()
    sent.goto(of_image)
    expect(sent.locator("#one-text")).to_have_text(says)
    expect(sent.locator("#wrong a[aria-current]")).to_have_count(1)
    for address, shown in (("#mistakes/none", "No model of this name"), ("#mistakes/first/%E0%A4%A", "")):
        sent.goto("about:blank")
        sent.goto(server.url + "/" + address)
        expect(sent.locator("#examples button")).to_have_count(100)
        assert shown in sent.inner_text("#error")
    sent.close()


def test_all_models_answer_the_same_picture_side_by_side(
    page: Page, server: Running, shoe: bytes, tmp_path: Path
) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page.set_input_files("#file", tmp_path / "shoe.jpg")
    expect(page.locator("#headline")).to_be_visible()
    page.press("#beside", "Space")
    expect(page.locator("#cards article")).to_have_count(2)
    answers = [answer_of(server, shoe, name) for name in ("first", "second")]
    for card, name, answer in zip(page.locator("#cards article").all(), ("first", "second"), answers, strict=True):
        expect(card.locator("h3")).to_have_text(name)
        expect(card.locator(".headline")).to_have_text(f"{answer['class']}, {share_text(answer['probability'], 1)}")
        assert card.locator("img").get_attribute("src") == answer["seen"]
    agree = answers[0]["class"] == answers[1]["class"]
    expect(page.locator("#agreement")).to_contain_text("agree" if agree else "disagree")

    page.press("#beside", "Space")
    expect(page.locator("#single")).to_be_visible()
    expect_answer(page, answers[0])


def test_the_picture_stays_when_another_model_is_chosen(
    page: Page, server: Running, shoe: bytes, tmp_path: Path
) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page.set_input_files("#file", tmp_path / "shoe.jpg")
    expect_answer(page, answer_of(server, shoe))
    page.select_option("#model", "second")
    expect_answer(page, answer_of(server, shoe, "second"))
    assert page.evaluate("document.getElementById('original').naturalWidth") == 340  # as it came, beside what was seen
    assert page.evaluate("document.getElementById('seen').naturalWidth") == 28


def test_a_drawing_is_answered_while_it_is_drawn(page: Page, server: Running) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 100, steps=4)
    expect(page.locator("#headline")).to_have_text(re.compile(r"%"))
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")  # nothing is read aloud yet
    page.mouse.move(box["x"] + 60, box["y"] + 180, steps=4)
    page.mouse.up()
    expect(page.locator("#heat")).to_be_visible()
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect_answer(page, answer_of(server, drawn(page)))

    page.click("#clear")
    expect(page.locator("#result")).to_be_hidden()


def test_the_camera_of_the_machine_is_used_in_the_page(browser: Browser, server: Running) -> None:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox"]
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=fake)
    page = own.new_page(locale="en-GB")
    page.goto(server.url)
    expect(page.locator("#examples button")).to_have_count(100)
    page.click("#open-camera")
    expect(page.locator("#video")).not_to_have_js_property("videoWidth", 0)
    page.click("#shoot")
    expect(page.locator("#headline")).to_have_text(re.compile(r"%"))
    expect(page.locator("#viewfinder")).to_be_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None  # its light is off
    own.close()


def test_two_models_are_compared_in_the_page(page: Page, two_runs: list[Path]) -> None:
    page.click("#tab-compare")
    page.select_option("#compare-split", "validation")
    page.click("#compare-form button")
    headline, _, _ = compare_runs(two_runs, on="validation").comparisons[0].sentence.partition("; ")
    shown = page.frame_locator("#compare-frame").locator("h1")
    expect(shown).to_have_text(re.compile(re.escape(headline), re.IGNORECASE), timeout=20_000)
    assert page.url.endswith("#compare/first/second/validation")

    # what can't be compared is said, with no folder of the server's in it
    page.select_option("#compare-split", "test")
    page.click("#compare-form button")
    expect(page.locator("#error")).to_contain_text("second: not judged on test")
    assert str(two_runs[0].parent) not in page.inner_text("#error")


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
    expect(page.locator("#compare")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#report")).to_be_visible()
    page.keyboard.press("End")
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


def test_it_works_below_a_path_of_a_server_in_front(
    browser: Browser, server: Running, shoe: bytes, tmp_path: Path
) -> None:
    (tmp_path / "shoe.jpg").write_bytes(shoe)
    page, asked = browser.new_page(locale="en-GB"), []
    page.on("request", lambda request: asked.append(request.url))
    page.route(
        "**/lab/**", lambda route: route.fulfill(response=route.fetch(url=route.request.url.replace("/lab/", "/")))
    )
    page.goto(f"{server.url}/lab/")
    expect(page.locator("#examples button")).to_have_count(100)  # it listens by now
    page.set_input_files("#file", tmp_path / "shoe.jpg")
    expect_answer(page, answer_of(server, shoe))
    page.click("#tab-report")
    expect(page.frame_locator("#report-frame").locator("h1")).to_be_visible()
    page.goto(f"{server.url}/lab/#compare/first/second/validation")
    expect(page.frame_locator("#compare-frame").locator("h1")).to_be_visible(timeout=20_000)
    page.goto(f"{server.url}/lab/docs")
    expect(page.locator("h1")).to_have_text("API")
    page.close()
    assert [url for url in asked if not url.startswith((f"{server.url}/lab/", "data:", "blob:"))] == []


def test_a_key_is_asked_for_and_then_used(browser: Browser, two_runs: list[Path]) -> None:
    with started(two_runs, api_key="sesame") as running:
        page = browser.new_page(locale="en-GB")
        page.goto(running.url)
        expect(page.locator("#key")).to_be_visible()
        expect(page.locator("#error")).to_be_hidden()  # the form says it
        page.fill("#key-value", "open")
        page.keyboard.press("Enter")
        expect(page.locator("#error")).to_have_text("That key was not accepted.")
        page.fill("#key-value", "sesame")
        page.keyboard.press("Enter")
        page.locator("#examples button").first.click()
        expect(page.locator("#result")).to_be_visible()
        expect(page.locator("#key")).to_be_hidden()

        # a frame can't say the key
        page.click("#tab-report")
        expect(page.frame_locator("#report-frame").locator("h1")).to_be_visible()
        page.goto(f"{running.url}/#compare/first/second/validation")
        expect(page.frame_locator("#compare-frame").locator("h1")).to_be_visible(timeout=20_000)
        assert all("sesame" not in frame.url for frame in page.frames)
        page.close()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (320, "light"),
        (390, "dark"),
        (1280, "light"),
        (1280, "dark"),
        pytest.param(320, "dark", marks=pytest.mark.nightly),
        pytest.param(390, "light", marks=pytest.mark.nightly),
    ],
)
def test_nothing_sticks_out_on_a_phone_and_every_control_has_a_name(
    browser: Browser, server: Running, width: int, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("#examples button")).to_have_count(100)
    page.locator("#examples button").first.click()
    expect(page.locator("#result")).to_be_visible()

    page.press("#beside", "Space")  # a click may miss it: a phone's page glides to the answer
    expect(page.locator("#cards article")).to_have_count(2)
    for tab in ("try", "mistakes", "report", "compare"):
        page.click(f"#tab-{tab}")
        if width == 1280:
            if tab == "mistakes":
                page.locator("#wrong a").first.click()
            assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    nameless = page.evaluate(
        """[...document.querySelectorAll("button, select, input, canvas[tabindex], iframe")].filter(control =>
            !(control.getAttribute("aria-label") || control.title || control.textContent.trim()
              || control.labels?.length || control.querySelector("img[alt]:not([alt=''])")))
        .map(control => control.outerHTML)"""
    )
    assert nameless == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "/docs"])
def test_axe_finds_nothing_serious(browser: Browser, server: Running, path: str, scheme: Any) -> None:
    context = browser.new_context(locale="en-GB", color_scheme=scheme)
    page = context.new_page()
    page.goto(server.url + path)
    if not path:
        expect(page.locator("#examples button")).to_have_count(100)
        page.locator("#examples button").first.click()
        expect(page.locator("#result")).to_be_visible()
    assert serious(page) == []
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
