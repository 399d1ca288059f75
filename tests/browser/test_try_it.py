"""The model inside a page answers what the exported one answers, and sees what training saw."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.artifact.browser_model import browser_model
from fittingroom.artifact.onnx_model import OnnxModel
from fittingroom.artifact.ood_score import OodScale, level_of
from fittingroom.data.preprocessing import Preprocessing, encode_png, read_picture
from fittingroom.rendering.page_script import json_in_page
from fittingroom.report.model_page import write_model_page
from fittingroom.report.page import write_report
from fittingroom.report.try_it import trial_of
from tests.browser.pages import in_each_view, least_contrast, open_page, scrolls_sideways
from tests.support.colour_images import crops
from tests.support.small_run import train_small

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CLOSE = 3e-3  # in probability: half precision
ANSWERS = """batch => {
  const { model, answer } = window.fittingRoom;
  const bytes = Uint8Array.from(atob(batch), character => character.charCodeAt(0));
  const length = model.size[0] * model.size[1] * model.channels;
  const image = i => bytes.subarray(i * length, (i + 1) * length);
  return Array.from({ length: bytes.length / length }, (_, i) => answer(model, image(i)));
}"""
SEES = """({ how, rgba, width, height }) => {
  const data = Uint8Array.from(atob(rgba), character => character.charCodeAt(0));
  const seen = window.fittingRoom.see({ ...window.fittingRoom.model, ...how }, { data, width, height });
  return [seen.height, seen.width, seen.channels, [...seen.values]];
}"""


def coloured() -> fr.Dataset:
    """1,500 pieces of two photographs and their negatives, 20 pixels a side."""
    pieces = crops(1500, side=20)
    labels = np.arange(1500) % 2
    pieces[labels == 1] = 255 - pieces[labels == 1]
    return fr.Dataset(pieces, labels, ("photograph", "negative"), "pieces")


def train_swift(folder: Path) -> fr.Run:
    """Its network, with the fixed stem, poolings and a stride; one epoch."""
    recipe = fr.load_recipe("swift", overrides=["stages.0.epochs=1", "precision=float32", "validation=200"])
    return fr.train("sample", recipe, out=folder)


def train_coloured(folder: Path) -> fr.Run:
    shape = ["model_args.widths=[6,12]", "model_args.depths=[0,2]", "model_args.pools=[true,true]"]
    more = [
        "model_args.block_layers=2",
        "model_args.fixed_stem=true",
        "model_args.mirror_average=true",
        "model_args.shift_average=true",
        "mirror=random",
        "validation=200",
    ]
    recipe = fr.load_recipe(
        "plain", overrides=["model='residual'", "stages.0.epochs=1", "precision=float32", *shape, *more]
    )
    return fr.train(coloured(), recipe, out=folder)


RUNS = {"swift": train_swift, "tutorial": train_small, "coloured": train_coloured}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, fr.Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: train(folder / name) for name, train in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_page_answers_as_the_exported_model_does(browser: Browser, runs: dict[str, fr.Run], name: str) -> None:
    run = runs[name]
    images = coloured().images[:1000] if name == "coloured" else fr.open_dataset("sample").test.images  # type: ignore[union-attr]
    exported = OnnxModel(run.path / "model.onnx")
    expected = exported.answer(images)

    page, asked = open_page(browser, run.path / "report.html")
    found = page.evaluate(ANSWERS, base64.b64encode(images.tobytes()).decode())
    probabilities = np.array([answer["probabilities"] for answer in found])
    assert len(found) == 1000
    assert np.abs(probabilities - expected.probabilities).max() < CLOSE
    ascending = np.sort(expected.probabilities, axis=1)
    decided = ascending[:, -1] - ascending[:, -2] > CLOSE
    assert decided.sum() > 900
    assert [answer["label"] for answer, sure in zip(found, decided, strict=True) if sure] == list(
        expected.predicted[decided]
    )

    # how strange a picture is, is ranked: rounded weights move a rank by a little
    scale = exported.metadata.ood_scale
    assert scale is not None
    assert expected.energies is not None
    typical = scale.typical(expected.energies, expected.residuals)
    assert np.abs(np.array([answer["typical"] for answer in found]) - typical).max() < 0.05
    assert [url for url in asked if not url.startswith("data:")] == []


def in_browser(page: Page, picture: Image.Image, how: Preprocessing, background: int) -> np.ndarray[Any, Any]:
    rgba = picture.convert("RGBA")
    model = {
        "preprocessing": how.as_dict(),
        "size": list(how.size or ()),
        "channels": how.channels,
        "background": background,
    }
    height, width, channels, values = page.evaluate(
        SEES,
        {
            "how": model,
            "rgba": base64.b64encode(rgba.tobytes()).decode(),
            "width": rgba.width,
            "height": rgba.height,
        },
    )
    return np.array(values, np.uint8).reshape((height, width, 3) if channels == 3 else (height, width))


@pytest.fixture(scope="module")
def opened(browser: Browser, runs: dict[str, fr.Run]) -> Page:
    return open_page(browser, runs["tutorial"].path / "report.html")[0]


PICTURES = {
    "wide": (90, 41),
    "tall": (37, 120),
    "strip": (2000, 3),
    "small": (9, 11),
    "equal": (28, 28),
    "large": (700, 500),
}


@pytest.mark.parametrize("size", PICTURES)
@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_a_page_sees_a_picture_within_one_grey_level(opened: Page, size: str, resize: Any) -> None:
    width, height = PICTURES[size]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    for kind, channels in product(["RGB", "RGBA", "L"], [1, 3]):
        picture = Image.fromarray(pixels).convert(kind)
        how = Preprocessing(size=(28, 28), channels=channels, resize=resize, background=(200, 30, 90), photo="none")
        expected = read_picture(encode_png(np.asarray(picture)), "a.png", how)
        found = in_browser(opened, picture, how, 0)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1, (kind, channels)


@pytest.mark.parametrize("size", [(300, 200), (61, 97), (12, 9)])
def test_a_page_sees_a_product_photo_within_one_grey_level(opened: Page, size: tuple[int, int]) -> None:
    width, height = size
    thing = np.random.default_rng(1).integers(60, 160, (height // 2, width // 2, 3), dtype=np.uint8)
    how = Preprocessing(size=(28, 28), channels=1, photo="fashion-mnist")
    for paper, background in product([255, 20], [0, 255]):
        pixels = np.full((height, width, 3), paper, np.uint8)
        pixels[height // 4 : height // 4 + height // 2, width // 3 : width // 3 + width // 2] = thing
        expected = read_picture(encode_png(pixels), "a.png", how, training_background=background)
        found = in_browser(opened, Image.fromarray(pixels), how, background)
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1, (paper, background)


def predicted(run: fr.Run, file: Path) -> dict[str, Any]:
    """What the command says of a picture."""
    command = [sys.executable, "-m", "fittingroom", "predict", str(run.path), str(file), "--json"]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    return answer


def headline(page: Page) -> str:
    page.wait_for_selector("#try-result:not([hidden])")
    return page.inner_text("#try-headline")


@pytest.fixture
def shirt(tmp_path: Path) -> Path:
    test = fr.open_dataset("sample").test
    assert test is not None
    file = tmp_path / "shirt.png"
    Image.fromarray(test.images[7]).save(file)
    return file


@in_each_view
def test_a_chosen_picture_gets_the_answer_of_predict(
    browser: Browser, runs: dict[str, fr.Run], shirt: Path, tmp_path: Path, size: str, scheme: str
) -> None:
    file = write_model_page(runs["swift"], tmp_path / "page.html")
    page, asked = open_page(browser, file, size, scheme)
    page.set_input_files("#try-file", shirt)
    answer = predicted(runs["swift"], shirt)
    name, share = headline(page).rsplit(", ", 1)
    assert name == answer["class"]
    assert abs(float(share.rstrip("%")) / 100 - answer["probability"]) < CLOSE + 5e-4
    words = {"usual": "This is usual", "somewhat unusual": "somewhat unusual"}
    assert words.get(level_of(answer["typical"]), "unlike") in page.inner_text("#try-typical")

    assert page.inner_text("#accuracy") == f"{runs['swift'].result['validation']['accuracy']:.2%}"
    assert not scrolls_sideways(page, size)
    assert least_contrast(page, "#try h2, #try p, #try li, #try figcaption") >= 4.5
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


def test_it_is_dropped_pasted_drawn_and_taken_from_the_page(
    browser: Browser, runs: dict[str, fr.Run], shirt: Path
) -> None:
    page, _ = open_page(browser, runs["tutorial"].path / "report.html")
    content = base64.b64encode(shirt.read_bytes()).decode()
    for event, key in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.reload()
        page.evaluate(
            f"""content => {{
              const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
              const data = new DataTransfer();
              data.items.add(new File([bytes], "a.png", {{ type: "image/png" }}));
              const event = new Event("{event}", {{ bubbles: true, cancelable: true }});
              Object.defineProperty(event, "{key}", {{ value: data }});
              document.dispatchEvent(event);
            }}""",
            content,
        )
        assert ", " in headline(page), event

    page.reload()
    page.locator("img.tile").first.click()
    assert ", " in headline(page)

    # with the mouse and with the keys alone
    page.reload()
    page.locator("#try-pad").scroll_into_view_if_needed()
    box = page.locator("#try-pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 120, steps=5)
    page.mouse.up()
    by_mouse = headline(page)
    assert ", " in by_mouse
    page.click("#try-clear")
    page.wait_for_selector("#try-result", state="hidden")
    page.focus("#try-pad")
    page.keyboard.press("ArrowRight")
    assert page.locator("#try-cursor").is_visible()
    assert page.inner_text("#try-pad-hint") == "Draw here"
    page.keyboard.press(" ")
    assert ", " in headline(page)
    assert not page.locator("#try-pad-hint").is_visible()


def test_an_outline_is_filled_by_pointer_and_by_key(browser: Browser, runs: dict[str, fr.Run]) -> None:
    page, _ = open_page(browser, runs["tutorial"].path / "report.html")
    page.locator("#try-pad").scroll_into_view_if_needed()
    box = page.locator("#try-pad").bounding_box()
    assert box is not None
    corners = [(40, 40), (150, 40), (150, 150), (40, 150), (40, 40)]

    def draw() -> None:
        page.click("#try-clear")
        page.select_option("#try-tool", "paint")
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        for x, y in corners:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
        page.mouse.up()

    middle, outside = "[14, 14]", "[2, 2]"
    level = "([x, y]) => document.getElementById('try-pad').getContext('2d').getImageData(x, y, 1, 1).data[0]"
    draw()
    assert page.evaluate(f"({level})({middle})") == 0
    page.select_option("#try-tool", "fill")
    page.mouse.click(box["x"] + 96, box["y"] + 96)
    assert page.evaluate(f"[({level})({middle}), ({level})({outside})]") == [255, 0]

    draw()
    page.focus("#try-pad")
    for key in [*["ArrowDown"] * 8, *["ArrowRight"] * 8, "f"]:  # from the corner where the pen came to rest
        page.keyboard.press(key)
    assert page.evaluate(f"[({level})({middle}), ({level})({outside})]") == [255, 0]


def test_what_is_no_picture_is_refused_in_words_in_both_languages(
    browser: Browser, runs: dict[str, fr.Run], tmp_path: Path
) -> None:
    page, _ = open_page(browser, runs["tutorial"].path / "report.html")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no picture")
    page.set_input_files("#try-file", broken)
    page.wait_for_selector("#try-error:not([hidden])")
    assert page.inner_text("#try-error") == "This is no picture that your browser can read."
    page.click("[data-language=zh]")
    assert page.inner_text("#try-error") == "浏览器无法读取这张图片。"
    assert page.inner_text("#try h2") == "试一试"


def test_a_page_is_small(runs: dict[str, fr.Run]) -> None:
    run = runs["swift"]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert len(report) < 1_000_000
    parts = [
        re.search(pattern, report, re.DOTALL)
        for pattern in (r'<section id="try".*?</section>', r'id="try-model">.*?</script>\s*<script>.*?</script>')
    ]
    assert all(parts)
    size = sum(len(part.group()) for part in parts if part) + len(trial_of(run).style)

    # Of official Fashion-MNIST there are ten times as many validation images, by which strangeness is told.
    metadata = OnnxModel(run.path / "model.onnx", threads=1).metadata
    drawn = np.random.default_rng(0).normal(size=(2, 2_000)).astype(np.float32)
    official = replace(metadata, ood_scale=OodScale.of(*drawn))
    more = len(json_in_page(browser_model(run.artifact, official))) - len(
        json_in_page(browser_model(run.artifact, metadata))
    )
    assert size + more < 221_000


def test_a_page_keeps_the_strangest_of_many_validation_images(runs: dict[str, fr.Run]) -> None:
    metadata = OnnxModel(runs["swift"].path / "model.onnx", threads=1).metadata
    drawn = np.random.default_rng(1).normal(size=(2, 5_000)).astype(np.float32)
    scale = OodScale.of(*drawn)
    kept = browser_model(runs["swift"].artifact, replace(metadata, ood_scale=scale))["scale"]

    energies = np.frombuffer(base64.b64decode(kept["energy"]["f4"]), "<f4")
    ranked = -np.sort(-drawn[0])
    assert (energies[:100] == ranked[:100]).all()
    assert kept["counts"][:101] == list(range(101))

    # each count is that of the images which are at least as strange as the value beside it
    assert [int((ranked >= value).sum()) for value in energies] == kept["counts"][1:]
    assert np.diff(kept["counts"]).max() < 0.03 * 5_000


def test_a_network_with_layers_of_its_own_is_said_not_to_be_tried(tmp_path: Path) -> None:
    net = Path(__file__).parent.parent / "support" / "plain_net.py"
    run = train_small(tmp_path / "own", model=f"{net}:Net")
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "has layers of its own, which a page can’t compute" in page.replace("&#39;", "’").replace("'", "’")
    assert "try-model" not in page
    with pytest.raises(fr.FittingRoomError, match="layers of its own"):
        write_model_page(run, tmp_path / "page.html")


def test_a_class_name_cant_end_the_script(browser: Browser, tmp_path: Path) -> None:
    data = coloured()
    hostile = fr.Dataset(data.images, data.labels, ("</script><img src=x>", "<!--<script>"), "pieces")
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32"])
    run = fr.train(hostile, recipe, out=tmp_path / "hostile")
    page, asked = open_page(browser, write_report(run))
    assert page.evaluate("window.fittingRoom.model.classes") == list(hostile.classes)
    assert [url for url in asked if not url.startswith("data:")] == []
