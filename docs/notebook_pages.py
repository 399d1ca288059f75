"""The notebooks as pages: their text, code and recorded output as Markdown, made each time the site is built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "notebooks"
TUTORIAL = ("](../docs/start/tutorial.md)", "](../docs/zh-CN/tutorial.md)")  # which lies beside each of the pages


def page_of(name: str) -> str:
    """A notebook's cells in their order, each with what a whole run printed and drew below it.

    Args:
        name: of the file, such as ``fashion_mnist.ipynb``.
    """
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for number, cell in enumerate(cells, 1) for part in _parts(cell, number))


def _parts(cell: dict[str, Any], number: int) -> Iterator[str]:
    source = "".join(cell["source"]).strip()
    if cell["cell_type"] == "markdown":
        for link in TUTORIAL:
            source = source.replace(link, "](tutorial.md)")
        yield source
        return

    # An object that has no text of its own was shown by a script, which a page hasn't.
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            png = "".join(data["image/png"].split())
            yield f'<img alt="what cell {number} draws" src="data:image/png;base64,{png}">'
        elif (text := "".join(output.get("text", data.get("text/plain", ""))).rstrip()) and not text.startswith("<"):
            yield f"```text\n{text}\n```"
