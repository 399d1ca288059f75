"""Run the notebooks' code from a clean kernel, and write both with what came out.

    python notebooks/execute.py               a whole run of each on Fashion-MNIST; writes the .ipynb files
    python notebooks/execute.py --only zh-CN  of one alone: en or zh-CN
    python notebooks/execute.py --quick       of the English one on the sample, as the tests do; writes nothing

A notebook's metadata hold the SHA-256 of the code that it was run from, by which a test tells outputs that are out of
date. A changed sentence between the cells needs no new run: change it in the script and in the .ipynb.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
SCRIPTS = (FOLDER / "fashion_mnist.py", FOLDER / "fashion_mnist.zh-CN.py")
LANGUAGES = dict(zip(("en", "zh-CN"), SCRIPTS, strict=True))
SECONDS = 1800  # that one cell may take
QUICK = {  # what a run in small is told in the first cell
    'NAME = "fashion-mnist"': 'NAME = "sample"',
    "STAGES = (10, 4, 2)": "STAGES = (2, 1, 1)",
    "MINUTES = 3": "MINUTES = 0.3",
}


def main() -> None:
    """Run the notebooks, each in its language: the code is the same but for its texts."""
    parser = argparse.ArgumentParser(description="Run the notebooks and write them with their outputs.")
    parser.add_argument("--quick", action="store_true", help="on the sample; write nothing")
    parser.add_argument("--only", choices=LANGUAGES, help="one of the two")
    args = parser.parse_args()
    notebooks = {script: read(script) for script in SCRIPTS}  # now: the scripts may be edited while they run
    code, *others = (without_texts(code_of(notebook)) for notebook in notebooks.values())
    if any(other != code for other in others):
        raise SystemExit(f"the same code but for its texts expected in {' and '.join(s.name for s in SCRIPTS)}")
    if args.quick:
        execute(in_small(notebooks[LANGUAGES[args.only or "en"]]))
        return
    for script in [LANGUAGES[args.only]] if args.only else SCRIPTS:
        nbformat.write(execute(notebooks[script]), script.with_suffix(".ipynb"))


def read(script: Path) -> nbformat.NotebookNode:
    """The script as a notebook without outputs, which says what it was made from."""
    notebook = jupytext.read(script)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"  # the same each time, so that a new run changes outputs alone
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "fittingroom": {"source_sha256": source_sha256(script)},
    }
    return notebook


def code_of(notebook: nbformat.NotebookNode) -> dict[int, str]:
    """The code cells by their place."""
    return {number: cell.source for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"}


def without_texts(cells: dict[int, str]) -> list[str]:
    """What the cells do, by their syntax trees, in which all texts are empty: both languages are to do the same."""
    trees = []
    for source in cells.values():
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                node.values = [value for value in node.values if isinstance(value, ast.FormattedValue)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""
        trees.append(ast.dump(tree))
    return trees


def in_small(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook on the sample, with fewer epochs. Raises ValueError where its first cell has no such choice."""
    notebook = copy.deepcopy(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for line, other in QUICK.items():
        if line not in first.source:
            raise ValueError(f"{line} expected in the first cell")
        first.source = first.source.replace(line, other)
    return notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with outputs. Raises nbclient's CellExecutionError with the cell that failed."""
    notebook = copy.deepcopy(notebook)
    with TemporaryDirectory() as work:
        kernel = AsyncKernelManager(
            kernel_name="python3",
            transport="ipc",  # TCP would be open to the whole machine
            connection_file=f"{work}/kernel.json",
        )
        place = {"metadata": {"path": work}}
        client = NotebookClient(
            notebook, km=kernel, timeout=SECONDS, resources=place, record_timing=False, coalesce_streams=True
        )
        client.execute()
    return notebook


def source_sha256(script: Path) -> str:
    """Of the script's code cells."""
    code = code_of(jupytext.read(script))
    return hashlib.sha256(json.dumps(list(code.values())).encode()).hexdigest()


if __name__ == "__main__":
    main()
