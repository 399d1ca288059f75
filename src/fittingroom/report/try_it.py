"""The part of a page in which its model is tried: weights and script inside, no network, no runtime to load."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fittingroom.artifact.browser_model import browser_model
from fittingroom.artifact.onnx_model import MODEL, OnnxModel
from fittingroom.rendering import html_page
from fittingroom.runs.run import Run

FOLDER = Path(html_page.__file__).parent
SCRIPTS = (
    "class_names.js",
    "try_it/words.js",
    "try_it/network.js",
    "try_it/picture.js",
    "try_it/try_it.js",
)


@dataclass(frozen=True)
class Trial:
    """What ``try_it.html`` is filled in with.

    Attributes:
        model: JSON that may stand in a page.
        script: what computes with it.
        style: its sheet.
        script_source: the script's hash, as a content security policy has it: no other script runs on the page.
    """

    model: str
    script: str
    style: str
    script_source: str


def trial_of(run: Run) -> Trial:
    """Of a run of one seed.

    Raises:
        ArtifactError: its model can't be computed by a page, or a file of it is missing or damaged.
    """
    metadata = OnnxModel(run.path / MODEL, threads=1).metadata
    model = json.dumps(browser_model(run.artifact, metadata), ensure_ascii=False, separators=(",", ":"))

    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Trial(
        model=model.replace("<", "\\u003c"),  # a class may be called </script>
        script=script,
        style=(FOLDER / "try_it" / "try_it.css").read_text(encoding="utf-8"),
        script_source=f"'sha256-{digest}'",
    )


@cache
def _script() -> str:
    """All of it in one, with names of its own; without comments and indentation, a fifth of its length."""
    lines = [line.strip() for name in SCRIPTS for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]
    code = [line.removeprefix("export ") for line in lines if line and not line.startswith("//")]
    return "\n".join(["", '"use strict";', "{", *code, "}", ""])
