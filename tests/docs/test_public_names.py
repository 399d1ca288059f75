"""Docs and notebooks use public names alone, and each of these stands in the reference."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest

import fittingroom
import fittingroom.data
import fittingroom.events
from tests.docs.pages import PAGES, ROOT, blocks_of
from tests.docs.test_pages import GENERATED

PUBLIC = {
    "fittingroom": set(fittingroom.__all__) | {"__version__", "data", "events"},
    "fittingroom.data": set(fittingroom.data.__all__),
    "fittingroom.events": set(fittingroom.events.__all__),
}
WRITTEN = re.compile(r"(?:(?<![\w.])fr|`fittingroom)\.([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?")  # fr.Dataset.from_arrays
NOTEBOOKS = sorted((ROOT / "notebooks").glob("fashion_mnist*.py"))


def programs(page: Path) -> Iterator[tuple[str, str]]:
    """Each piece of Python of a page or a notebook, with its place."""
    if page.suffix == ".py":
        cells = jupytext.read(page).cells
        yield page.name, "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        return
    for block in blocks_of(page):
        if block.language == "python":
            yield block.where, block.text


def used(program: str) -> Iterator[tuple[str, str]]:
    """Module and name of each thing of this package that a program uses."""
    aliases = {}
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "fittingroom":
                    aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fittingroom":
            yield from ((str(node.module), alias.name) for alias in node.names)
    aliases.setdefault("fr", "fittingroom")  # a block may go on with what an earlier one of its page imported
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield aliases[node.value.id], node.attr


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_only_public_names_are_used(page: Path) -> None:
    private = [
        f"{where}: {module}.{name}"
        for where, program in programs(page)
        for module, name in used(program)
        if name not in PUBLIC.get(module, ())
    ]
    assert not private


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_that_is_written_is_public_and_in_the_reference(page: Path) -> None:
    """In sentences too: ``fr.try_ideas``, and what a value has, ``fr.Dataset.from_arrays``."""
    reference, wrong = GENERATED.python(), []
    for name, member in WRITTEN.findall(page.read_text(encoding="utf-8")):
        module = f"fittingroom.{name}" if f"fittingroom.{name}" in PUBLIC else "fittingroom"
        name, member = (member, "") if module != "fittingroom" else (name, member)
        value: Any = getattr(importlib.import_module(module), name, None) if name in PUBLIC[module] else None
        is_there = re.search(rf"^\.\. auto(class|function):: {module}\.{name}$", reference, re.MULTILINE)

        # The reference has the members that have a docstring. What __version__ is needs no explanation.
        if name not in ("", "__version__") and not (is_there and (not member or getattr(value, member, None).__doc__)):
            wrong.append(f"{module}.{name}{'.' * bool(member)}{member}")
    assert not wrong


def test_a_name_that_is_not_public_would_be_found() -> None:
    assert ("fittingroom.report.page", "write_report") in used("from fittingroom.report.page import write_report")
    assert ("fittingroom", "nothing") in used("fr.nothing()")
