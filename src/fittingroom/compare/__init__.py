"""``fittingroom compare``: is one run better than another, or can't one tell?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.compare.answers import Answers, Split, pair, read_answers
from fittingroom.compare.validity import find_warnings, record_looks, training_images
from fittingroom.compare.verdict import Comparison, compare_answers
from fittingroom.errors import ArtifactError
from fittingroom.runs.run import Run, open_run, runs_folder

WORTH_SEEING = 0.002  # the difference that a plan is made for, where none is given


@dataclass(frozen=True, eq=False)
class Compared:
    """Several runs against the first of them.

    Attributes:
        baseline: its name.
        comparisons: one for each other run, in the order given.
        answers: of the baseline and the other run on the images that they have in common, for each comparison.
    """

    baseline: str
    comparisons: list[Comparison]
    answers: list[tuple[Answers, Answers]]

    def as_dict(self) -> dict[str, Any]:
        """What ``fittingroom compare --json`` prints."""
        return {"baseline": self.baseline, "comparisons": [each.as_dict() for each in self.comparisons]}


def compare_runs(
    runs: Sequence[Run | str | Path], *, on: Split = "test", worth_seeing: float = WORTH_SEEING
) -> Compared:
    """Compare runs with the first of them, by what they answered on the same images.

    Nothing is computed anew: the runs' own predictions are read. On test this is a look, and goes on record as one.

    Args:
        runs: two or more, each of one seed or several.
        on: ``test`` or ``validation``.
        worth_seeing: the difference of accuracy for which is said what it takes to see it; 0.002 is 0.2 points.

    Raises:
        ArtifactError: fewer than two different runs, one that isn't finished or wasn't judged on that set.
        DataError: runs that were judged on different images or by different labels.

    Example:
        >>> import fittingroom as fr
        >>> compared = fr.compare_runs(["runs/plain-1", "runs/swift-1"], on="validation").as_dict()
        >>> found = compared["comparisons"][0]
        >>> found["run"], found["n"], found["interval"][0] < found["difference"] < found["interval"][1]
        ('swift-1', 200, True)
    """
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    places = [run.path.resolve() for run in opened]
    if len(set(places)) < max(2, len(places)):
        raise ArtifactError(f"two or more different runs expected, {', '.join(map(str, runs))} found")
    sides = [read_answers(run, name, on) for run, name in zip(opened, _names(places), strict=True)]
    baseline, others = sides[0], sides[1:]
    pairs = [pair(baseline, other) for other in others]
    learned_from = {side.run.environment["data"]["train"]["content"]: side.run for side in sides}
    known = {content: training_images(run) for content, run in learned_from.items()} if on == "test" else {}
    looks = record_looks(sides) if on == "test" else []
    comparisons = []
    for other, common in zip(others, pairs, strict=True):
        warnings = find_warnings(baseline, other, common[0], on, known) + looks
        if len(others) > 1:
            warnings.append(
                f"{len(others)} runs are compared with one baseline: each interval holds in 95 % of cases by itself, "
                "so that the best of them looks a little better than it is"
            )
        comparisons.append(compare_answers(*common, on, worth_seeing=worth_seeing, warnings=warnings))
    return Compared(baseline.name, comparisons, pairs)


def _names(places: Sequence[Path]) -> list[str]:
    """As the ledger calls them, ``swift-1`` or ``swift-2/seed-0``; by the whole path where that is ambiguous."""
    short = [str(place.relative_to(runs_folder(place).resolve())) for place in places]
    return short if len(set(short)) == len(short) else [str(place) for place in places]
