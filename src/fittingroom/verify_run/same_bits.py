"""Whether a training that was repeated came to the recorded bits: steps, states, weights, answers and folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.errors import ArtifactError
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.events import Hooks
from fittingroom.files.temporary import temporary_folder
from fittingroom.models import find_model
from fittingroom.runs.out_of_fold import judge_out_of_fold, read_out_of_fold
from fittingroom.runs.run import Run
from fittingroom.training.fit import Fitted, judge_on_validation
from fittingroom.verify_run.again import Again, Trace


def compare_steps(recorded: Trace, trace: Trace) -> Iterator[str]:
    """Say how far losses and states are the same."""
    both = sorted(recorded.losses.keys() & trace.losses.keys())
    if not both:
        yield "steps: the run has no losses of its steps to compare with"
        return
    apart = [step for step in both if recorded.losses[step] != trace.losses[step]]
    if apart:
        was, now = recorded.losses[apart[0]], trace.losses[apart[0]]
        yield f"steps: from step {apart[0]:,} of {len(both):,} on the losses differ, there {was!r} then and {now!r} now"
    else:
        yield f"steps: {len(both):,} losses have the same bits"

    # After the first other loss the states are others too, and to say so would say nothing new.
    known = [epoch for epoch in trace.states if recorded.states.get(epoch)]
    if known and not apart:
        same = sum(recorded.states[epoch] == trace.states[epoch] for epoch in known)
        yield f"states: {same} of {len(known)}, each after an epoch, have the same SHA-256"


def are_same_states(recorded: Trace, trace: Trace) -> bool:
    """Whether the states after epochs are the same, where the run has recorded them."""
    return all(recorded.states.get(epoch) in ("", None, digest) for epoch, digest in trace.states.items())


def compare_weights(network: nn.Module, run: Run, trust_code: bool) -> tuple[int, list[str]]:
    """How many tensors the network has, and the names of those that have other bits in the run's folder."""
    now = network.state_dict()
    kept = run.artifact.network(trust_code=trust_code).state_dict()
    if now.keys() != kept.keys():
        raise ArtifactError(f"{run.path}: the weights of another network than the recipe's model found")
    return len(now), [name for name in now if not torch.equal(now[name].cpu(), kept[name])]


def compare_answers(run: Run, fitted: Fitted) -> Iterator[str]:
    """Say where recorded answers or scores are not those of the weights, which are known to be right."""
    result, classes = run.result, run.artifact.classes
    for part in ("validation", "test"):
        file, scores = run.predictions_file(part), result.get(part)
        if not scores or not file.exists():
            continue
        kept = read_predictions(file, classes)
        right = int(kept.is_right.sum())
        if right != scores["correct"]:
            yield f"result.json says {scores['correct']:,} right answers on {part}, {file.name} has {right:,}"

        # Test images are not looked at for it: the same weights give the same answers.
        if part == "validation" and (now := judge_on_validation(fitted)) is not None:
            answers_N = _as_written(run, now)
            other = int((answers_N != kept.predicted).sum()) if now.images == kept.images else len(kept.images)
            if other:
                images = len(kept.images)
                yield f"{file.name} has other answers than the weights give, on {other:,} of {images:,} images"


def _as_written(run: Run, now: JudgedPredictions) -> NDArray[np.int64]:
    """The answers of uncalibrated predictions as the run's file has them, int64 (N,)."""
    shipped = run.artifact
    if shipped.temperature.n or shipped.threshold:
        now = now.cross_fitted(with_threshold=shipped.threshold is not None)
    return now.predicted if len(shipped.classes) == 2 else now.probabilities.argmax(axis=1)  # as they are read


def compare_folds(run: Run, again: Again) -> tuple[list[str], list[str]]:
    """Train the folds of a cross-validation again, and compare their answers with the recorded ones.

    Returns:
        Sentences of what is the same, and of what is wrong.
    """
    recorded = read_out_of_fold(run, again.environment, again.splits)
    if recorded is None:
        return [], []
    machine = dataclasses.replace(again.environment.options, device=again.device)
    recipe = again.with_code(run.recipe)

    # Elsewhere, as the run's own folder has the folds already and would give them back untrained.
    with temporary_folder("the folds that are trained again") as folder:
        now = judge_out_of_fold(
            Run(folder, again.splits),
            recipe,
            find_model(recipe.model),
            dataclasses.replace(again.environment, options=machine),
            again.splits,
            Hooks(observe=again.observe),
            start=again.start,
        )
    assert now is not None

    other_N = (now.said.probabilities != recorded.said.probabilities).any(axis=1)
    if other_N.any():
        count = f"{int(other_N.sum()):,} of {len(other_N):,}"
        return [], [f"folds: {count} images are answered otherwise when trained again"]
    same = [f"folds: the answers to all {len(other_N):,} images have the same bits"]

    # The file and the score are of these answers.
    file = run.predictions_file("validation")
    kept = read_predictions(file, run.artifact.classes)
    differ = int((kept.predicted != _as_written(run, now.judged(again.splits.train))).sum())
    return same, [f"{file.name} has other answers, on {differ:,} images"] if differ else []
