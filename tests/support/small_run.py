"""A run that took a second to train, for the tests of what is done with runs."""

from __future__ import annotations

from pathlib import Path

import fittingroom as fr
from fittingroom.runs.cut import bundles_of
from fittingroom.training.hold_out import hold_out
from tests.support.once import once


def train_small(folder: Path, *overrides: str, model: str = "tutorial") -> fr.Run:
    """One epoch on the sample, in float32, with its ``model.onnx``; a copy, if the same was trained here before."""
    if ":" in model:  # code of one's own, which may have been another one before
        return train_anew(folder, *overrides, model=model)
    once((model, *overrides), lambda made: train_anew(made, *overrides, model=model), folder)
    return fr.Run(folder, fr.open_dataset("sample"))


def train_anew(folder: Path, *overrides: str, model: str = "tutorial") -> fr.Run:
    """The same, trained in any case: where the training itself is looked at."""
    recipe = fr.load_recipe(
        "plain", overrides=[f"model={model!r}", "stages.0.epochs=1", "precision=float32", *overrides]
    )
    return fr.train("sample", recipe, out=folder)


def seen_in_training(run: fr.Run) -> tuple[fr.Dataset, fr.Dataset | None]:
    """Train and validation, as the run's training had them."""
    return hold_out(run.open_data(), run.recipe, bundles_of(run.environment, run.open_data()))
