"""Which labels may be wrong: every image is judged by models that never saw it, then confident learning sorts them.

    check_labels(parts, LabelCheck())     # parts: of fittingroom.audit.check(...)

The trainings are jobs, a :class:`Fold` each, which need none of the others: one after another here, or on Ray side by
side. Confident learning (Northcutt, Jiang and Chuang 2021) is cleanlab's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit import Finding
from fittingroom.audit.findings import file_figures
from fittingroom.audit.label_issues import LabelIssue, LabelIssues
from fittingroom.audit.official_part import Part
from fittingroom.data.cut import groups_for_intervals
from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError, RecipeError
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.label_check.confident_learning import MIN_AGREE, LabelNoise, estimate_label_noise
from fittingroom.label_check.folds import Fold, LabelCheck, Log, for_training, long_enough, out_of_fold
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.recipes.picture_keys import images_problem
from fittingroom.rendering.contact_sheet import Row
from fittingroom.rendering.share import share_text

__all__ = ["Fold", "LabelCheck", "LabelNoise", "check_labels", "estimate_label_noise", "out_of_fold"]

MAX_IMAGES_SHOWN, IMAGES_IN_A_ROW = 120, 12
MAX_ISSUES_NAMED = 4  # in the message; all of them are in the figures


def check_labels(
    parts: Sequence[Part],
    how: LabelCheck,
    log: Log = lambda _text: None,
    engine: RayEngine | None = None,
) -> tuple[list[Finding], list[LabelIssues]]:
    """Check the labels of all parts, and give a finding and the label issues of each that has labels.

    Parts with the same classes, image size and channels are checked together: those for training (all of them, if none
    is) are split into the folds, and whatever else is there is judged by the mean of all folds' models.

    Args:
        parts: of :attr:`fittingroom.audit.Checked.parts`.
        how: recipe, folds, seed.
        log: receives a line for each fold as it begins.
        engine: where the folds are trained side by side; None trains them one after another in this process. The
            result is the same for the same number of threads.

    Raises:
        DataError: no labels, or too few images of a class.
        RecipeError: the recipe is wrong, or there are too few folds.
        FittingRoomError: Ray isn't installed, or failed; the folds that were finished are kept.
        ModuleNotFoundError: cleanlab is not installed; said before anything is trained.
    """
    import cleanlab  # noqa: F401  # needed after the trainings: that it is missing should not be learned then

    # The folds learn from the images that the rest of the check has read.
    recipe = how.resolved()
    for part in parts:
        dataset = part.dataset
        if problem := images_problem(recipe.size, recipe.channels, dataset.image_size, dataset.channels):
            raise RecipeError(f"{part.name}: {problem}")

    # One training serves all parts that a network can take together.
    together: dict[tuple[object, ...], list[Part]] = {}
    for part in parts:
        if part.dataset.labels is not None:
            together.setdefault((part.dataset.images.shape[1:], part.dataset.classes), []).append(part)
    if not together:
        raise DataError("labelled images expected, none found")

    findings, all_issues = [], []
    for group in together.values():
        recipe = long_enough(group, how)
        probabilities_NC = out_of_fold(group, recipe, how, log, engine)
        trained_on = ", ".join(part.name for part in for_training(group))
        stretched = "" if recipe.epochs == how.resolved().epochs else f" for {recipe.epochs} epochs"
        named = f"recipe {recipe.name or 'of its own'}{stretched}"
        reference = f"{named}, {how.folds} folds of {trained_on}, seed {how.seed}"

        # Trained together, but reported apart: a test set's labels are another question than those learned from.
        starts = np.cumsum([len(part.dataset) for part in group])[:-1]
        for part, probabilities_PC in zip(group, np.split(probabilities_NC, starts), strict=True):
            log(f"confident learning: {part.name}")
            assert part.dataset.labels is not None
            group_N = group_numbers(groups_for_intervals(part.dataset))
            noise = estimate_label_noise(part.dataset.labels, probabilities_PC, group_N, seed=how.seed)
            issues = _issues(part, noise, probabilities_PC, reference)
            all_issues.append(issues)
            findings.append(_finding(part, noise, issues))
    return findings, all_issues


def _issues(part: Part, noise: LabelNoise, probabilities_NC: NDArray[np.float32], reference: str) -> LabelIssues:
    dataset = part.dataset
    assert dataset.labels is not None

    # Rows change when a set is cleaned or sorted; by its hash an image is found again.
    return LabelIssues(
        reference=reference,
        name=part.name,
        n=len(dataset),
        images=dataset.fingerprint.images,
        issues=tuple(
            LabelIssue(
                image=f"{part.hashes[row]:016x}",
                row=row,
                file=None if dataset.files is None else dataset.files[row],
                given=dataset.classes[dataset.labels[row]],
                suggested=dataset.classes[noise.suggested[row]],
                of_given=round(float(probabilities_NC[row, dataset.labels[row]]), 4),
                of_suggested=round(float(probabilities_NC[row].max()), 4),
            )
            for row in noise.rows.tolist()
        ),
    )


def _finding(part: Part, noise: LabelNoise, issues: LabelIssues) -> Finding:
    """What the check of a part reports: how many are worth a look, what that bounds, the first of them as pictures."""
    named = "; ".join(
        f"{issue.place}: {issue.given}, rather {issue.suggested}" for issue in issues.issues[:MAX_ISSUES_NAMED]
    )
    worst = f" (first: {named})" if named else ""
    figures: dict[str, Any] = {
        "n": issues.n,
        "at_most": noise.at_most,
        "agree": noise.agree,
        "reference": issues.reference,
        "suspects": [issue.as_dict() for issue in issues.issues],
    }
    figures |= file_figures(part.dataset, (issue.row for issue in issues.issues))

    # Models that are often wrong themselves bound nothing: then no number is given in place of a wide one.
    count = len(issues.issues)
    if noise.at_most is None:
        how_many = f"That is too little (below {MIN_AGREE:.0%}) to say how many labels are wrong"
        how_many += ": most of these images may merely be hard" if count else ""
    else:
        how_many = (
            f"At most {_rounded_up(noise.at_most)} of the labels are wrong as far as these models can tell, and that "
            "counts images that are merely hard"
        )

    # Of no label there is nothing to look at, and nothing to write.
    models = "models that didn't see the image"
    if count:
        worth = f"{count:,} of {issues.n:,} labels {'is' if count == 1 else 'are'} worth a look: {models} say another "
        worth += f"class{worst}. They"
        advice = (
            "Look at them, from the first on (--html, --sheet), and decide by eye; nothing is changed for you. "
            "--csv FILE writes them as a table: train --without FILE leaves them out, train --labels FILE takes what "
            "you fill in. --suspects FILE keeps the list for fittingroom evaluate."
        )
    else:
        worth = f"none of {issues.n:,} labels stands out as worth a look. {models[0].upper()}{models[1:]}"
        advice = "There is nothing to look at. A wrong label that models learn to expect isn't found by them."

    return Finding(
        name="label-noise",
        severity="note",  # whether a label is wrong only an eye can say
        where=part.name,
        message=f"{worth} agree with {_agreement(noise.agree)} of the labels. {how_many}. Judged by {issues.reference}",
        effect="Where a label is wrong, models learn what is wrong, and are marked down for what is right.",
        advice=advice,
        figures=figures,
        examples=tuple(_pictures(part.dataset, issues.issues)),
    )


def _agreement(agree: float) -> str:
    """``93.8%``, and below :data:`MIN_AGREE` nothing that is rounded up to it."""
    digits = 1
    while agree < MIN_AGREE <= round(agree, digits + 2) and digits < 6:
        digits += 1
    return share_text(agree, digits)


def _rounded_up(bound: float) -> str:
    """An upper bound in percent, of which no digit says less: 0.000038 → ``0.01%``."""
    return f"{math.ceil(round(1e4 * bound, 6)) / 1e4:.2%}"


def _pictures(dataset: Dataset, issues: Sequence[LabelIssue]) -> Iterator[Row]:
    """The worst label issues in rows, each with the given and the suggested label."""
    for start in range(0, min(MAX_IMAGES_SHOWN, len(issues)), IMAGES_IN_A_ROW):
        shown = issues[start : start + IMAGES_IN_A_ROW]
        yield Row(
            f"{start + 1} to {start + len(shown)}",
            f"{dataset.name}: given, suggested",
            dataset.images[[issue.row for issue in shown]],
            tuple((issue.given, issue.suggested) for issue in shown),
        )
