"""Sphinx's settings: Markdown pages, a reference from docstrings and from the command's help, the look of our pages.

Build it by `make docs`. Nothing comes from the network, neither while it is built nor while it is read.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

sys.path.insert(0, str(Path(__file__).parent))

import generated

import fittingroom
from fittingroom.rendering.html_page import STYLE_SHEET

project = "Fitting Room"
author = "The Fitting Room founders"
version = release = fittingroom.__version__
project_copyright = "Fitting Room, MIT"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]
default_role = "code"  # `name` in a docstring is code, as in Markdown

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True  # attributes as a list, not as members of their own

SIGNATURE = re.compile(r"<dl>\s*(<dd>.*?</dd>)\s*</dl>", re.DOTALL)  # its parameters, a line each

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_copy_source = html_show_sourcelink = html_show_sphinx = False


def _colours() -> tuple[dict[str, str], dict[str, str]]:
    """The variables of our own pages' style sheet: those of the light scheme, and those of the dark one."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE_SHEET.read_text(encoding="utf-8"), re.DOTALL)
    light, dark, *_print = (dict(re.findall(r"--([\w-]+): (.*?);", block)) for block in blocks)
    return _furo(light), _furo(light | dark)


def _furo(look: dict[str, str]) -> dict[str, str]:
    """Our look in the theme's words."""
    return {
        "font-stack": look["sans"],
        "font-stack--monospace": look["mono"],
        "color-brand-primary": look["accent"],
        "color-brand-content": look["accent"],
        "color-brand-visited": look["accent"],
        "color-background-primary": look["paper"],
        "color-background-secondary": look["paper"],
        "color-background-border": look["line"],
        "color-foreground-primary": look["ink"],
        "color-foreground-secondary": look["muted"],
        "color-foreground-muted": look["muted"],
        "color-code-background": look["card"],
        "color-inline-code-background": look["accent-wash"],
        "color-highlight-on-target": look["accent-wash"],
        "color-api-background": look["card"],
        "color-api-name": look["ink"],
        "color-api-pre-name": look["muted"],
        "color-admonition-background": look["card"],
    }


light, dark = _colours()
html_theme_options = {"light_css_variables": light, "dark_css_variables": dark}


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = generated.fill(source[0])


def _skip(_app: Sphinx, _kind: str, _name: str, member: object, skip: bool, _options: object) -> bool:
    """Whether a member is left out: also what scikit-learn adds to its classes."""
    return skip or getattr(member, "__module__", "fittingroom").startswith("sklearn")


def _mend(_app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Mend what keeps Sphinx's and the theme's HTML from those who use keys or a screen reader."""
    for part in ("body", "furo_navigation_tree"):
        if isinstance(context.get(part), str):
            # Headings of the contents get the level that one has to have; what scrolls sideways is reached by keys.
            text = context[part].replace('role="heading">', 'role="heading" aria-level="2">')
            context[part] = SIGNATURE.sub(_lines, text.replace("<pre>", '<pre tabindex="0">'))

    # The list of modules has lists among its items: one list says the same.
    if page == "_modules/index":
        head, _, items = context["body"].partition("<ul>")
        context["body"] = head + "<ul>" + "".join(re.findall(r"<li>.*?</li>", items, re.DOTALL)) + "</ul>"


def _lines(signature: re.Match[str]) -> str:
    """A signature's parameters as lines: Sphinx writes a list of descriptions of nothing."""
    return signature[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def setup(app: Sphinx) -> None:
    """Fill each page's generated parts in as it is read."""
    app.connect("html-page-context", _mend, priority=900)
    app.connect("source-read", _fill)
    app.connect("autodoc-skip-member", _skip)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # which our docstrings call them
