"""What is imported when: nothing heavy before it is needed."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fittingroom
import fittingroom.data
from fittingroom.cli import COMMANDS
from fittingroom.data.preprocessing import encode_png
from tests.support import PATIENCE
from tests.support.small_run import train_small

HEAVY = {"torch", "numpy", "polars", "PIL", "rich", "matplotlib", "scipy", "safetensors"}

# The stream that spells out control characters in messages is rendering.terminal's, which imports Rich only for a table
# or a bar.
OF_EVERY_COMMAND = {"cli", "cli.parser", "cli.streams", "errors", "rendering", "rendering.terminal", "version"}


def loaded_after(code: str) -> set[str]:
    """Every module that a fresh Python has loaded after this code."""
    report = f"{code}\nimport sys; print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def heavy_after(code: str) -> set[str]:
    """Which of the heavy packages it has loaded."""
    return loaded_after(code) & HEAVY


def ours_after(*words: str) -> set[str]:
    """Which modules of this package a command has loaded, without the name of the package itself."""
    ends = f"try: main({list(words)})\nexcept SystemExit as end: assert not end.code"
    loaded = loaded_after(f"from fittingroom.cli import main\n{ends}")
    return {name.partition(".")[2] for name in loaded if name.startswith("fittingroom.")}


# What comes first leaves what it has loaded to those after it, so one process tells of all that nothing was.
def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    lines = (
        "import fittingroom",
        "dir(fittingroom); fittingroom.__version__",
        "import fittingroom.data",
        "from fittingroom.errors import DataError",
        "from fittingroom.cli import main",
        "from fittingroom import load_recipe; load_recipe('tutorial')",
    )
    assert heavy_after("\n".join(lines)) == set()


def test_help_loads_nothing_heavy() -> None:
    commands = [[], *([name] for name in COMMANDS), *(["data", name] for name in ("info", "convert", "check", "split"))]
    code = f"""
import sys
from fittingroom.cli import main
for words in {commands}:
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert not end.code
    assert not (found := {HEAVY} & sys.modules.keys()), (words, found)
"""
    assert heavy_after(code) == set()


def test_help_loads_no_command() -> None:
    assert ours_after("--help") == OF_EVERY_COMMAND


def test_a_command_loads_no_other_command() -> None:
    of_train = {"cli.train", "cli.options", "cli.signals", "recipes", "recipes.default_names"}
    assert ours_after("train", "--help") == OF_EVERY_COMMAND | of_train
    assert ours_after("recipes", "--help") == OF_EVERY_COMMAND | {"cli.recipes"}


def test_predict_of_a_picture_loads_what_pictures_need_alone(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(encode_png(np.zeros((28, 28), np.uint8)))
    command = ["predict", str(train_small(tmp_path / "run").path), str(picture)]
    loaded = loaded_after(f"from fittingroom.cli import main\nassert main({command}) == 0")

    # No data set is opened, nothing is written or fetched, and a single picture needs no threads.
    ours = {name.removeprefix("fittingroom.") for name in loaded if name.startswith("fittingroom.")}
    packages = {name.partition(".")[0] for name in ours - OF_EVERY_COMMAND - {"rendering.share"}}
    assert packages <= {"artifact", "cli", "data", "environment", "evaluation", "files", "own_code", "predict"}
    data = {name.removeprefix("fittingroom.data.") for name in loaded if name.startswith("fittingroom.data.")}
    assert data <= {"large", "netpbm", "normalization", "picture_file", "picture_pieces", "preprocessing"}
    assert ours.isdisjoint({"evaluation.class_metrics", "evaluation.group_intervals", "evaluation.metrics"})
    assert loaded.isdisjoint({"concurrent.futures", "csv", "email", "tarfile", "tempfile", "urllib.request", "zipfile"})
    assert loaded & HEAVY <= {"numpy", "PIL"}


def test_a_slip_is_answered_without_anything_heavy() -> None:
    ends = "try: main(['train', '--weight-decay', '0.1'])\nexcept SystemExit as end: assert end.code == 2"
    assert heavy_after(f"from fittingroom.cli import main\n{ends}") == set()


def test_the_command_line_loads_no_engine_and_no_bench() -> None:
    modules = {"fittingroom.parallel.ray_engine", "fittingroom.bench"}
    assert heavy_after(f"import sys, fittingroom.cli\nassert not {modules!r} & sys.modules.keys()") == set()


def test_reading_data_does_not_load_torch() -> None:
    code = "import fittingroom.data as d; d.open_dataset('sample').train.fingerprint; d.known_identity"
    assert heavy_after(code) & {"torch", "matplotlib", "rich", "scipy"} == set()


PACKAGES = pytest.mark.parametrize("package", [fittingroom, fittingroom.data], ids=lambda package: package.__name__)


@PACKAGES
def test_public_names_are_sorted_and_listed_by_dir(package: ModuleType) -> None:
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))


@PACKAGES
def test_every_public_name_is_documented(package: ModuleType) -> None:
    for name in package.__all__:
        home = importlib.import_module(f"fittingroom.{package._HOMES[name]}")
        documented = inspect.getdoc(getattr(home, name)) or ""
        assert documented, f"{name} has no docstring"
        assert not documented.startswith(f"{name}("), f"{name} has the docstring only that dataclass makes"


def test_a_docstring_begins_with_what_it_is_about() -> None:
    """Of one that begins with a preposition, a reader of that line alone, as in an editor, learns nothing."""
    root = Path(fittingroom.__file__).parent
    texts = {file.relative_to(root): file.read_text(encoding="utf-8") for file in sorted(root.rglob("*.py"))}
    fragments = {str(file): re.findall(r'"""(?:Of|By|That|On|To|So) .*', text) for file, text in texts.items()}
    assert not {file: found for file, found in fragments.items() if found}


@PACKAGES
def test_every_public_name_is_what_it_says_after_all_the_others_were_used(package: ModuleType) -> None:
    """A module that had the name of a public function would take its place once something imports it."""
    code = f"""
import {package.__name__} as package
for name in package.__all__ * 2:
    assert getattr(package, name).__name__ == name, getattr(package, name)
"""
    heavy_after(code)


@PACKAGES
def test_a_name_that_is_not_public_is_named_in_the_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018
