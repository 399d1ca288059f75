"""Pages of one self-contained file: a template, filled in, with the style sheet that all our pages share inside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.rendering.share import counted, share_text
from fittingroom.rendering.terminal import printable
from fittingroom.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE_SHEET = Path(__file__).with_name("style.css")
PACKAGE = Path(__file__).parent.parent  # each template lies beside the code that fills it in, somewhere below


def render_page(template: Path, content: Mapping[str, Any]) -> str:
    """Fill in one of the package's templates.

    Args:
        template: a file of the package. What is put into ``.html`` is escaped, in ``.md`` too: see :func:`in_markdown`.
        content: the template's variables. Beside them it sees ``style``, the text of the style sheet, ``version``, the
            package's, and the filters ``percent``, ``share`` and ``counted``. One that is missing is an error.

    Returns:
        The text of the page.
    """
    environment = _markdown_environment() if template.suffix == ".md" else _environment()
    return environment.get_template(template.relative_to(PACKAGE).as_posix()).render(content)


def percent(share: float, digits: int = 2) -> str:
    """0.9204 → ``92.04%``."""
    return f"{share:.{digits}%}"


def in_markdown(value: Any) -> Any:
    """A text as Markdown is to show it: a name that somebody gave a class is neither HTML nor a line of its own."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    # a bracket opens a link, or a picture that whoever reads the page would fetch from a place of somebody's choice
    named = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("[", "\\[")
    return printable(" ".join(re.split("[\r\n\v\f\x85\u2028\u2029]", named)))


def shown(value: Any) -> Any:
    """A text as a page is to show it: what turns its direction, or means something to a terminal, is spelled out.

    A page is read in an editor and by ``cat``, too.
    """
    return printable(value) if type(value) is str else value


def fenced(text: str) -> Any:
    """Lines for a fenced block of Markdown, which shows HTML as it is and ends with three backticks alone."""
    from markupsafe import Markup

    return Markup(printable(text).replace("```", "'''"))


@cache
def _markdown_environment() -> Environment:
    """The environment for pages, with texts made safe for Markdown."""
    environment = _environment().overlay(finalize=in_markdown)
    environment.filters = environment.filters | {"fenced": fenced}
    return environment


@cache
def _environment() -> Environment:
    """One for all pages. It keeps what it compiled, which is half of the time that a page takes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=shown,
    )
    environment.globals |= {"style": STYLE_SHEET.read_text(encoding="utf-8"), "version": __version__}
    environment.filters["percent"] = percent
    environment.filters["share"] = share_text
    environment.filters["counted"] = counted
    return environment
