"""The pictures of report, page and map in README and docs: photographed in Chromium, of a real run.

    python scripts/make_screenshots.py runs/swift-1 [--only report page] [--out docs/images]

RUN is best one of `swift` on Fashion-MNIST, `fittingroom train`; it is copied first and stays as it is. Each
picture is what this version of the program writes of it: the report anew, the served page of `fittingroom
serve`. The image that is asked about is the first of the official test set. Needs Playwright and Chromium, as
the browser tests do, and a font with Chinese (fonts-wqy-zenhei). Figures in the pictures are those of the run,
the answers those of its model.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import fittingroom as fr

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
PORT = "8931"
WIDTH = 1200  # of the pages, in CSS pixels
MARGIN = 28  # above and below what is shown
LARGEST = 150_000  # bytes of a picture


def main() -> None:
    """Take the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    args = parser.parse_args()
    with TemporaryDirectory() as scratch, sync_playwright() as playwright:
        run = Path(scratch) / args.run.name
        shutil.copytree(args.run, run, ignore=shutil.ignore_patterns("checkpoints"))
        shutil.copy(args.run.parent / "test-looks.jsonl", scratch)  # the report counts how often test was evaluated
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in args.only:
            picture = PICTURES[name](browser, run)
            file = args.out / f"{name}.png"
            _save(picture, file)
            print(f"{file}: {file.stat().st_size / 1000:.0f} KB")
        browser.close()


def report(browser: Browser, run: Path) -> bytes:
    """The head of the report, with an answer of the model that is inside it."""
    page = _report(browser, run)
    page.set_input_files("#try-file", files=[_asked()])
    page.wait_for_selector("#try-result:not([hidden])")
    return _cut(page, ["header p", "#try"])


def confusion(browser: Browser, run: Path) -> bytes:
    """The report's confusion matrix, opened at the pair that is most often confused."""
    page = _report(browser, run)
    counts = page.locator("#confusion table a")
    most = max(range(counts.count()), key=lambda number: int(counts.nth(number).inner_text()))
    counts.nth(most).click()
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    return _cut(page, ["#confusion"])


def page(browser: Browser, run: Path) -> bytes:
    """The page of the server, with an answer and what mattered for it."""
    with _served(run) as address:
        page = _open(browser, address, 930)
        page.set_input_files("#file", files=[_asked()])
        page.wait_for_selector("#result:not([hidden])")
        page.wait_for_function("document.getElementById('heat-text').textContent !== ''")
        return page.screenshot()


def map_of_test(browser: Browser, run: Path) -> bytes:
    """The map of judged images that the report has where it is asked for, opened at its surest mistake."""
    page = _report(browser, run, "--map")
    page.wait_for_selector("#map-side:not([hidden])")
    page.locator("#map-grid").click()
    page.keyboard.press("n")
    page.wait_for_timeout(500)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    return _cut(page, ["#map"])


PICTURES: dict[str, Callable[[Browser, Path], bytes]] = {
    "report": report,
    "confusion": confusion,
    "page": page,
    "map": map_of_test,
}


def _report(browser: Browser, run: Path, *options: str) -> Page:
    _fittingroom("report", str(run), *options)
    return _open(browser, (run / "report.html").as_uri(), 900)


def _asked() -> dict[str, object]:
    """The picture that the model is asked about, as a browser's file."""
    test = fr.open_dataset("fashion-mnist").test
    assert test is not None
    file = io.BytesIO()
    Image.fromarray(test.images[0]).save(file, "png")
    return {"name": "test-0.png", "mimeType": "image/png", "buffer": file.getvalue()}


def _open(browser: Browser, address: str, height: int) -> Page:
    context = browser.new_context(viewport={"width": WIDTH, "height": height}, color_scheme="light", locale="en")
    page = context.new_page()
    page.goto(address)
    return page


def _cut(page: Page, selectors: list[str]) -> bytes:
    """The page from the beginning of the first element to the end of the last one, in its whole width."""
    boxes = [page.locator(selector).first.bounding_box() for selector in selectors]
    scrolled = page.evaluate("scrollY")
    first, last = boxes[0], boxes[-1]
    assert first is not None
    assert last is not None
    top, bottom = max(first["y"] + scrolled - MARGIN, 0), last["y"] + last["height"] + scrolled + MARGIN
    return page.screenshot(full_page=True, clip={"x": 0, "y": top, "width": WIDTH, "height": bottom - top})


@contextmanager
def _served(run: Path) -> Iterator[str]:
    """The address of a server of this run."""
    command = [sys.executable, "-m", "fittingroom", "serve", str(run), "--port", PORT, "--log", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith("serving ")
            yield f"http://127.0.0.1:{PORT}/"
        finally:
            server.terminate()


def _fittingroom(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "fittingroom", *words], check=True, stdout=subprocess.DEVNULL)


def _save(picture: bytes, file: Path) -> None:
    """As a PNG with a palette, of as many colours as keep it small."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (128, 64, 32):
        image.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            return
    raise SystemExit(f"{file}: at most {LARGEST:,} bytes expected, {file.stat().st_size:,} found with 32 colours")


if __name__ == "__main__":
    main()
