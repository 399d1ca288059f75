"""What a stranger's file could turn into code is nowhere in the package but where own, trusted code is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fittingroom

PACKAGE = Path(fittingroom.__file__).parent
MODULES = {"pickle", "marshal", "shelve", "dbm", "yaml", "dill", "cloudpickle", "joblib"}
NAMES_OF_ERRORS = {"training/pretrained.py"}  # has pickle's exception alone
BUILT_IN = {"eval", "exec", "compile", "__import__"}
OTHERS = {"system", "popen", "exec_module", "spec_from_file_location"}
EXECUTES = {"own_code/execute.py"}  # what the user gave, or what a run keeps and its user trusts
MUST_SAY = {("np", "load"): ("allow_pickle", False), ("torch", "load"): ("weights_only", True)}


def found(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and name not in NAMES_OF_ERRORS:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"imports {module}" for module in names if module.partition(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue

        is_attribute = isinstance(node.func, ast.Attribute)
        called = str(getattr(node.func, "attr", None) or getattr(node.func, "id", ""))
        of = str(getattr(getattr(node.func, "value", None), "id", ""))
        if called in (OTHERS if is_attribute else BUILT_IN | OTHERS) and name not in EXECUTES:
            yield f"calls {called}"
        said = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
        if "shell" in said:
            yield "asks for a shell"
        if (of, called) in MUST_SAY:
            option, value = MUST_SAY[of, called]
            if option not in said or said[option] is not value:
                yield f"calls {of}.{called} without {option}={value}"


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell() -> None:
    faults = {}
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        faults[name] = list(found(ast.parse(file.read_text(encoding="utf-8")), name))
    assert len(faults) > 150
    assert {name: each for name, each in faults.items() if each} == {}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import pickle", "imports pickle"),
        ("from yaml import load", "imports yaml"),
        ("eval(text)", "calls eval"),
        ("os.system(text)", "calls system"),
        ("subprocess.run(text, shell=True)", "asks for a shell"),
        ("np.load(file)", "calls np.load without allow_pickle=False"),
        ("torch.load(file, weights_only=False)", "calls torch.load without weights_only=True"),
    ],
)
def test_each_of_them_is_seen(code: str, expected: str) -> None:
    assert list(found(ast.parse(code), "a.py")) == [expected]


def test_compiling_a_pattern_is_no_execution() -> None:
    assert list(found(ast.parse("re.compile(text)\nmodel.eval()"), "a.py")) == []
