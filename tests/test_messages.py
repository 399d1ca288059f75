"""The library names the parameter, the command its flag: who calls it from Python has no ``--out`` to give."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fittingroom
from fittingroom.cli.flags import FLAGS

ROOT = Path(fittingroom.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
WORDS = re.compile(r"\s*--[a-z][a-z-]*([ =]\S*)?\s*")  # of a command line that is put together

# What is written for whoever types commands, and the flags of other programs.
FOR_TYPISTS = {
    "audit": "the advice of a finding is that of `data check`, which prints it",
    "label_check": "the same, of `data check --labels`",
    "report": "what a page suggests is an option of the next training",
    "cli": "it is the command",
}
OF_OTHERS = {"--max-restarts": "torchrun's"}

FILES = sorted(file for file in ROOT.rglob("*.py") if file.relative_to(ROOT).parts[0] not in FOR_TYPISTS)


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module that isn't a docstring; what is put into an f-string is left out."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_the_library_names_parameters_and_no_flags(file: Path) -> None:
    for text in texts(ast.parse(file.read_text(encoding="utf-8"))):
        is_command = WORDS.fullmatch(text) or re.search(r"fittingroom (?:[a-z]|X )|torchrun ", text)
        flags = set(FLAG.findall(text)) - OF_OTHERS.keys()
        assert is_command or not flags, f"{text!r}: name the parameter, in backticks; the command makes its flag of it"


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_the_command_has_a_flag_for_every_parameter_that_an_error_names(file: Path) -> None:
    raised = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    for text in (text for node in raised for text in texts(node)):
        assert set(re.findall(r"`[a-z_]+(?:=True)?`", text)) <= FLAGS.keys(), text
