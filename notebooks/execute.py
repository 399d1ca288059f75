"""Run the notebooks' code from a clean kernel, and write both with what came out.

    python notebooks/execute.py            a whole run on Fashion-MNIST; writes the .ipynb files beside the scripts
    python notebooks/execute.py --quick    on the sample, as the tests do; writes nothing

A notebook's metadata hold the SHA-256 of the code that it was run from, by which a test tells outputs that are out of
date. A changed sentence between the cells needs no new run: change it in the script and in the .ipynb.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
SCRIPTS = (FOLDER / "fashion_mnist.py", FOLDER / "fashion_mnist.zh-CN.py")
SECONDS = 1800  # that one cell may take


def main() -> None:
    """Run the code, which both languages have in common, and write both."""
    parser = argparse.ArgumentParser(description="Run the notebooks and write them with their outputs.")
    parser.add_argument("--quick", action="store_true", help="on the sample; write nothing")
    args = parser.parse_args()
    notebooks = {script: read(script) for script in SCRIPTS}  # now: the scripts may be edited while they run
    code, *others = (code_of(notebook) for notebook in notebooks.values())
    if any(other != code for other in others):
        raise SystemExit(f"the same code expected in {' and '.join(script.name for script in SCRIPTS)}")
    executed = execute(notebooks[SCRIPTS[0]], quick=args.quick)
    if args.quick:
        return
    for script, notebook in notebooks.items():
        nbformat.write(with_outputs_of(executed, notebook), script.with_suffix(".ipynb"))


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


def execute(notebook: nbformat.NotebookNode, *, quick: bool) -> nbformat.NotebookNode:
    """The notebook with outputs. Raises nbclient's CellExecutionError with the cell that failed."""
    notebook = copy.deepcopy(notebook)
    os.environ["FITTINGROOM_DOCS_QUICK"] = "1" if quick else "0"
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


def with_outputs_of(executed: nbformat.NotebookNode, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook with the outputs of another that has the same code."""
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    return notebook


def source_sha256(script: Path) -> str:
    """Of the script's code cells."""
    code = code_of(jupytext.read(script))
    return hashlib.sha256(json.dumps(list(code.values())).encode()).hexdigest()


if __name__ == "__main__":
    main()
