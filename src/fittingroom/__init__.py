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

from fittingroom.version import __version__ as __version__

if TYPE_CHECKING:
    from fittingroom.artifact.artifact import Artifact as Artifact
    from fittingroom.compare import compare_runs as compare_runs
    from fittingroom.compare.foreign import evaluate_files as evaluate_files
    from fittingroom.data.convert import convert as convert
    from fittingroom.data.dataset import Dataset as Dataset
    from fittingroom.data.open import open_dataset as open_dataset
    from fittingroom.data.splits import Splits as Splits
    from fittingroom.errors import ArtifactError as ArtifactError
    from fittingroom.errors import DataError as DataError
    from fittingroom.errors import FittingRoomError as FittingRoomError
    from fittingroom.errors import RecipeError as RecipeError
    from fittingroom.estimator import FittingRoomClassifier as FittingRoomClassifier
    from fittingroom.ideas import Tried as Tried
    from fittingroom.ideas import resume_ideas as resume_ideas
    from fittingroom.ideas import try_ideas as try_ideas
    from fittingroom.parallel.ray_engine import RayEngine as RayEngine
    from fittingroom.pipeline import add_seeds as add_seeds
    from fittingroom.pipeline import resume as resume
    from fittingroom.pipeline import train as train
    from fittingroom.predict.classifier import Classifier as Classifier
    from fittingroom.predict.classifier import load as load
    from fittingroom.recipes.reading import load_recipe as load_recipe
    from fittingroom.recipes.recipe import Recipe as Recipe
    from fittingroom.recipes.recipe import Stage as Stage
    from fittingroom.report.page import write_report as write_report
    from fittingroom.report.run_summary import diagnose_run as diagnose_run
    from fittingroom.runs.environment_record import Options as Options
    from fittingroom.runs.run import Run as Run
    from fittingroom.runs.run import open_run as open_run
    from fittingroom.training.augmentation_sheet import augmentation_sheet as augmentation_sheet
    from fittingroom.tune import resume_study as resume_study
    from fittingroom.tune import tune_recipe as tune_recipe
    from fittingroom.verify_run import verify as verify

_HOMES = {
    "Artifact": "artifact.artifact",
    "ArtifactError": "errors",
    "Classifier": "predict.classifier",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "FittingRoomClassifier": "estimator",
    "FittingRoomError": "errors",
    "Options": "runs.environment_record",
    "RayEngine": "parallel.ray_engine",
    "Recipe": "recipes.recipe",
    "RecipeError": "errors",
    "Run": "runs.run",
    "Splits": "data.splits",
    "Stage": "recipes.recipe",
    "Tried": "ideas",
    "add_seeds": "pipeline",
    "augmentation_sheet": "training.augmentation_sheet",
    "compare_runs": "compare",
    "convert": "data.convert",
    "diagnose_run": "report.run_summary",
    "evaluate_files": "compare.foreign",
    "load": "predict.classifier",
    "load_recipe": "recipes.reading",
    "open_dataset": "data.open",
    "open_run": "runs.run",
    "resume": "pipeline",
    "resume_ideas": "ideas",
    "resume_study": "tune",
    "train": "pipeline",
    "try_ideas": "ideas",
    "tune_recipe": "tune",
    "verify": "verify_run",
    "write_report": "report.page",
}

__all__ = sorted(_HOMES)  # what is public: whose home is known


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fittingroom' has no attribute {name!r}")
    from fittingroom.errors import naming_extras

    with naming_extras():
        value = getattr(import_module(f"fittingroom.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
