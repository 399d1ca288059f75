"""``fittingroom compare``: is one run better than another, or can't one tell?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.compare.answers import Answers, Split, pair, read_answers
from fittingroom.compare.comparison import Comparison, Decision, view_of_comparisons
from fittingroom.compare.disagreements import Disagreements, find_disagreements
from fittingroom.compare.foreign import dataset_of, files_of, name_of, read_files
from fittingroom.compare.looks import record_looks
from fittingroom.compare.sides import Side, side_of
from fittingroom.compare.validity import find_warnings, learned_key, record_evaluations, training_images
from fittingroom.compare.verdict import compare_answers, holm, p_value_of
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError
from fittingroom.files.one_state import in_one_state
from fittingroom.runs.compare_ledger import level_of_look
from fittingroom.runs.run import Run, open_run, runs_folder

MINIMUM_EFFECT = 0.002  # of interest, where none is given: a difference of accuracies


@dataclass(frozen=True, eq=False)
class Compared:
    """Several runs against the first of them.

    Attributes:
        baseline: its name.
        comparisons: one for each other run, in the order given.
        disagreements: for each comparison the images that tell the two runs apart.
        sides: baseline and runs, each by itself: accuracy and its interval, on the images that it has in common with
            the baseline; and what differs from the baseline's recipe.
    """

    baseline: str
    comparisons: list[Comparison]
    disagreements: list[Disagreements]
    sides: list[Side]

    @property
    def answers(self) -> list[tuple[Answers, Answers]]:
        """For each comparison, what the baseline and the other run answered on the images that they have in common."""
        return [(disagreements.first, disagreements.second) for disagreements in self.disagreements]

    @property
    def interval_names(self) -> str:
        """``simultaneous 95%``; where a pair was looked at before, its own beside it."""
        names = list(dict.fromkeys(each.overall.decision.interval_name for each in self.comparisons))
        if len(names) == 1:
            return names[0]
        return f"{names[0]} or {' or '.join(name.rpartition(' ')[2] for name in names[1:])}, as each sentence says"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row and a sentence for each run."""
        return view_of_comparisons(self.baseline, self.comparisons)

    def as_dict(self, *, sheets: Sequence[Path | None] | None = None, page: Path | None = None) -> dict[str, Any]:
        """What ``fittingroom compare --json`` prints.

        Args:
            sheets: where the contact sheet of each comparison was written to, None for one that has none.
            page: where the page was written to.
        """
        # The images apart stand beside the figures that they explain, and not in a list of their own.
        comparisons = [
            comparison.as_dict()
            | {
                "images_apart": len(disagreements.images),
                "discordant": disagreements.as_dicts(),
                "sheet": sheet and str(sheet),
            }
            for comparison, disagreements, sheet in zip(
                self.comparisons, self.disagreements, sheets or [None] * len(self.comparisons), strict=True
            )
        ]

        sides = [side.as_dict() for side in self.sides]
        return {"baseline": self.baseline, "sides": sides, "comparisons": comparisons} | (
            {"html": str(page)} if page else {}
        )


def compare_runs(
    runs: Sequence[Run | str | Path | Sequence[str | Path]],
    *,
    on: Split = "test",
    data: Splits | Dataset | str | Path | None = None,
    minimum_effect: float = MINIMUM_EFFECT,
    worth_seeing: float | None = None,
) -> Compared:
    """Compare runs with the first of them, by what they answered on the same images.

    Nothing is computed anew: the runs' own predictions are read. On test this is a test-set evaluation, and is recorded
    as one. Each look at a pair of recipes with other members than before is recorded too, in ``compare-looks.jsonl`` in
    the folder of all runs: what p has to fall below becomes smaller with it
    (:mod:`fittingroom.runs.compare_ledger`). Several runs are decided by Holm's p; their intervals are simultaneous.

    Any of them may be predictions of another program in place of a run: a file of Parquet, CSV or npz, several of one
    recipe's seeds (a list, a pattern such as ``mine/seed-*.csv``, a folder), as
    :func:`fittingroom.evaluate_files` takes them. Images are paired by SHA-256, file, id or row.

    Args:
        runs: two or more, each of one seed or several.
        on: ``test`` or ``validation``: what runs were judged on.
        data: that files of predictions are about. It gives pictures, the names of classes that are numbers, and labels
            where a file has none; a run has its own.
        minimum_effect: the smallest difference of accuracies that is of interest, > 0; 0.002 is 0.2 points. Where the
            runs can't be told apart, the verdict says what it takes to detect it.
        worth_seeing: the old name of ``minimum_effect``.

    Raises:
        ArtifactError: fewer than two different runs, one that isn't finished or wasn't judged on that set.
        DataError: runs that were judged on different images or by different labels.

    Example:
        >>> import fittingroom as fr
        >>> compared = fr.compare_runs(["runs/plain-1", "runs/swift-1"], on="validation").as_dict()
        >>> swift = compared["comparisons"][0]
        >>> swift["run"], swift["n"], swift["interval"][0] < swift["difference"] < swift["interval"][1]
        ('swift-1', 200, True)
    """
    if worth_seeing is not None:
        message = "compare_runs(worth_seeing=…) is called minimum_effect; the old name goes in a later release"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        minimum_effect = worth_seeing

    opened = [run if isinstance(run, Run) else files_of(run) or open_run(_as_path(run)) for run in runs]
    with in_one_state(*(side.path for run in opened if isinstance(run, Run) for side in (run, *run.members))):
        return _compared(opened, runs, on, data, minimum_effect)


def _compared(
    opened: Sequence[Run | Sequence[Path]],
    named: Sequence[Run | str | Path | Sequence[str | Path]],
    on: Split,
    data: Splits | Dataset | str | Path | None,
    minimum_effect: float,
) -> Compared:
    sides = _open_sides(opened, named, on, None if data is None else dataset_of(data, on))
    baseline, others = sides[0], sides[1:]
    pairs = [pair(baseline, other) for other in others]

    # The training data of each run is opened once, whichever runs share it; only test images could leak into it.
    learned_from = {learned_key(side.run): side.run for side in sides if side.run is not None}
    known = {key: training_images(run) for key, run in learned_from.items()} if on == "test" else {}
    evaluations = record_evaluations(sides) if on == "test" else []

    # Of several runs one looks better by chance, and of several looks at a pair one does: both are allowed for.
    looks, unrecorded = record_looks(pairs, on)
    corrected = holm([p_value_of(*both) for both in pairs]) if len(pairs) > 1 else [None]

    comparisons = []
    for other, (first, second), look, p_holm in zip(others, pairs, looks, corrected, strict=True):
        caveats = find_warnings(baseline, other, first, on, known) + evaluations + unrecorded
        decision = Decision(runs=len(pairs), p_holm=p_holm, look=look, level=level_of_look(look))
        comparisons.append(
            compare_answers(first, second, on, minimum_effect=minimum_effect, warnings=caveats, decision=decision)
        )

    # Beside one other run, the baseline is shown by the images compared; beside several there is no such one set.
    first = pairs[0][0] if len(pairs) == 1 else baseline
    table = [side_of(first, first), *(side_of(second, first) for _, second in pairs)]
    return Compared(baseline.name, comparisons, [find_disagreements(*both) for both in pairs], table)


def _open_sides(
    opened: Sequence[Run | Sequence[Path]],
    named: Sequence[Run | str | Path | Sequence[str | Path]],
    on: Split,
    dataset: Dataset | None,
) -> list[Answers]:
    """What each side answered."""
    # The same run under two names would be found no better than itself, and pass for an answer.
    places = [(side.path.resolve(),) if isinstance(side, Run) else tuple(map(Path.resolve, side)) for side in opened]
    if len(set(places)) < max(2, len(places)):
        raise ArtifactError(f"two or more different runs expected, {', '.join(map(str, named))} found")

    short = [
        str(place.relative_to(runs_folder(place).resolve())) if isinstance(side, Run) else name_of(side)
        for side, (place, *_) in zip(opened, places, strict=True)
    ]
    if len(set(short)) < len(short):  # by the whole path where the name of the ledger is ambiguous
        short = [str(place) for place, *_ in places]

    return [
        read_answers(side, name, on) if isinstance(side, Run) else read_files(side, name, dataset)
        for side, name in zip(opened, short, strict=True)
    ]


def _as_path(run: str | Path | Sequence[str | Path]) -> str | Path:
    assert isinstance(run, str | Path)  # what isn't one names files
    return run
