"""The one look at test that a study may end in: the baseline and the best idea, with seeds that no pair had.

What it came to is kept in ``test.json``. A study that goes on afterwards, with a larger budget say, looks no second
time, whatever it finds: test would then be what chose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fittingroom.compare import compare_runs
from fittingroom.compare.comparison import Verdict
from fittingroom.data.splits import Splits
from fittingroom.events import Hooks
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import Positive, Range, Share, read_record
from fittingroom.ideas.decide import LOOKS
from fittingroom.ideas.study import BASELINE, Idea, Study
from fittingroom.pipeline import resume
from fittingroom.recipes.own_names import with_code_of
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import start_anew
from fittingroom.runs.environment_record import holds_run

FILE = "test.json"
FORMAT = 1
FRESH_SEEDS = 1_000  # the first of them

Difference = Annotated[float, Range(-1, 1)]


@dataclass(frozen=True, kw_only=True)
class LookAtTest:
    """What the look came to.

    Attributes:
        format: of this file.
        winner: the idea that was compared with the baseline.
        difference, interval, p_value, n, seeds, verdict, accuracies, warnings: as ``fittingroom compare`` has them.
    """

    format: Annotated[int, Range(FORMAT, FORMAT)] = FORMAT
    winner: str
    difference: Difference
    interval: tuple[Difference, Difference]
    p_value: Share
    n: Positive
    seeds: tuple[Positive, Positive]
    verdict: Verdict
    accuracies: tuple[list[Share], list[Share]]
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """What the study's ``result.json`` says of it."""
        values = asdict(self)
        del values["format"]
        return values | {key: list(values[key]) for key in ("interval", "seeds", "accuracies")}


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

    Raises:
        ArtifactError: the record of an earlier look is damaged.
    """
    file = study.path / FILE
    if file.exists():
        return read_record(LookAtTest, read_json(file), str(file)).as_dict()

    winner = _winner(study, result)
    if winner is None:
        return None

    # Fresh seeds, as those of the pairs chose the winner and are the luckier for it.
    pairs = study.judged[winner.name].pairs
    seeds = [FRESH_SEEDS + number for number in range(max(LOOKS[0], pairs))]

    # The winner's folder is the first to be made: from then on it is the winner, whatever is found later. What was
    # trained before a stop is there, and is brought to its end.
    sides = {_place(study, winner): winner, study.path / f"test-{BASELINE}": study.baseline}
    for path, side in sides.items():
        if not holds_run(path):
            recipe = with_code_of(recipes[side.name], side.recipe)
            start_anew(splits, recipe, path, seeds=seeds, options=study.baseline.options, look_at_test=True)
    for path in sides:
        resume(
            path,
            data=splits,
            trust_code=study.baseline.trust_code,
            observe=hooks.observe,
            should_stop=hooks.should_stop,
        )

    compared = compare_runs(list(reversed(sides)), on="test", minimum_effect=study.effect).as_dict()["comparisons"][0]
    kept = {field.name: compared[field.name] for field in dataclasses.fields(LookAtTest) if field.name in compared}
    look = LookAtTest(winner=winner.name, **kept)
    write_json(file, asdict(look))
    return look.as_dict()


def _winner(study: Study, result: Mapping[str, Any]) -> Idea | None:
    """The idea that is looked at: the one whose training for test was begun, or else the best of those found better."""
    begun = [idea for idea in study.ideas if holds_run(_place(study, idea))]
    if begun:
        return begun[0]
    better = {idea["name"]: idea["difference"] for idea in result["ideas"] if idea["verdict"] == "better"}
    return max((idea for idea in study.ideas if idea.name in better), key=lambda idea: better[idea.name], default=None)


def _place(study: Study, idea: Idea) -> Path:
    """The folder of the runs that an idea is looked at on test by."""
    return study.path / f"test-{idea.path.name}"
