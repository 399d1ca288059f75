"""Which labels may be wrong: every image is judged by models that never saw it, then confident learning sorts them.

    check_labels(parts, LabelCheck())     # parts: of fittingroom.audit.check(...)

The trainings are jobs, a :class:`Fold` each, which need none of the others: one after another here, or on Ray side by
side. Confident learning (Northcutt, Jiang and Chuang 2021) is cleanlab's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit import Finding
from fittingroom.audit.identity import Part
from fittingroom.audit.label_issues import LabelIssue, LabelIssues
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError
from fittingroom.label_check.confident_learning import Doubts, find_doubts
from fittingroom.label_check.folds import Fold, LabelCheck, Tell, for_training, out_of_fold
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.rendering.contact_sheet import Row

__all__ = ["Doubts", "Fold", "LabelCheck", "check_labels", "find_doubts", "out_of_fold"]

PICTURES, IN_A_ROW, TOLD = 120, 12, 4


def check_labels(
    parts: Sequence[Part],
    how: LabelCheck,
    tell: Tell = lambda _text: None,
    engine: RayEngine | None = None,
) -> tuple[list[Finding], list[LabelIssues]]:
    """Check the labels of all parts: a finding and the suspects of each that has labels.

    Parts with the same classes and image size are checked together: the folds are cut from those for training (from
    all of them, if none is), and whatever else is there is judged by the mean of all folds' models.

    Args:
        parts: of :attr:`fittingroom.audit.Checked.parts`.
        how: recipe, folds, seed.
        tell: is told of each fold as it begins.
        engine: where the folds are trained side by side; None trains them one after another in this process. The
            result is the same for the same number of threads.

    Raises:
        DataError: no labels, or too few images of a class.
        RecipeError: the recipe is wrong, or there are too few folds.
        FittingRoomError: Ray isn't installed, or failed; the folds that were finished are kept.
        ModuleNotFoundError: cleanlab is not installed; said before anything is trained.
    """
    import cleanlab  # noqa: F401

    recipe = how.resolved()
    together: dict[tuple[object, ...], list[Part]] = {}
    for part in parts:
        if part.dataset.labels is not None:
            together.setdefault((part.dataset.image_size, part.dataset.classes), []).append(part)
    if not together:
        raise DataError("--labels: labelled images expected, none found")
    findings, suspects = [], []
    for group in together.values():
        probabilities_NC = out_of_fold(group, recipe, how, tell, engine)
        trained_on = ", ".join(part.name for part in for_training(group))
        reference = f"recipe {recipe.name or 'of its own'}, {how.folds} folds of {trained_on}, seed {how.seed}"
        starts = np.cumsum([len(part.dataset) for part in group])[:-1]
        for part, probabilities_PC in zip(group, np.split(probabilities_NC, starts), strict=True):
            tell(f"confident learning: {part.name}")
            assert part.dataset.labels is not None
            doubts = find_doubts(part.dataset.labels, probabilities_PC, seed=how.seed)
            found = _suspects(part, doubts, probabilities_PC, reference)
            suspects.append(found)
            findings.append(_finding(part, doubts, found))
    return findings, suspects


def _suspects(part: Part, doubts: Doubts, probabilities_NC: NDArray[np.float32], reference: str) -> LabelIssues:
    dataset = part.dataset
    assert dataset.labels is not None
    return LabelIssues(
        reference=reference,
        name=part.name,
        n=len(dataset),
        images=dataset.fingerprint.images,
        issues=tuple(
            LabelIssue(
                image=f"{part.hashes[row]:016x}",
                row=row,
                given=dataset.classes[dataset.labels[row]],
                suggested=dataset.classes[doubts.suggested[row]],
                of_given=round(float(probabilities_NC[row, dataset.labels[row]]), 4),
                of_suggested=round(float(probabilities_NC[row].max()), 4),
            )
            for row in doubts.rows.tolist()
        ),
    )


def _finding(part: Part, doubts: Doubts, found: LabelIssues) -> Finding:
    low, high = doubts.interval
    worst = "; ".join(f"row {each.row:,}: {each.given}, rather {each.suggested}" for each in found.issues[:TOLD])
    told = f" (worst: {worst})" if worst else ""
    figures: dict[str, Any] = {
        "n": found.n,
        "rate": doubts.rate,
        "interval": [low, high],
        "agree": doubts.agree,
        "reference": found.reference,
        "suspects": [dataclasses.asdict(each) for each in found.issues],
    }
    return Finding(
        name="label-noise",
        severity="note",  # an estimate whose bias nobody knows is no ground for a warning
        where=part.name,
        message=f"{len(found.issues):,} of {found.n:,} labels are doubted by models that didn't see the image; they "
        f"agree with {doubts.agree:.1%} of the labels{told}. Confident learning estimates that {doubts.rate:.2%} of "
        f"the labels are wrong; 95 % interval {low:.2%} to {high:.2%}, by a bootstrap over the images. It leaves out "
        f"the method's bias: what is hard for the models counts as mislabelled. Judged by {found.reference}",
        effect="Models learn what is wrong, and are marked down for what is right.",
        advice="Look at them, worst first (--html, --sheet), and decide by eye; nothing is changed for you. "
        "--suspects FILE keeps the list for fittingroom evaluate.",
        figures=figures,
        examples=tuple(_pictures(part.dataset, found.issues)),
    )


def _pictures(dataset: Dataset, suspects: Sequence[LabelIssue]) -> Iterator[Row]:
    """The worst suspects in rows, each with the given and the suggested label."""
    for start in range(0, min(PICTURES, len(suspects)), IN_A_ROW):
        some = suspects[start : start + IN_A_ROW]
        yield Row(
            f"{start + 1} to {start + len(some)}",
            f"{dataset.name}: given, suggested",
            dataset.images[[each.row for each in some]],
            tuple((each.given, each.suggested) for each in some),
        )
