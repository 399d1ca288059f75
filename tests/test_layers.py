"""A file imports from its own layer or below, and never in a circle.

Imports inside functions and under TYPE_CHECKING count like all others. `fittingroom/__init__.py` is exempt: its
table of public names is read on first use.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path

import pytest

import fittingroom

ROOT = Path(fittingroom.__file__).parent

# Of each file or folder right below src/fittingroom. A new one gets its layer here: the lowest that its imports permit.
LAYERS = [
    {"errors", "events", "version"},
    {"environment", "files", "own_code", "recipes", "models", "rendering"},
    {"data", "evaluation", "parallel"},
    {"training", "artifact", "audit"},
    {"runs", "predict", "estimator"},
    {"compare", "report", "serve", "label_check", "watch"},
    {"pipeline", "data_split"},
    {"tune", "ideas", "bench", "verify_run"},
    {"cli", "__init__"},
    {"__main__"},
]
STRANGERS = [
    ("data", "models"),
    ("training", "artifact"),
    ("training", "audit"),
    ("runs", "predict"),
    *combinations(("tune", "ideas", "bench", "verify_run"), 2),
    *combinations(("compare", "label_check", "report", "serve"), 2),
]


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(ROOT.rglob("*.py"))}


def part(module: str) -> str:
    """`fittingroom.data.formats.idx` → `data`; the package itself → `__init__`."""
    return [*module.split("."), "__init__"][1]


LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


@cache
def imports(module: str) -> set[str]:
    """The modules of this package that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: an absolute import expected, a relative one found"
            # `from package import x` imports the module package.x if there is one, otherwise a name from the package
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else str(node.module) for name in within}
    return {name for name in found if name in FILES} - {module}


MODULES = [module for module in FILES if module != "fittingroom"]


def test_the_package_is_found() -> None:
    assert {
        "fittingroom",
        "fittingroom.data.formats.idx",
        "fittingroom.cli",
        "fittingroom.recipes.recipe",
    } <= FILES.keys()
    assert "fittingroom.files.atomic" in imports("fittingroom.files.json_file")


def test_every_file_has_a_layer_and_every_layer_its_files() -> None:
    parts = {part(module) for module in FILES}
    missing = sorted(parts - LAYER.keys())
    assert not missing, f"{', '.join(missing)}: no layer; add it to LAYERS in {Path(__file__).name}"
    gone = sorted(LAYER.keys() - parts)
    assert not gone, f"{', '.join(gone)}: no such file or folder; take it out of LAYERS in {Path(__file__).name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_from_its_own_layer_or_below(module: str) -> None:
    own = LAYER.get(part(module), len(LAYERS))
    above = sorted(name for name in imports(module) if LAYER.get(part(name), 0) > own)
    assert not above, f"{module} of layer {own} imports {', '.join(above)} from above"


@pytest.mark.parametrize(("one", "other"), STRANGERS + [(other, one) for one, other in STRANGERS])
def test_strangers_do_not_import_each_other(one: str, other: str) -> None:
    found = [
        (module, name) for module in MODULES if part(module) == one for name in imports(module) if part(name) == other
    ]
    assert not found


def test_no_file_imports_in_a_circle() -> None:
    try:
        TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))
