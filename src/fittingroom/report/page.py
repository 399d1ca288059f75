"""``report.html``: one self-contained page on a run, for somebody who would rather look than read.

No network: the curves are SVG, the pictures are PNG in the page, the colours follow the reader's scheme. The one script
is that of the part in which the model is tried; all else is there without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.subsets import LABEL_ISSUES_CAVEAT
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.calibration import calibration_of
from fittingroom.evaluation.class_metrics import in_words as class_metrics_in_words
from fittingroom.evaluation.intervals import in_groups, interval_method
from fittingroom.evaluation.mistakes import (
    TRUSTED,
    find_suspicious_labels,
)
from fittingroom.files.atomic import atomic_write
from fittingroom.files.one_state import in_one_state
from fittingroom.rendering.languages import page_in_two_languages
from fittingroom.report.curves import History, accuracy_panel, history_of, loss_panel, rate_panel, smoothing_in_words
from fittingroom.report.pictures import answers_of, confused_of, mistakes_of
from fittingroom.report.run_summary import (
    Judged,
    confused_pairs,
    cut_again,
    diagnose_members,
    judged_on,
    near_in_test_of,
    reproduces,
    reproducing_command,
    subsets_of,
    test_set_evaluations,
    unjudged_in_words,
    weakest_classes,
    worst_mistakes,
)
from fittingroom.report.try_it import Trial, trial_of
from fittingroom.runs.run import Run

if TYPE_CHECKING:
    from fittingroom.report.map.section import MapSection

MAX_MATRIX_CLASSES = 20  # more can't be read as a matrix: pairs, and the weakest classes, are listed
MAX_TABLE_CLASSES = 50
MAX_EVALUATIONS = 30  # on the test set, listed
PAGE = "report.html"
TEMPLATE = Path(__file__).with_name(PAGE)


def write_report(
    run: Run,
    *,
    out: str | Path | None = None,
    xkcd: bool = False,
    with_map: bool = False,
    trust_code: bool = False,
) -> Path:
    """Write ``report.html`` into a finished run, and into its members' folders where it has several seeds.

    Args:
        run: finished; its data is opened for the pictures, and without it the page says that they are missing.
        out: where else to write, when nothing is to be written into the run: a folder, which gets ``report.html`` and
            each member's below it; or one file, the page of the whole run, if the name ends in ``.html``. With ``~``
            for the home directory.
        xkcd: draw the curves as if by hand, as in the tutorial notebook.
        with_map: with a map of the judged images, and the training images nearest to the worst mistakes; this takes
            seconds, PyTorch and scikit-learn.
        trust_code: permits executing the source that the user's own network came with; only a map asks for it.

    Returns:
        The page's path.

    Raises:
        ArtifactError: a file of the run is missing or damaged; for a map, the network has no features, or the maps of
            several seeds were to be in one file.
        DataError: the images of a map are not at hand.
        OSError: the page can't be written there.

    Example:
        >>> import fittingroom as fr
        >>> print(fr.write_report(fr.open_run("runs/plain-1")))
        runs/plain-1/report.html
    """
    members = run.members
    path, in_folder = page_at(run, out)
    if with_map and members and not in_folder:
        raise ArtifactError(
            f"{path}: a folder expected for the maps of {len(members)} seeds, as each network has features of its own"
        )

    # One file holds the page of the whole run; what it would lead to beside itself isn't there.
    path.parent.mkdir(parents=True, exist_ok=True)
    for member in members if in_folder else ():
        place = path.parent / member.path.name
        write_report(member, out=place, xkcd=xkcd, with_map=with_map, trust_code=trust_code)

    with in_one_state(run.path, *(member.path for member in members)):
        content = _about_any(run, xkcd=xkcd, leads_to_members=in_folder)
        if members:
            content |= _about_members(run, members)
        else:
            content |= _about_one(run, with_map=with_map, trust_code=trust_code)
        content["smoothing"] = smoothing_in_words(run.recipe, len(content["artifact"].classes))

    with atomic_write(path, follow_links=path.parent != run.path) as file:
        file.write(page_in_two_languages(TEMPLATE, content, "report").encode())
    return path


def page_at(run: Run, out: str | Path | None = None) -> tuple[Path, bool]:
    """Where :func:`write_report` writes a run's page, and whether its members' pages lie below the same folder."""
    place = run.path if out is None else Path(out).expanduser()
    if place.is_dir():
        return place / PAGE, True
    is_file = place.exists() or place.suffix.lower() in (".html", ".htm")
    return (place, False) if is_file else (place / PAGE, True)


def _about_any(run: Run, *, xkcd: bool, leads_to_members: bool) -> dict[str, Any]:
    """What both kinds of page show. What only one kind has is empty here, as the template asks for it."""
    members, result, near = run.members, run.result, near_in_test_of(run)
    split = result["on"] if members else "test" if result["test"] else "validation"
    scores = (members[0].result if members else result)[split] if split else None
    judged = result if members else result["test"] or result["validation"] or {}
    return {
        "run": run,
        "name": run.path.resolve().name,
        "environment": run.environment,
        "recipe": run.recipe,
        "result": result,
        "xkcd": xkcd,
        "evaluations": test_set_evaluations(run),
        "max_evaluations": MAX_EVALUATIONS,
        "leads_to_members": leads_to_members,
        "figure": _figure,
        "interval_method": interval_method,
        "in_groups": in_groups,
        "reproduce": reproducing_command(run),
        "reproduces": reproduces(run),
        "cut_again": cut_again(run),
        "near_in_test": near.sentence if near and near.flatters else "",
        "unjudged": unjudged_in_words(scores, split) if scores else "",
        "by_class": class_metrics_in_words(judged),
        **_diagnoses(run),
        "worst": None,
        "trial": None,
        "no_trial": "",
        "confused": [],
        "opens": set(),
        "sprite": None,
        "map": None,
    }


def _about_one(run: Run, *, with_map: bool, trust_code: bool) -> dict[str, Any]:
    """What the page says of one model."""
    judged = judged_on(run)
    content: dict[str, Any] = {
        "artifact": run.artifact,
        "panels": _panels([run], run),
        "judged": judged,
        "members": [],
    }
    content |= _trial(run)
    if judged is None:
        if with_map:
            raise DataError(f"{run.path}: a model that was judged expected for a map; fittingroom evaluate does that")
        return content

    # Figures and curves are worth a page without the pictures too.
    try:
        images = run.images(judged.split, set(judged.table.images))
        missing = ""
    except (DataError, ArtifactError, OSError) as error:
        images, missing = {}, str(error)
    if with_map:
        content["map"] = _map(run, judged, images, missing, trust_code=trust_code)

    suspicious = find_suspicious_labels(judged.table)
    has_matrix = len(judged.scores["confusion"]) <= MAX_MATRIX_CLASSES
    confused, sprite = confused_of(judged, images) if has_matrix else ([], None)
    return content | {
        "calibration": calibration_of(judged.table),
        "suspicious": suspicious,
        "trusted_share": TRUSTED,
        "matrix": _matrix(judged.scores) if has_matrix else [],
        "confused": confused,
        "opens": {cell.place for cell in confused},
        "sprite": sprite,
        "pairs": confused_pairs(judged.scores),
        "worst": worst_mistakes(judged.scores),
        "classes": weakest_classes(judged.scores)[:MAX_TABLE_CLASSES],
        "mistakes": mistakes_of(judged, suspicious, images),
        "answers": answers_of(judged, images),
        "pictures_missing": missing,
        "subsets": subsets_of(run) if judged.split == "test" else [],
        "subsets_caveat": LABEL_ISSUES_CAVEAT,
    }


def _map(
    run: Run, judged: Judged, images: dict[str, NDArray[np.uint8]], missing: str, *, trust_code: bool
) -> MapSection:
    """The map, without which no page is written where it was asked for."""
    if missing:
        raise DataError(f"{run.path}: the {judged.split} images are needed for a map, and can't be opened: {missing}")

    # It loads PyTorch and scikit-learn, which the page alone does without.
    from fittingroom.report.map.section import map_of

    return map_of(run, judged, images, trust_code=trust_code)


def _trial(run: Run) -> dict[str, Any]:
    """The model to be tried, or why the page has none."""
    try:
        trial: Trial | None = trial_of(run)
        reason = ""
    except ArtifactError as error:
        trial, reason = None, str(error)
    return {"trial": trial, "no_trial": reason}


def _diagnoses(run: Run) -> dict[str, Any]:
    """What is a finding, and what is no more than a remark: pairs of whose it is, in words, and the diagnosis."""
    pairs = []
    for by_seed in diagnose_members(run).values():
        seed, diagnosis = by_seed[0]
        who = f"seed {', '.join(f'{number}' for number, _ in by_seed)}" if run.members else ""
        pairs.append((who + (f" · the words are of seed {seed}" if len(by_seed) > 1 else ""), diagnosis))
    return {
        "findings": [pair for pair in pairs if not pair[1].muted],
        "remarks": [pair for pair in pairs if pair[1].muted],
    }


def _about_members(run: Run, members: Sequence[Run]) -> dict[str, Any]:
    """What the page says of a run of several seeds."""
    pooled = _pooled(run, members)
    return {
        "artifact": members[0].artifact,
        "panels": _panels(members, run),
        "judged": None,
        "members": members,
        "pooled": pooled,
        "matrix": _matrix(pooled) if pooled and len(pooled["confusion"]) <= MAX_MATRIX_CLASSES else [],
        "pairs": confused_pairs(pooled) if pooled else [],
    }


def _pooled(run: Run, members: Sequence[Run]) -> dict[str, Any] | None:
    """Names of the classes, and the sum of the members' confusion matrices; None where not all were judged."""
    split = run.result["on"]
    if split is None:
        return None
    scores = [member.result[split] for member in members]
    summed = np.sum([member["confusion"] for member in scores], axis=0)
    return {"per_class": scores[0]["per_class"], "confusion": summed.tolist()}


def _panels(runs: Sequence[Run], whole: Run) -> dict[str, Any] | None:
    """The three frames, overlaid where there are several runs; None where there is no step to draw."""
    named = [(f"seed {run.recipe.seed}" if len(runs) > 1 else "", run) for run in runs]
    drawable = [history_of(run.events, name) for name, run in named]
    histories: list[History] = [history for history in drawable if history is not None]
    if not histories:
        return None

    stages = [stage.epochs for stage in whole.recipe.stages]
    return {
        "loss": loss_panel(histories, stages, 34, 234),
        "rate": rate_panel(histories, stages, 282, 330),
        "accuracy": accuracy_panel(histories, stages, 34, 330),
    }


def _matrix(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the confusion matrix: true class, and a cell with count and share of the row for each answer."""
    names = [row["class"] for row in scores["per_class"]]

    return [
        {
            "class": names[i],
            "n": sum(counts),
            "cells": [
                {"answer": names[j], "count": count, "share": count / max(1, sum(counts)), "right": i == j}
                for j, count in enumerate(counts)
            ],
        }
        for i, counts in enumerate(scores["confusion"])
    ]


def _figure(number: float) -> str:
    """Write whole numbers with groups of thousands, others with four digits."""
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"
