"""Pages of one self-contained file: a template, filled in, with the style sheet that all our pages share inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template

STYLE_SHEET = Path(__file__).with_name("style.css")


def render_page(template: Path, content: Mapping[str, Any], **filters: Callable[..., Any]) -> str:
    """Fill in a Jinja template. Beside ``content`` it sees ``look``, the style sheet, and the package's ``version``."""
    look = STYLE_SHEET.read_text(encoding="utf-8")
    page = _compile(template, tuple(filters.items()))
    return page.render({"look": look, "version": __version__} | dict(content))


@cache
def _compile(template: Path, filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Template:
    """Compiling is half of the time that a page takes, and a run of several seeds has many."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(template.parent)
    page = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page.filters |= dict(filters)
    return page.get_template(template.name)
