"""A run that was trained with a page beside it, finished, and as it was while it was under way."""

from __future__ import annotations

import shutil
from pathlib import Path

import fittingroom as fr
from tests.support import NARROW


def train_watched(folder: Path) -> fr.Run:
    """Two epochs on the sample, with what the training stores for the page."""
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=2", "precision=float32", NARROW])
    return fr.train("sample", recipe, out=folder, watch=True, options=fr.Options(threads=1))


def in_its_second_epoch(run: fr.Run, folder: Path) -> Path:
    """A copy of the run as it was then."""
    shutil.copytree(run.path, folder)
    for name in ("result.json", "report.html"):
        (folder / name).unlink()
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_bytes(b"".join(lines[:40]))
    return folder
