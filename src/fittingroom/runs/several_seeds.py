"""A run of several seeds: what its members say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.subsets import Subset, score_subsets_of_recipe
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.recipe_accuracy import Member, accuracy_of_answers, figures_of_members
from fittingroom.runs.result_record import write_result

MEMBER_SCORES = ("accuracy", "interval", "correct", "n")  # that a run of several seeds repeats of each member


class Seed(Member, Protocol):
    """What is said of a run of one seed beside the others."""

    @property
    def path(self) -> Path:
        """Its folder."""
        ...

    @property
    def recipe(self) -> Recipe:
        """The recipe with its seed."""
        ...

    @property
    def result(self) -> dict[str, Any]:
        """Its scores."""
        ...


def mean_of_members(
    members: Sequence[Seed],
    evaluated: Sequence[tuple[dict[str, Any], NDArray[np.bool_]]],
    subsets: Sequence[Subset],
    on: str,
    groups: Sequence[str | None] | None,
) -> dict[str, Any]:
    """What several members scored on one set, as ``result.json`` of a run of several seeds has it."""
    scores, right = zip(*evaluated, strict=True)
    right_SN = np.stack(right)
    group_N = group_numbers(groups)
    summary: dict[str, Any] = {"on": on} | accuracy_of_answers(right_SN, group_N).as_dict()
    if subsets:
        summary["subsets"] = score_subsets_of_recipe(subsets, right_SN, group_N)

    return summary | {
        "members": [
            {"seed": member.recipe.seed, "run": member.path.name} | {key: member_scores[key] for key in MEMBER_SCORES}
            for member, member_scores in zip(members, scores, strict=True)
        ]
    }


def summarize_members(path: Path, members: Sequence[Seed]) -> dict[str, Any]:
    """Write ``result.json`` of a run of several seeds: its members, their mean, sd (n - 1) and intervals.

    ``interval`` is that of the recipe, over other seeds and other images; ``interval_of_seeds`` is that of the mean
    over other seeds on these images, which 0.1 called ``interval_of_mean``; see
    :mod:`fittingroom.evaluation.intervals`. The figures are those of test once every member was judged on it, and those
    of validation until then; ``on`` says which. All are null where there is neither.
    """
    # Members that were judged on other sets have no mean: test counts once all have it.
    results = [member.result for member in members]
    on = next((split for split in ("test", "validation") if all(result[split] for result in results)), None)
    names = ("mean", "sd", "interval", "interval_of_seeds", "interval_of_mean")
    figures: dict[str, Any] = dict.fromkeys(names)
    if on:
        figures = figures_of_members(members, on, [result[on] for result in results])

    # Of each member so much as the listing and the report need, without opening its folder.
    summary = {
        "recipe": results[0]["recipe"],
        "on": on,
        **figures,
        "parameters": results[0]["parameters"],
        "train_seconds": sum(result["train_seconds"] for result in results),
        **_checked_in_all(results),
        **{key: results[0][key] for key in ("near_in_test",) if key in results[0]},  # of the data, the same for all
        "members": [
            {"seed": result["seed"], "run": member.path.name}
            | {
                split: result[split] and {key: result[split][key] for key in MEMBER_SCORES}
                for split in ("test", "validation")
            }
            for member, result in zip(members, results, strict=True)
        ],
    }
    write_result(path, summary)
    return summary


def _checked_in_all(results: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """How many pictures ``predict`` was checked on for each member; None where it wasn't for all; nothing of 0.1."""
    if not all("pictures_checked" in result for result in results):
        return {}
    checked = [result["pictures_checked"] for result in results if result["pictures_checked"]]
    return {"pictures_checked": min(checked) if len(checked) == len(results) else None}
