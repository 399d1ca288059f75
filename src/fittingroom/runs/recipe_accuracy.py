"""What a run of several seeds says of its recipe's accuracy, from what its members answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.artifact import Artifact
from fittingroom.errors import ArtifactError
from fittingroom.evaluation.class_metrics import class_metrics, is_lopsided
from fittingroom.evaluation.fold_interval import fold_interval, recipe_accuracy_by_folds
from fittingroom.evaluation.group_intervals import model_interval_by_groups, recipe_accuracy_by_groups
from fittingroom.evaluation.intervals import (
    RecipeAccuracy,
    model_interval,
    recipe_accuracy,
    recipe_accuracy_of_scores,
)
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions


class Member(Protocol):
    """What is needed of a run of one seed to read what it answered."""

    @property
    def artifact(self) -> Artifact:
        """Its model, for the names of the classes."""
        ...

    def predictions_file(self, split: str) -> Path:
        """Where its predictions are kept."""
        ...


def accuracy_of_members(members: Sequence[Member], split: str, scores: Sequence[Mapping[str, Any]]) -> RecipeAccuracy:
    """The accuracy of the recipe on ``split``, and its interval by seeds and images.

    Args:
        members: of one run.
        split: ``test`` or ``validation``, which all of them were judged on.
        scores: each one's ``accuracy``, ``correct`` and ``n``. They decide the interval alone where the predictions
            are gone, or not on the same images, and it is the wider then.
    """
    return _accuracy(_tables(members, split), scores)


def figures_of_members(members: Sequence[Member], split: str, scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As plain values, what :func:`accuracy_of_members` gives, and the metrics by class where the scores have them.

    These are balanced accuracy, macro-F1 and AUC of the recipe, seeds and images crossed; none where the members'
    predictions are gone, or not on the same images.
    """
    tables = _tables(members, split)
    figures: dict[str, Any] = _accuracy(tables, scores).as_dict()
    if any("balanced_accuracy" in score for score in scores) and tables and is_lopsided(tables[0].truth):
        said = [(table.probabilities, table.predicted) for table in tables]
        folds = next((score["folds"] for score in scores if "folds" in score), None)
        figures |= class_metrics(said, tables[0].truth, tables[0].group_numbers, folds)
    return figures


def accuracy_of_answers(
    right_SN: NDArray[np.bool_], group_N: NDArray[np.int64] | None = None, folds: int | None = None
) -> RecipeAccuracy:
    """The accuracy by whether each seed (a row) got each image (a column) right; of a single seed, that of its model.

    ``group_N`` has the group of each image, where groups are known: other images are then those of other groups. With
    ``folds`` each seed's answers come of so many models.
    """
    if folds is not None:
        groups = None if group_N is None else int(group_N.max()) + 1
        if len(right_SN) > 1:
            return replace(recipe_accuracy_by_folds(right_SN, folds, group_N), groups=groups)
        interval = fold_interval(right_SN[0], folds, group_N)
        return RecipeAccuracy(float(right_SN.mean()), 0.0, interval, None, groups)

    if group_N is None:
        if len(right_SN) > 1:
            return recipe_accuracy(right_SN)
        return _accuracy_of_one(int(right_SN.sum()), right_SN.shape[1])

    groups = int(group_N.max()) + 1
    if len(right_SN) > 1:
        return replace(recipe_accuracy_by_groups(right_SN, group_N), groups=groups)
    interval = model_interval_by_groups(right_SN[0], group_N)
    return RecipeAccuracy(float(right_SN.mean()), 0.0, interval, None, groups)


def accuracy_of_scores(scores: Sequence[Mapping[str, Any]]) -> RecipeAccuracy:
    """The accuracy by the ``accuracy``, ``correct`` and ``n`` of each seed alone."""
    if len(scores) > 1:
        return recipe_accuracy_of_scores([score["accuracy"] for score in scores], min(score["n"] for score in scores))
    return _accuracy_of_one(scores[0]["correct"], scores[0]["n"])


def whose_interval(seeds: int) -> str:
    """What an interval of accuracy is about, for words: ``recipe``, or ``this model`` where there is one seed."""
    return "recipe" if seeds > 1 else "this model"


def _accuracy_of_one(correct: int, n: int) -> RecipeAccuracy:
    return RecipeAccuracy(correct / n, 0.0, model_interval(correct, n), None)


def _accuracy(tables: Sequence[JudgedPredictions], scores: Sequence[Mapping[str, Any]]) -> RecipeAccuracy:
    """The accuracy by the answers, where they are at hand and are those that were scored, else by the scores."""
    if [int(table.is_right.sum()) for table in tables] != [score["correct"] for score in scores]:
        return accuracy_of_scores(scores)
    return accuracy_of_answers(np.stack([table.is_right for table in tables]), tables[0].group_numbers)


def _tables(members: Sequence[Member], split: str) -> list[JudgedPredictions]:
    """What each member predicted on the same images; empty where that can't be brought together."""
    try:
        tables = [read_predictions(member.predictions_file(split), member.artifact.classes) for member in members]
    except ArtifactError:
        return []
    return tables if all(table.images == tables[0].images for table in tables) else []
