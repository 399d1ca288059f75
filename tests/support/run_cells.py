"""Run cells in the kernel of a notebook and print what came out: JSON on stdin and stdout. A program of its own."""

from __future__ import annotations

import json
import os
import sys
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def main() -> None:
    """Read a list of cells, write the list of outputs of each."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(sys.stdin)]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    with TemporaryDirectory() as work:
        # TCP would be open to the whole machine
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=f"{work}/kernel.json")
        place = {"metadata": {"path": work}}
        client = NotebookClient(notebook, km=kernel, timeout=300, resources=place, coalesce_streams=True)
        client.execute(env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    json.dump([cell.outputs for cell in notebook.cells], sys.stdout)


if __name__ == "__main__":
    main()
