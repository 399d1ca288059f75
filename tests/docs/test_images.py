"""The pictures of README and docs: small, each shown somewhere, each described in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.pages import PAGES, ROOT

IMAGES = sorted((ROOT / "docs" / "images").iterdir())
SHOWN = [
    (page, words, (page.parent / name).resolve())
    for page in PAGES
    for words, name in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("image", IMAGES, ids=[image.name for image in IMAGES])
def test_a_picture_of_the_docs_is_small_and_is_shown(image: Path) -> None:
    assert image.stat().st_size <= 150_000
    with Image.open(image) as opened:
        assert opened.format == "PNG"
    assert image in [shown for _, _, shown in SHOWN]


def test_each_picture_that_a_page_shows_is_there_and_is_described() -> None:
    assert len(SHOWN) > 10
    assert [(page.name, shown.name) for page, _, shown in SHOWN if not shown.exists()] == []
    assert [(page.name, shown.name) for page, words, shown in SHOWN if len(words) < 20] == []


def test_the_readme_shows_what_it_looks_like_before_it_says_how() -> None:
    for readme in ("README.md", "README.zh-CN.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        assert text.index("docs/images/report.png") < text.index("```")
