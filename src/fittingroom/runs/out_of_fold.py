"""Cross-validation of a run: every training image is judged by a model that learned from the other folds alone.

    runs/<name>/folds/fold-1.safetensors      rows of the training set, probabilities, energies and residuals of each
    runs/<name>/folds/fold-2/checkpoints/     of a fold that is being trained

The answers take the place of those on validation images: predictions, temperature, scale of the out-of-distribution
score and conformal scores come from them, and the model that ships learns from every image.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fittingroom.artifact.shipped import Shipped
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError
from fittingroom.evaluation.fold_interval import fold_interval
from fittingroom.evaluation.predictions import JudgedPredictions, Predictions
from fittingroom.events import Event, Hooks, JobDone, JobEvent
from fittingroom.files.atomic import atomic_write, make_own_folder
from fittingroom.files.run_file import read_run_file
from fittingroom.models import ModelSource
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.share import share_text
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.folds import fold_numbers
from fittingroom.runs.run import Run
from fittingroom.training.checkpoint import Checkpoints
from fittingroom.training.fit import Fitted, fit
from fittingroom.training.inference import judge, predict_dataset
from fittingroom.training.start_weights import StartWeights

FOLDER = "folds"
MAX_BYTES = 1 << 30  # of a fold's answers


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What the models of all folds say of the training images.

    Attributes:
        said: of each image, in the order of the training set; uncalibrated.
        folds: how many.
        seconds: of training, all folds together.
    """

    said: Predictions
    folds: int
    seconds: float

    def judged(self, train: Dataset) -> JudgedPredictions:
        """The answers beside the truth."""
        return judge(self.said, train)


def judge_out_of_fold(
    run: Run,
    recipe: Recipe,
    model_source: ModelSource,
    environment: Environment,
    splits: Splits,
    hooks: Hooks,
    *,
    start: StartWeights | None = None,
    group: ProcessGroup = ALONE,
) -> OutOfFold | None:
    """Train what is left of the folds, each from its newest checkpoint; None in processes other than the main one.

    Args:
        run: in whose folder the folds are kept.
        recipe: of the run, as it was settled.
        model_source: the recipe's model.
        environment: says how many folds, and which images belong together.
        splits: the run's data.
        hooks: follow the trainings, a job each, and may end them.
        start: the weights that the run starts from; None for new ones.
        group: the processes that train together, each of which calls this.

    Raises:
        Interrupted, TrainingDiverged: as for :func:`fittingroom.training.fit.fit`; finished folds are kept.
    """
    folds = environment.folds
    assert folds is not None
    train = splits.train

    # Its epochs are settled for all images: the folds are to be trained as the model that ships.
    of_fold = replace(recipe, min_steps=0)
    fold_N = fold_numbers(train, folds, recipe.split_seed, bundles_of(environment, splits))

    done: dict[int, dict[str, NDArray[Any]]] = {}
    for number in range(folds):
        rows = np.flatnonzero(fold_N == number)
        file = _file_of(run, number)
        if not group.broadcast(partial(_is_done, file, rows, train.num_classes)):
            name = f"fold {number + 1} of {folds}"
            if group.is_main:
                for folder in (file.parent, _folder_of(run, number)):
                    make_own_folder(folder)
            fitted = fit(
                Splits(train.subset(fold_N != number, f"{train.name} without fold {number + 1}")),
                of_fold,
                device=environment.options.device,
                precision=environment.precision,
                model_source=model_source,
                start=start,
                checkpoints=_checkpoints(run, environment, number, rows) if group.is_main else None,
                hooks=Hooks(observe=partial(_report, hooks, name), should_stop=hooks.should_stop),
                group=group,
            )
            if group.is_main:
                said = _answers(fitted, train.subset(rows, name))
                _write(file, rows, said, fitted.seconds)
                assert train.labels is not None
                right = float((said.predicted == train.labels[rows]).mean())
                hooks.observe(JobDone(job=name, outcome=f"accuracy {share_text(right)} on its {len(rows):,} images"))

        # Read back also where just written: a resumed run and one without a stop go by the same numbers.
        if group.is_main:
            answers = _read(file, rows, train.num_classes)
            if answers is None:
                raise ArtifactError(f"{file}: the answers of a fold expected; it was changed: resume the run")
            done[number] = answers

            # Its checkpoints, and those of a process that was killed right after it had written the answers. A link in
            # a run that came by mail would have them removed elsewhere.
            if not file.parent.is_symlink():
                shutil.rmtree(_folder_of(run, number), ignore_errors=True)
    return _together(done, len(train)) if group.is_main else None


def read_out_of_fold(run: Run, environment: Environment, splits: Splits) -> OutOfFold | None:
    """The kept answers of a finished run; None for a run without folds.

    Raises:
        ArtifactError: a fold's file is missing or damaged.
    """
    if environment.folds is None:
        return None
    train = splits.train
    fold_N = fold_numbers(train, environment.folds, run.recipe.split_seed, bundles_of(environment, splits))
    done = {}
    for number in range(environment.folds):
        answers = _read(_file_of(run, number), np.flatnonzero(fold_N == number), train.num_classes)
        if answers is None:
            raise ArtifactError(f"{_file_of(run, number)}: the answers of a fold expected, it is missing or damaged")
        done[number] = answers
    return _together(done, len(train))


def scores_of_folds(judged: JudgedPredictions, folds: int) -> dict[str, Any]:
    """The scores of all images, with the interval of a cross-validation, and ``folds``."""
    return judged.scores(folds) | {
        "interval": list(fold_interval(judged.is_right, folds, judged.group_numbers)),
        "folds": folds,
    }


def _together(done: Mapping[int, dict[str, NDArray[Any]]], count: int) -> OutOfFold:
    """The folds' answers in the order of the images."""
    order = np.argsort(np.concatenate([answers["rows"] for answers in done.values()]))
    assert len(order) == count

    def whole(key: str) -> NDArray[Any] | None:
        if any(key not in answers for answers in done.values()):
            return None
        return np.concatenate([answers[key] for answers in done.values()])[order]

    probabilities_NC, predicted_N = whole("probabilities"), whole("predicted")
    assert probabilities_NC is not None
    assert predicted_N is not None
    said = Predictions(probabilities_NC, predicted_N, whole("energies"), whole("residuals"))
    return OutOfFold(said, len(done), sum(float(answers["seconds"][0]) for answers in done.values()))


def _answers(fitted: Fitted, judged: Dataset) -> Predictions:
    """What a fold's model says of its images, with what the out-of-distribution score is made of where it has that."""
    said = predict_dataset(fitted.network, judged, fitted.normalization, device=torch.device(fitted.device))
    try:
        shipped = Shipped(fitted.network, fitted.normalization)
        colours = (3,) if judged.channels == 3 else ()
        example = torch.zeros(2, *judged.image_size, *colours, dtype=torch.uint8)
        shipped.measure(shipped.fit_feature_space(fitted.train_set, example), example)
        measured = shipped.answer(judged.images)
    except Exception:  # a network of the user's own may be beyond it; its answers are not lost for that
        return said
    return replace(said, energies=measured.energies, residuals=measured.residuals)


def _report(hooks: Hooks, name: str, event: Event) -> None:
    hooks.observe(JobEvent(job=name, event=event))


def _checkpoints(run: Run, environment: Environment, number: int, rows: NDArray[np.int64]) -> Checkpoints:
    of_fold = json.dumps([environment.data.train.order, environment.folds, number, rows.tolist()])
    data = hashlib.sha256(of_fold.encode()).hexdigest()
    return Checkpoints(folder=_folder_of(run, number) / "checkpoints", data=data, keep=environment.options.keep)


def _folder_of(run: Run, number: int) -> Path:
    return run.path / FOLDER / f"fold-{number + 1}"


def _file_of(run: Run, number: int) -> Path:
    return run.path / FOLDER / f"fold-{number + 1}.safetensors"


def _is_done(file: Path, rows: NDArray[np.int64], classes: int) -> bool:
    return _read(file, rows, classes) is not None


def _write(file: Path, rows: NDArray[np.int64], said: Predictions, seconds: float) -> None:
    values: dict[str, Any] = {
        "rows": rows,
        "probabilities": said.probabilities,
        "predicted": said.predicted,
        "energies": said.energies,
        "residuals": said.residuals,
        "seconds": np.array([seconds]),
    }
    arrays = {name: np.ascontiguousarray(value) for name, value in values.items() if value is not None}
    with atomic_write(file, follow_links=False) as stream:
        stream.write(save_tensors(arrays))


def _read(file: Path, rows: NDArray[np.int64], classes: int) -> dict[str, NDArray[Any]] | None:
    """The answers of a fold that is finished; None where there are none, of other images, or damaged."""
    if not file.exists():
        return None
    try:
        arrays = load_tensors(read_run_file(file, "the answers of a fold", limit=MAX_BYTES))
    except (ArtifactError, SafetensorError, ValueError, TypeError):
        return None

    count = len(rows)
    expected: dict[str, tuple[tuple[int, ...], Any]] = {
        "rows": ((count,), np.int64),
        "probabilities": ((count, classes), np.float32),
        "predicted": ((count,), np.int64),
        "energies": ((count,), np.float32),
        "residuals": ((count,), np.float32),
        "seconds": ((1,), np.float64),
    }
    for name, (shape, kind) in expected.items():
        value = arrays.get(name)
        if value is None and name in ("energies", "residuals"):
            continue
        if value is None or value.shape != shape or value.dtype != kind:
            return None

    # The file may have been changed by hand, and what is judged by it is printed as the run's accuracy.
    shares = arrays["probabilities"]
    is_whole = (
        np.array_equal(arrays["rows"], rows)
        and bool(((shares >= 0) & (shares <= 1)).all())
        and bool(((arrays["predicted"] >= 0) & (arrays["predicted"] < classes)).all())
        and bool(0 <= arrays["seconds"][0] < 1e12)
    )
    return arrays if is_whole else None
