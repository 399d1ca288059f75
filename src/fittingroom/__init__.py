"""Fitting Room: labelled small images → a trained, honestly judged, shippable classifier.

    import fittingroom as fr

    data = fr.open_dataset("fashion-mnist")
    run = fr.train(data, recipe="swift")
    print(run.evaluate())
    fr.load(run.path).predict(data.test.images)

Names are imported on first use, so that ``import fittingroom`` costs nothing and torch is loaded only by what needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.artifact import Artifact
    from fittingroom.compare import compare_runs
    from fittingroom.data.dataset import Dataset, Splits
    from fittingroom.data.open import open_dataset
    from fittingroom.errors import ArtifactError, DataError, FittingRoomError, RecipeError
    from fittingroom.estimator import FittingRoomClassifier
    from fittingroom.pipeline import resume, train
    from fittingroom.predict.classifier import Classifier, load
    from fittingroom.ray_engine import RayEngine
    from fittingroom.recipe import Recipe, Stage, load_recipe
    from fittingroom.run import Run, open_run
    from fittingroom.start import Options
    from fittingroom.tune import resume_study, tune_recipe

__version__ = "0.1.0"

_HOMES = {
    "Artifact": "artifact",
    "ArtifactError": "errors",
    "Classifier": "predict.classifier",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "FittingRoomClassifier": "estimator",
    "FittingRoomError": "errors",
    "Options": "start",
    "RayEngine": "ray_engine",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Run": "run",
    "Splits": "data.dataset",
    "Stage": "recipe",
    "compare_runs": "compare",
    "load": "predict.classifier",
    "load_recipe": "recipe",
    "open_dataset": "data.open",
    "open_run": "run",
    "resume": "pipeline",
    "resume_study": "tune",
    "train": "pipeline",
    "tune_recipe": "tune",
}

__all__ = [
    "Artifact",
    "ArtifactError",
    "Classifier",
    "DataError",
    "Dataset",
    "FittingRoomClassifier",
    "FittingRoomError",
    "Options",
    "RayEngine",
    "Recipe",
    "RecipeError",
    "Run",
    "Splits",
    "Stage",
    "compare_runs",
    "load",
    "load_recipe",
    "open_dataset",
    "open_run",
    "resume",
    "resume_study",
    "train",
    "tune_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fittingroom' has no attribute {name!r}")
    value = getattr(import_module(f"fittingroom.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
