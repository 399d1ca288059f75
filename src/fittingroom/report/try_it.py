"""The part of a page in which its model is tried: weights and script inside, no network, no runtime to load."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fittingroom.artifact.browser_model import browser_model
from fittingroom.artifact.onnx_model import MODEL, OnnxModel
from fittingroom.rendering import html_page
from fittingroom.rendering.page_script import bundled, json_in_page, source_of, squeezed
from fittingroom.runs.run import Run

FOLDER = Path(html_page.__file__).parent
SCRIPTS = (
    "class_names.js",
    "flood_fill.js",
    "share.js",
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
    """What a page needs for trying the model of a run of one seed.

    Raises:
        ArtifactError: its model can't be computed by a page, or a file of it is missing or damaged.
    """
    metadata = OnnxModel(run.path / MODEL, threads=1).metadata
    script = _script()
    return Trial(
        model=json_in_page(browser_model(run.artifact, metadata)),
        script=script,
        style=squeezed(FOLDER / "try_it" / "try_it.css"),
        script_source=source_of(script),
    )


@cache
def _script() -> str:
    return bundled([FOLDER / name for name in SCRIPTS])
