"""The one look at test that a study may end in: the baseline and the best idea, with seeds that no pair had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fittingroom.compare import compare_runs
from fittingroom.data.dataset import Splits
from fittingroom.events import Hooks
from fittingroom.ideas.decide import LOOKS
from fittingroom.ideas.study import BASELINE, Study
from fittingroom.pipeline import resume
from fittingroom.recipes.own_names import with_code_of
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import start_anew
from fittingroom.runs.environment_record import holds_run

FRESH_SEEDS = 1_000  # the first of them
KEPT = ("difference", "interval", "p_value", "n", "seeds", "verdict", "accuracies", "warnings")


def compare_on_test(
    study: Study, result: Mapping[str, Any], recipes: Mapping[str, Recipe], splits: Splits, hooks: Hooks
) -> dict[str, Any] | None:
    """Train baseline and winner as they were asked for, and compare them on the test set; None without a winner.

    Args:
        study: that has come to an end.
        result: what it came to.
        recipes: baseline and ideas by their names, with the validation images that they ask for themselves.
        splits: with the test set.
        hooks: follow the trainings, and may end them.
    """
    better = [idea for idea in result["ideas"] if idea["verdict"] == "better"]
    if not better:
        return None

    # Fresh seeds, as those of the pairs chose the winner and are the luckier for it.
    winner = max(better, key=lambda idea: idea["difference"])
    seeds = [FRESH_SEEDS + number for number in range(max(LOOKS[0], winner["pairs"]))]

    sides = {side.name: side for side in (study.baseline, *study.ideas)}
    places = {BASELINE: study.path / "test-baseline", winner["name"]: study.path / "test-winner"}

    # What was trained before a stop is there: it is brought to its end, and not begun again.
    for name, path in places.items():
        if not holds_run(path):
            recipe = with_code_of(recipes[name], sides[name].recipe)
            start_anew(splits, recipe, path, seeds=seeds, options=study.baseline.options, look_at_test=True)
        resume(
            path,
            data=splits,
            trust_code=study.baseline.trust_code,
            observe=hooks.observe,
            should_stop=hooks.should_stop,
        )

    compared = compare_runs(list(places.values()), on="test", minimum_effect=study.effect).as_dict()["comparisons"][0]
    return {"winner": winner["name"]} | {key: compared[key] for key in KEPT}
