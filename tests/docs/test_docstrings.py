"""Every public name has an example in its docstring, and the example is true."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fittingroom
import fittingroom.data
from tests.docs.conftest import copy_of

MODULES = (fittingroom, fittingroom.data)
NAMES = sorted({name: module for module in MODULES for name in module.__all__}.items())
LONG = ("add_seeds", "try_ideas", "tune_recipe")  # examples that train several models
DEFAULTS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def documented(name: str, value: Any) -> Iterator[doctest.DocTest]:
    """The examples of a name; of a class also those of its methods."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=True)
    return (test for test in finder.find(value, name, globs={}) if test.examples)


@pytest.fixture(scope="module")
def folder(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(given, tmp_path_factory.mktemp("docstrings"))


@pytest.mark.parametrize(
    ("name", "module"),
    [pytest.param(*pair, marks=pytest.mark.nightly if pair[0] in LONG else ()) for pair in NAMES],
    ids=[name for name, _ in NAMES],
)
def test_the_example_of_a_public_name_runs(
    name: str, module: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))  # one of the examples empties it
    tests = list(documented(name, getattr(module, name)))
    assert tests, f"{module.__name__}.{name}: an example (>>>) expected in its docstring, none found"
    for test in tests:
        messages: list[str] = []
        doctest.DocTestRunner(optionflags=DEFAULTS).run(test, out=messages.append)
        assert not messages, "".join(messages)


@pytest.mark.parametrize(("name", "module"), NAMES, ids=[name for name, _ in NAMES])
def test_a_public_name_says_what_it_takes_and_what_it_raises(name: str, module: Any) -> None:
    value = getattr(module, name)
    text = inspect.getdoc(value) or ""
    is_error = isinstance(value, type) and issubclass(value, Exception)
    parameters = [] if is_error else [each for each in inspect.signature(value).parameters if not each.startswith("_")]
    missing = [each for each in parameters if f"{each}:" not in _flat(text)]
    assert len(parameters) < 2 or not missing, f"{name}: {', '.join(missing)}: not described"
    methods = [each for key, each in vars(value).items() if not key.startswith("_")] if isinstance(value, type) else []
    for function in filter(inspect.isfunction, [value, *methods]):
        silent = "raise " in inspect.getsource(function) and not re.search("[Rr]aise", inspect.getdoc(function) or "")
        assert not silent, f"{name}: {function.__name__} raises, and doesn't say what"


def _flat(text: str) -> str:
    """The text with `a, b: what both are` written out as `a: b:`."""
    lines = text.splitlines()
    heads = [line.strip().partition(": ")[0] for line in lines if ": " in line]
    return " ".join(f"{name.strip()}:" for head in heads for name in head.split(","))
