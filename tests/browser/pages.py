"""How the browser tests look at a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 800}}

# Each size and each scheme of colours once; the other two pairs at night.
in_each_view = pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("desktop", "light"),
        ("phone", "dark"),
        pytest.param("desktop", "dark", marks=pytest.mark.nightly),
        pytest.param("phone", "light", marks=pytest.mark.nightly),
    ],
)


def open_page(browser: Browser, file: Path, size: str = "desktop", scheme: Any = "light") -> tuple[Page, list[str]]:
    """The page, opened from disk without a network, and every address that it asked for beside its own."""
    width, height = SIZES[size]["width"], SIZES[size]["height"]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page = context.new_page()
    asked: list[str] = []
    address = file.resolve().as_uri()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(f"console: {message.text}"))
    page.goto(address)
    asked.remove(address)
    return page, asked


def scrolls_sideways(page: Page, size: str) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") > SIZES[size]["width"])


def least_contrast(page: Page, selector: str) -> float:
    """The least contrast of these elements' text to the page's ground, by WCAG 2; 1 to 21."""
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    colours = page.eval_on_selector_all(selector, "all => [...new Set(all.map(e => getComputedStyle(e).color))]")
    contrasts = []
    for colour in set(colours) - {"rgba(0, 0, 0, 0)"}:  # an empty cell of the matrix shows its 0 when pointed at
        lighter, darker = sorted((luminance(colour), paper), reverse=True)
        contrasts.append((lighter + 0.05) / (darker + 0.05))
    return min(contrasts)


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, by WCAG 2."""
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical: each rule, and the elements that break it."""
    from axe_playwright_python.sync_playwright import Axe

    # An animation's half-way colours are no colours of the page.
    page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => 0)))")
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]} {node.get('failureSummary', '')[:160]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
