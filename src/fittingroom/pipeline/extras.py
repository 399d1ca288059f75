"""What is made of a finished training beside its weights and scores, each by itself.

A training is done when weights, config, predictions and scores are written. ``model.onnx``, the loss curve, report,
model card and trackers come on top: where one of them fails, whatever the reason, the others are made all the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import nn

from fittingroom.artifact.artifact import Artifact
from fittingroom.artifact.export import export_onnx
from fittingroom.artifact.onnx_model import MODEL
from fittingroom.artifact.parity_gate import ExportError
from fittingroom.artifact.shipped import Shipped
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.predictions import Predictions
from fittingroom.predict.classifier import Classifier, load
from fittingroom.predict.picture_gate import PicturesDiffer, check_pictures, pictures_to_check
from fittingroom.report.model_card import write_model_card
from fittingroom.report.page import write_report
from fittingroom.report.plots import plot_loss
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.out_of_fold import read_out_of_fold
from fittingroom.runs.recorded import refuse_other_data
from fittingroom.runs.result_record import write_result
from fittingroom.runs.run import Run
from fittingroom.runs.tracking import open_tracker
from fittingroom.training.hold_out import hold_out
from fittingroom.training.inference import predict_dataset

UNMADE = "unmade"  # key of result.json: what failed, and why; only where something did
CURVE, PAGE, CARD = "loss.png", "report.html", "README.md"


@contextmanager
def by_itself(name: str, failures: dict[str, str]) -> Iterator[None]:
    """Let the block fail by itself: under ``name``, ``failures`` gets the reason, and nothing is raised."""
    try:
        yield
    except Exception as error:  # a full disk, a library's own fault: none is worth the finished training
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        failures[name] = reason or type(error).__name__


def ship(
    artifact: Artifact,
    network: nn.Module,
    train: Dataset,
    validation: Dataset | None,
    source: str,
    *,
    device: str,
    threads: int,
    failures: dict[str, str],
    held_out: Predictions | None = None,
) -> int | None:
    """Write ``model.onnx``, and see that ``predict`` sees what training saw.

    Args:
        artifact: the saved model.
        network: with its weights, on ``device``.
        train, validation: what it was trained on, and what was held out.
        source: where the data was read from; empty for arrays.
        threads: that the check may use.
        failures: gets the reason where this fails.
        held_out: what models of the folds said of the training images, where none were held out of a single training.

    Returns:
        On how many pictures ``predict`` was seen to see what training saw; None where it doesn't, which is warned of.
    """
    checked = None
    with by_itself(MODEL, failures):
        # A network of the user's own may be beyond ONNX; its training is not lost for that.
        try:
            export_onnx(artifact, network, train, validation, held_out=held_out)
        except ExportError as error:
            warnings.warn(
                f"{error}\nthe run is complete without it; only predict and serve would be faster", stacklevel=2
            )
        checked = _check_pictures(artifact, network, validation or train, source, device, threads)

    # A file that wasn't checked doesn't stay.
    if MODEL in failures:
        (artifact.path / MODEL).unlink(missing_ok=True)
    return checked


def draw_curve(run: Run, failures: dict[str, str]) -> None:
    """Draw ``loss.png``."""
    with by_itself(CURVE, failures):
        plot_loss(
            run.path,
            xkcd=run.environment.options.xkcd,
            stage_epochs=[stage.epochs for stage in run.recipe.stages],
            loss=run.recipe.loss,
        )


def report_run(run: Run) -> None:
    """Write report and model card, and tell the trackers; one warning names whatever the run lacks in the end."""
    failures = {name: reason for member in _singles(run) for name, reason in _unmade(member).items()}
    with by_itself(PAGE, failures):
        write_report(run, xkcd=run.environment.options.xkcd)
    with by_itself(CARD, failures):
        write_model_card(run)

    for member in _singles(run):
        of_member: dict[str, str] = {}
        for name in run.environment.options.track:
            _tell_tracker(name, member, of_member)
        if of_member:
            failures |= of_member
            _note(member, _unmade(member) | of_member)
    warn_of(run, failures)


def make_up(run: Run) -> None:
    """Make what failed when the run was finished, as far as it works now; report and card are not among it.

    Warns of what fails again.
    """
    failures: dict[str, str] = {}
    for member in _singles(run):
        unmade = _unmade(member)
        again: dict[str, str] = {}
        result: dict[str, Any] = {}

        if MODEL in unmade:
            with by_itself(MODEL, again):
                result["pictures_checked"] = _ship_again(member, again)
        if CURVE in unmade:
            draw_curve(member, again)
        for name in run.environment.options.track:
            if name in unmade:
                _tell_tracker(name, member, again)

        # Noted seed by seed: whoever stops this in between keeps what has been made up for.
        if unmade:
            _note(member, again, **result)
        failures |= again
    if failures:
        warn_of(run, failures)


def warn_of(run: Run, failures: Mapping[str, str]) -> None:
    """Warn once of all that failed, with the command that makes up for it."""
    if failures:
        named = ", ".join(f"{name} ({reason})" for name, reason in failures.items())
        warnings.warn(
            f"{run.path}: the run is complete but for {named}; make up for it by fittingroom report "
            f"{quote(str(run.path))}",
            stacklevel=3,
        )


def _singles(run: Run) -> list[Run]:
    return run.members or [run]


def _unmade(run: Run) -> dict[str, str]:
    return dict(run.result.get(UNMADE) or {})


def _note(run: Run, failures: Mapping[str, str], **changed: Any) -> None:
    """Have ``result.json`` say what is not made; where not even that can be written, the warning says it."""
    result = {key: value for key, value in run.result.items() if key not in ("format", UNMADE)} | changed
    with by_itself("result.json", {}):
        write_result(run.path, result | ({UNMADE: dict(failures)} if failures else {}))


def _tell_tracker(name: str, run: Run, failures: dict[str, str]) -> None:
    with by_itself(name, failures):
        tracker = open_tracker(name, run)
        tracker.finish(run)
        tracker.close()


def _ship_again(run: Run, failures: dict[str, str]) -> int | None:
    """Do :func:`ship` again, with the network that the run has saved and the data that it was trained on."""
    artifact, environment, splits = run.artifact, run.environment, run.open_data()

    # Of other images the check of pictures would say nothing of this training.
    refuse_other_data(run.path, splits, environment)
    train, validation = hold_out(splits, run.recipe, bundles_of(environment, splits))
    out_of_fold = read_out_of_fold(run, environment, splits)

    return ship(
        artifact,
        artifact.network(),
        train,
        validation,
        splits.source,
        device="cpu",
        threads=environment.machine.threads,
        failures=failures,
        held_out=None if out_of_fold is None else out_of_fold.said,
    )


def _check_pictures(
    artifact: Artifact, network: nn.Module, dataset: Dataset, source: str, device: str, threads: int
) -> int | None:
    """How many pictures ``predict`` was seen to see as training saw them; None where it doesn't, which is warned of."""
    pictures = pictures_to_check(dataset)
    expected = predict_dataset(network, pictures, artifact.normalization, device=torch.device(device))
    expected = replace(expected, probabilities=artifact.temperature.applied(expected.probabilities))
    if artifact.threshold is not None:
        expected = replace(expected, predicted=artifact.threshold.applied(expected.probabilities))

    # A network that can't be exported answers itself, as it does in predict.
    if (artifact.path / MODEL).exists():
        model = load(artifact.path, threads=threads)
    else:
        shipped = Shipped(network, artifact.normalization, artifact.temperature, artifact.threshold)
        model = Classifier(artifact, 0, None, shipped.answer)

    try:
        return check_pictures(model, pictures, expected, Path(source).expanduser() if source else None)
    except PicturesDiffer as error:
        (artifact.path / MODEL).unlink(missing_ok=True)
        warnings.warn(f"{error}\nthe run is complete without {MODEL}; don't rely on predict and serve", stacklevel=2)
        return None
