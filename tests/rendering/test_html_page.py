"""What every page is filled in with: escaped values, the style inside, and no variable that nobody gave."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

import fittingroom
from fittingroom.rendering.html_page import PACKAGE, STYLE_SHEET, percent, render_page
from fittingroom.rendering.languages import page_in_two_languages

TEMPLATES = sorted(path for suffix in ("html", "md") for path in PACKAGE.rglob(f"*.{suffix}"))
API = PACKAGE / "serve" / "web" / "docs.html"
CHECK = PACKAGE / "audit" / "page.html"


def empty_check(title: str) -> str:
    content = {"title": title, "found": "", "seconds": 0.0, "checked": [], "notes": [], "problems": [], "findings": []}
    return page_in_two_languages(CHECK, content, "check")


def test_what_is_put_into_a_page_is_escaped_and_the_style_is_not() -> None:
    page = empty_check("<script>")
    assert "&lt;script&gt;" in page
    assert page.count("<script>") == empty_check("a name").count("<script>")  # those of the page's own
    assert STYLE_SHEET.read_text(encoding="utf-8") in page
    assert f'content="fittingroom {fittingroom.__version__}"' in page


def test_a_variable_that_nobody_gave_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="models"):
        render_page(API, {})


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_template_takes_the_style_by_one_name(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    if "<style>" in text:
        assert "{{ style | safe }}" in text


@pytest.mark.parametrize(("share", "digits", "text"), [(0.9204, 2, "92.04%"), (0.5, 0, "50%"), (1, 1, "100.0%")])
def test_percentages_are_written_as_one_reads_them(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text
