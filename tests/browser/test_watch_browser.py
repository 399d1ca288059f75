"""The page on a training, in Debian's Chromium: it grows with it, survives a reload, and becomes the report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fittingroom as fr
from fittingroom.evaluation.snapshot import FILE
from fittingroom.rendering.share import share_text
from tests.browser.pages import SIZES, in_each_view, least_contrast, scrolls_sideways
from tests.support import PATIENCE
from tests.support.watched_run import in_its_second_epoch, train_watched
from tests.watch.following import append, held, watching

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    return train_watched(tmp_path_factory.mktemp("watched") / "run-1")


@pytest.fixture
def under_way(run: fr.Run, tmp_path: Path) -> Path:
    return in_its_second_epoch(run, tmp_path / "under-way")


@contextmanager
def opened(browser: Browser, url: str, size: str = "desktop", **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page, and whatever went wrong in it or was asked for elsewhere."""
    width, height = SIZES[size]["width"], SIZES[size]["height"]
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((url, "data:")) else faults.append(request.url))
    page.goto(url)
    page.wait_for_selector("#facts dd, #accuracy")  # of a training that may be over by now, its report's
    yield page, faults
    context.close()


def figures(page: Page) -> dict[str, str]:
    facts = page.eval_on_selector_all("#facts dd", "all => all.map(e => [e.dataset.fact, e.textContent])")
    return dict(facts)


def test_it_shows_what_the_files_say_and_grows_with_them(browser: Browser, under_way: Path) -> None:
    events = fr.Run(under_way).events
    step = [event for event in events if event["event"] == "step"][-1]
    (epoch,) = [event for event in events if event["event"] == "epoch"]
    with (
        held(under_way),
        watching(under_way) as watch,
        opened(browser, watch.url, reduced_motion="reduce", locale="en-US") as (page, faults),
    ):
        assert page.inner_text("h1") == f"{epoch['validation_accuracy']:.2%} accuracy"
        assert figures(page)["step"] == f"{step['step']} of 58"
        assert figures(page)["epoch"] == "2 of 2"
        recent = [event["loss"] for event in events if event["event"] == "step"][-20:]
        assert figures(page)["lossNow"] == f"{sum(recent) / len(recent):#.3g}"
        assert figures(page)["validationLoss"] == f"{epoch['validation_loss']:#.3g}"
        labels = dict(
            page.eval_on_selector_all(
                "#facts > div",
                "all => all.map(d => [...d.children].map(e => e.dataset.fact ?? e.textContent).reverse())",
            )
        )
        assert (
            labels.items() >= {"lossNow": "loss", "validationLoss": "validation loss", "rate": "learning rate"}.items()
        )
        assert page.locator("#curves svg[role=img]").count() == 2

        # Borders by right and wrong, and the matrix, as they are stored.
        said = json.loads((under_way / FILE).read_text())
        right = sum(example["label"] == example["predicted"] for example in said["examples"])
        assert page.inner_text("#score") == f"of validation; {right} right, after step {said['step']}"
        tiles = page.eval_on_selector_all("#tiles li", "all => all.map(e => e.className)")
        assert tiles == ["right" if e["label"] == e["predicted"] else "wrong" for e in said["examples"]]
        assert page.locator("#tiles img").first.evaluate("i => i.complete && i.naturalWidth") == 28
        colours = page.eval_on_selector_all("#tiles img", "all => all.map(e => getComputedStyle(e).boxShadow)")
        assert len({(kind, colour) for kind, colour in zip(tiles, colours, strict=True)}) == len(set(tiles))
        counts = page.eval_on_selector_all(
            "#matrix-rows tr", "all => all.map(r => [...r.querySelectorAll('b')].map(b => +b.textContent))"
        )
        assert counts == said["matrix"]["counts"]

        # Only all is 100%, and only nothing is 0%.
        shares = [0, 1e-9, 0.00004, 0.00006, 0.5, 0.99994, 0.99999, 1 - 1e-12, 1]
        shown = page.evaluate(
            "async shares => { const { percentOf } = await import('./share.js'); "
            "return shares.map(share => [1, 2].map(digits => percentOf(share, digits, 'en-US'))); }",
            shares,
        )
        assert shown == [[share_text(share, digits) for digits in (1, 2)] for share in shares]

        # It grows: another step, and an answer that turns.
        append(under_way, step | {"step": step["step"] + 1, "lr": 0.0123})
        said["examples"][0]["probability"] = 0.9999
        said["matrix"]["counts"][0][:2] = [1_999, 1]
        said["matrix"]["counts"][0][2:] = [0] * 8
        turned = said["examples"][3]
        turned["predicted"] = (turned["label"] + (turned["predicted"] == turned["label"])) % 10
        (under_way / FILE).write_text(json.dumps(said))
        page.wait_for_selector(f"[data-fact=step]:text-matches('^{step['step'] + 1} ')")
        kind = "right" if turned["predicted"] == turned["label"] else "wrong"
        page.wait_for_selector(f"#tiles li:nth-child(4).{kind}")
        assert figures(page)["rate"] == "0.012"
        assert ", 99%; label: " in str(page.locator("#tiles img").first.get_attribute("alt"))
        assert page.eval_on_selector_all("#matrix-rows tr >> nth=0 >> i", "all => all.map(i => i.textContent)") == [
            "99%",
            "< 1%",
            *["0%"] * 8,
        ]

        page.reload()
        page.wait_for_selector("#tiles li")
        assert figures(page)["step"].startswith(f"{step['step'] + 1} ")
        assert faults == []


@in_each_view
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_it_is_readable_everywhere(browser: Browser, under_way: Path, size: str, scheme: Any, locale: str) -> None:
    with (
        held(under_way),
        watching(under_way) as watch,
        opened(browser, watch.url, size, color_scheme=scheme, locale=locale) as (page, faults),
    ):
        page.wait_for_selector("#matrix-rows td")
        assert not scrolls_sideways(page, size)
        assert least_contrast(page, "h1, h2, h3, p, th, dt, dd, li span, button") >= 4.5
        words = page.inner_text("#answers h2")
        assert ("validation" in words) == (locale == "en-US")
        assert page.evaluate("document.documentElement.lang") == ("en" if locale == "en-US" else "zh-Hans")
        page.click("[data-language=en]")
        assert "validation" in page.inner_text("#answers h2")
        assert faults == []


def test_names_from_a_stranger_are_text(browser: Browser, under_way: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    said = json.loads((under_way / FILE).read_text())
    said["classes"][0] = evil
    said["examples"][0]["file"] = evil
    (under_way / FILE).write_text(json.dumps(said))
    with watching(under_way) as watch, opened(browser, watch.url, locale="en-US") as (page, faults):
        page.wait_for_selector("#matrix-rows td")
        assert page.inner_text("#matrix-rows th >> nth=0") == evil
        assert page.locator("img[src=x]").count() == 0
        assert "no process trains this run" in page.inner_text("#notice").lower()
        assert faults == []


def test_of_several_seeds_one_is_chosen(browser: Browser, run: fr.Run, under_way: Path, tmp_path: Path) -> None:
    parent = tmp_path / "several"
    parent.mkdir()
    for name in ("recipe.toml", "environment.json"):
        shutil.copy(run.path / name, parent)
    environment = json.loads((parent / "environment.json").read_text())
    (parent / "environment.json").write_text(json.dumps(environment | {"seeds": [0, 1, 2]}))
    shutil.copytree(run.path, parent / "seed-0")
    shutil.copytree(under_way, parent / "seed-1")
    with (
        held(parent, parent / "seed-1"),
        watching(parent) as watch,
        opened(browser, watch.url, locale="en-US") as (page, faults),
    ):
        rows = page.eval_on_selector_all(
            "#members tr", "all => all.map(r => [...r.cells].slice(0, 2).map(c => c.innerText))"
        )
        assert rows == [["0", "done"], ["1", "training"], ["2", "waiting"]]
        assert page.inner_text("[aria-current=true] th") == "1"
        page.click("[data-member=seed-0]")
        page.wait_for_selector("[aria-current=true] [data-member=seed-0]")
        assert figures(page)["step"] == "58 of 58"
        assert page.evaluate("document.activeElement.dataset.member") == "seed-0"
        assert faults == []


def test_it_follows_a_training_to_its_end_and_becomes_a_report_that_answers(browser: Browser, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fittingroom", "train", "sample", "--threads", "1", "--epochs", "3", "--watch"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run"), "--set", "precision=float32"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stderr is not None
        url = next(line.split()[1] for line in training.stderr if line.startswith("watch "))
        with opened(browser, url, locale="en-US") as (page, faults):
            page.wait_for_url("**/report", timeout=120_000)
            assert page.inner_text("#accuracy") == f"{fr.open_run(tmp_path / 'run').result['test']['accuracy']:.2%}"

            # The model in it works in its sandbox, and asks nothing of anybody.
            page.locator("#mistakes img, #confusion img, #answers img").first.click()
            page.wait_for_selector("#try-result:not([hidden])")
            assert faults == []
        training.communicate(timeout=PATIENCE)
        assert training.returncode == 0
