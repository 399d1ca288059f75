"""Whether a model that came out with other bits lies within what seeds of its recipe vary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fittingroom.compare.same_recipe import FEWEST, AmongSeeds, among_seeds
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.rendering.share import share_text
from fittingroom.runs.command_line import command_line
from fittingroom.runs.environment_record import holds_run
from fittingroom.runs.ledger import record_evaluation
from fittingroom.runs.run import Run, runs_folder
from fittingroom.training.fit import Fitted
from fittingroom.training.inference import judge, predict_dataset
from fittingroom.verify_run.again import Again, Trace


def judge_by_seeds(run: Run, again: Again, fitted: Fitted, seeds: int) -> tuple[AmongSeeds | None, list[str]]:
    """Place the recorded model among this one and other seeds of its recipe, on the same images.

    Args:
        run: the recorded training, of one seed.
        again: trains further seeds, where the run has too few other members.
        fitted: what it came to when it was trained again.
        seeds: how many new ones are trained then.

    Returns:
        Where it lies, None where that can't be told; and sentences of what was found.
    """
    part, dataset = ("validation", fitted.validation_set) if fitted.validation_set else ("test", again.splits.test)
    if dataset is None or dataset.labels is None:
        return None, ["neither validation nor labelled test images: nothing to judge the difference by"]
    if part == "test":
        dataset = dataset.aligned_to(run.artifact.classes)
        record_evaluation(runs_folder(run.path), dataset, run=run.name, command=command_line())

    kept = run.artifact.network(trust_code=again.trust_code).to(fitted.device)
    recorded, now = (_answers(network, dataset, fitted) for network in (kept, fitted.network))
    discordant = int((recorded.is_right != now.is_right).sum())
    before, after = (share_text(float(answers.is_right.mean())) for answers in (recorded, now))
    sentences = [
        f"{part}: {before} then and {after} now of {len(dataset):,} images; "
        f"{discordant:,} discordant, on which one of the two is right"
    ]

    # The members of the run where there are enough of them, else new seeds.
    others = [right for right in _members(run, part, dataset) if len(right) == len(dataset)]
    of_what = f"{len(others)} other members of the run"
    if len(others) + 1 < FEWEST:
        if seeds + 1 < FEWEST:
            return None, [*sentences, f"{FEWEST - 1} seeds or more are needed to judge by, {seeds} asked for"]
        others, of_what = list(_new_seeds(run, again, seeds, dataset)), f"{seeds} new seeds"

    among = among_seeds(recorded.is_right, np.stack([now.is_right, *others]))
    low, high = among.interval
    sentences.append(
        f"by this training and {of_what}, one more seed has {low:.2%} to {high:.2%} right and at most "
        f"{among.most_discordant:,.0f} discordant images with the others (97.5% each); the run has "
        f"{share_text(among.accuracy)} and {among.discordant:,.0f}"
    )
    return among, sentences


def _answers(network: nn.Module, dataset: Dataset, fitted: Fitted) -> JudgedPredictions:
    device = torch.device(fitted.device)
    return judge(predict_dataset(network, dataset, fitted.normalization, device=device), dataset)


def _members(run: Run, part: str, dataset: Dataset) -> Iterator[NDArray[np.bool_]]:
    """Which images the other members have right, of those that answered the same ones."""
    parent = Run(run.path.parent)
    if not holds_run(parent.path):
        return
    images = tuple(digest.hex() for digest in dataset.image_hashes())
    for member in parent.members:
        file = member.predictions_file(part)
        if member.path.name != run.path.name and member.is_finished and file.exists():
            answers = read_predictions(file, member.artifact.classes)
            if answers.images == images:
                yield answers.is_right


def _new_seeds(run: Run, again: Again, seeds: int, dataset: Dataset) -> Iterator[NDArray[np.bool_]]:
    """Which images models of other seeds have right."""
    for number in range(1, seeds + 1):
        recipe = dataclasses.replace(run.recipe, seed=run.recipe.seed + number)
        fitted = again.train(recipe, f"seed-{recipe.seed}", Trace())
        assert fitted is not None  # nothing stops it
        yield _answers(fitted.network, dataset, fitted).is_right
