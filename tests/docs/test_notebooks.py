"""The notebooks run, their two languages run the same code, and what they show came from that code."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import pytest

from tests.docs.pages import ROOT

FOLDER = ROOT / "notebooks"
SCRIPTS = [FOLDER / "fashion_mnist.py", FOLDER / "fashion_mnist.zh-CN.py"]
LARGEST = 1_000_000  # bytes of a notebook, pictures included


def load_executor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXECUTE = load_executor()


def cells(script: Path, kind: str) -> list[str]:
    return [cell.source for cell in jupytext.read(script).cells if cell.cell_type == kind]


def notebook(script: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    return content


def test_every_script_is_one_that_is_executed() -> None:
    assert set(SCRIPTS) == set(EXECUTE.SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_notebook_holds_its_scripts_cells(script: Path) -> None:
    kept = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook(script)["cells"]]
    assert kept == [(cell.cell_type, cell.source) for cell in jupytext.read(script).cells]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_a_notebook_shows_came_from_this_code_in_this_order(script: Path) -> None:
    content = notebook(script)
    assert content["metadata"]["fittingroom"]["source_sha256"] == EXECUTE.source_sha256(script), (
        f"the code of {script.name} was changed after its notebook was run: python notebooks/execute.py"
    )
    counts = [cell["execution_count"] for cell in content["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_notebook_shows_a_run_on_all_of_the_data_without_errors_or_codes(script: Path) -> None:
    text = script.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    outputs = [output for cell in notebook(script)["cells"] for output in cell.get("outputs", [])]
    shown = "".join("".join(output.get("text", "")) for output in outputs)
    assert "60,000 images 28×28" in shown
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert "\x1b[" not in shown
    assert not re.search(r"/(tmp|home|root|work)/", shown)


def test_both_languages_run_the_same_code_and_tell_it_in_as_many_parts() -> None:
    english, chinese = SCRIPTS
    code = [EXECUTE.without_texts(dict(enumerate(cells(script, "code")))) for script in (english, chinese)]
    assert code[0] == code[1]
    one, other = ([text.count("\n#") for text in cells(script, "markdown")] for script in SCRIPTS)
    assert one == other


def test_both_languages_have_the_same_figures() -> None:
    def figures(script: Path) -> list[str]:
        words = " ".join(re.sub(r"`[^`]*`|\([^()]*\.md\)", " ", text) for text in cells(script, "markdown"))
        return sorted(re.findall(r"\d[\d,]*\.\d+|\d[\d,]*\d{2,}", words))

    english, chinese = map(figures, SCRIPTS)
    assert english == chinese


@pytest.mark.nightly
def test_the_code_runs_from_a_clean_kernel() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "execute.py", "--quick"], capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr
