"""The parts of the docs that nobody types: Markdown made from the command's own parser, the public names, the recipes,
the notebooks and the recorded measurements, each time the site is built.

A page says where its part goes by a line such as ``<!-- generated: commands -->``; :data:`PARTS` names them all.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measured
import notebook_pages

import fittingroom
import fittingroom.data
import fittingroom.events
from fittingroom.cli import make_parser
from fittingroom.recipes.reading import RECIPES_DIR, load_recipe, recipe_names

# The names that one meets first, in the order in which they are used; the others follow by the alphabet.
FIRST = ("open_dataset", "train", "load", "open_run", "resume", "compare_runs", "load_recipe", "FittingRoomClassifier")
MARK = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)


def fill(text: str) -> str:
    """A page's text with every mark replaced by what it stands for. Raises KeyError for a part that there isn't."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), text)


def commands() -> str:
    """Every command with every option, as ``--help`` has them; ``train`` first, as it does without the others."""
    parsers = sorted(subcommands(make_parser()), key=lambda parser: parser.prog != "fittingroom train")
    return "\n\n".join(map(_command, parsers))


def subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands that do something, in the order of the help: ``train``, …, ``data fetch``, …."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for action in inner:
        for child in action.choices.values():
            yield from subcommands(child)


def _command(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=88)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    lines = [f"## {parser.prog}", "", parser.description or "", "", "```text", formatter.format_help().strip(), "```"]
    lines += ["", "{.arguments}", "| | |", "| --- | --- |"]
    for action in parser._actions:
        if action.dest != "help" and action.help != argparse.SUPPRESS:  # an old spelling is taken and not advertised
            lines.append(f"| {_name(action, formatter)} | {_cell(formatter._expand_help(action))} |")
    if parser.epilog:
        kind, _, examples = parser.epilog.partition(": ")
        lines += [
            "",
            f"{kind.capitalize()}:",
            "",
            "```text",
            *(example.strip() for example in examples.split(" · ")),
            "```",
        ]
    return "\n".join(lines)


def _name(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    """An argument as one types it: ``--seed S``."""
    value = (
        "" if action.nargs == 0 else formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    )
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    return f"`{_cell(' '.join([', '.join(action.option_strings), value]).strip())}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def python() -> str:
    """The public names of the package, of ``fittingroom.data`` and of ``fittingroom.events``, from their docstrings."""
    return "\n\n".join(_module(module) for module in (fittingroom, fittingroom.data, fittingroom.events))


def _module(module: object) -> str:
    names = [name for name in module.__all__ if not (module is fittingroom.data and name in fittingroom.__all__)]
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    described = "\n\n".join(_autodoc(f"{module.__name__}.{name}", getattr(module, name)) for name in names)
    return f"## {module.__name__}\n\n```{{eval-rst}}\n{described}\n```"


def _autodoc(path: str, value: object) -> str:
    if not isinstance(value, type):
        return f".. autofunction:: {path}"
    inherited = "   :show-inheritance:\n" if issubclass(value, Exception) else ""
    return f".. autoclass:: {path}\n   :members:\n{inherited}"


def recipes() -> str:
    """Each recipe of the package with the head of its file, which says what it was measured to give."""
    sections = []
    for name in recipe_names():
        recipe, text = load_recipe(name), (RECIPES_DIR / f"{name}.toml").read_text(encoding="utf-8")
        head = f"## {name}\n\n{recipe.description.capitalize()}. Model `{recipe.model}`, {recipe.epochs} epochs."
        sections.append(f"{head}\n\n```toml\n{text.strip()}\n```")
    return "\n\n".join(sections)


def results() -> str:
    """What ``benchmarks/results.csv`` holds, in tables and bars, or a sentence where nothing is recorded yet."""
    return measured.page()


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "python": python,
    "recipes": recipes,
    "notebook": lambda: notebook_pages.page_of("fashion_mnist.ipynb"),
    "notebook-in-chinese": lambda: notebook_pages.page_of("fashion_mnist.zh-CN.ipynb"),
    "results": results,
}
