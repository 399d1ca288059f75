"""A model as one small page to share: try it, what it gets right, and the figures that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.class_metrics import in_words as class_metrics_in_words
from fittingroom.evaluation.intervals import interval_method
from fittingroom.files.atomic import atomic_write
from fittingroom.files.one_state import in_one_state
from fittingroom.rendering.languages import page_in_two_languages
from fittingroom.report.pictures import answers_of
from fittingroom.report.run_summary import judged_on, near_in_test_of, unjudged_in_words, worst_mistakes
from fittingroom.report.try_it import trial_of
from fittingroom.runs.run import Run

TEMPLATE = Path(__file__).with_name("model_page.html")


def write_model_page(run: Run, path: Path) -> Path:
    """Write the page of a finished run of one seed.

    Args:
        run: finished. Its data is opened for the pictures; without it the page has none.
        path: the file to write.

    Returns:
        ``path``.

    Raises:
        ArtifactError: several seeds, a model that a page can't compute, or a damaged file of the run.
    """
    if run.members:
        names = ", ".join(str(member.path) for member in run.members)
        raise ArtifactError(f"{run.path}: a run of one seed expected, it has several; give one of {names}")

    with in_one_state(run.path):
        content = _content(run)
    with atomic_write(path, follow_links=path.parent != run.path) as file:
        file.write(page_in_two_languages(TEMPLATE, content, "report").encode())
    return path


def _content(run: Run) -> dict[str, Any]:
    trial, judged = trial_of(run), judged_on(run)
    answers = []
    if judged is not None:
        # The model is worth a page without the pictures, too.
        try:
            answers = answers_of(judged, run.images(judged.split, set(judged.table.images)))
        except (DataError, ArtifactError, OSError):
            answers = []

    return {
        "name": run.path.resolve().name,
        "trial": trial,
        "artifact": run.artifact,
        "judged": judged,
        "by_class": class_metrics_in_words(judged.scores) if judged else "",
        "near_in_test": near.sentence if (near := near_in_test_of(run)) and near.flatters else "",
        "unjudged": unjudged_in_words(judged.scores, judged.split) if judged else "",
        "worst": worst_mistakes(judged.scores) if judged else None,
        "answers": answers,
        "interval_method": interval_method,
    }
