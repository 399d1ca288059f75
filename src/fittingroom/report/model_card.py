"""``README.md`` of a run: its model card, in the format that Hugging Face reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fittingroom.data.fetch.fingerprints import KNOWN_FINGERPRINTS
from fittingroom.evaluation.calibration import calibration_of
from fittingroom.evaluation.class_metrics import in_words as class_metrics_in_words
from fittingroom.evaluation.intervals import in_groups, interval_method
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.html_page import render_page
from fittingroom.report.run_summary import (
    cut_again,
    judged_on,
    near_in_test_of,
    reproduces,
    reproducing_command,
    test_set_evaluations,
    unjudged_in_words,
    weakest_classes,
    worst_mistakes,
)
from fittingroom.runs.environment_record import DataIdentity
from fittingroom.runs.run import Run

FASHION_MNIST = "zalando-datasets/fashion_mnist"  # as the hub calls it
TEMPLATE = Path(__file__).with_name("model_card.md")
NORMALIZATION = {
    "none": "the model takes them so",
    "unit": "the model divides them by 255",
    "standard": "the model brings them to mean 0 and standard deviation 1 by the figures of its training set",
    "model": "the model brings them to the scale that its first weights were trained with",
}


def write_model_card(run: Run) -> list[Path]:
    """Write the card of a finished run into its folder; of a run of several seeds, each member's into its own.

    Returns:
        The cards' paths, one a model.

    Raises:
        ArtifactError: a file of the run is missing or damaged.
    """
    family = run.result if run.members else None
    return [_write_card(model, family) for model in run.members or [run]]


def _write_card(run: Run, family: dict[str, Any] | None) -> Path:
    """Write one model's card; ``family`` is what ``result.json`` says of its recipe, where there are several seeds."""
    artifact, environment, recipe = run.artifact, run.environment, run.recipe
    judged = judged_on(run)
    data = environment.data

    # Its figures hold for one set, which the card names; a run that was never judged names what it was trained on.
    on_test = judged is not None and judged.split == "test"
    judged_set = data.test if on_test and data.test else data.validation or data.train
    classes = weakest_classes(judged.scores) if judged else []

    content = {
        "name": run.path.resolve().name,
        "artifact": artifact,
        "environment": environment,
        "recipe": recipe,
        "result": run.result,
        "scores": judged.scores if judged else None,
        "interval_method": interval_method(judged.scores) if judged else "",
        "family": family if family and family["on"] and len(family["members"]) > 1 else None,
        "split": judged.split if judged else None,
        "judged_on": judged_set.name,
        "judged_type": _hub_name(judged_set) or data.source or judged_set.name,
        "train": data.train,
        "held_out": _held_out(run),
        "known": _hub_name(data.train),
        "classes": classes,
        "worst": worst_mistakes(judged.scores) if judged else None,
        "by_class": class_metrics_in_words(judged.scores) if judged else "",
        "near_in_test": near.sentence if (near := near_in_test_of(run)) and near.flatters else "",
        "unjudged": unjudged_in_words(judged.scores, judged.split) if judged else "",
        "calibration": calibration_of(judged.table) if judged else None,
        "normalization": NORMALIZATION[recipe.normalize],
        "evaluations": len(test_set_evaluations(run)),
        "reproduce": reproducing_command(run),
        "reproduces": reproduces(run),
        "cut_again": cut_again(run),
        "grouped": "{:,}".format,
        "in_groups": in_groups,
    }

    path = run.path / "README.md"
    with atomic_write(path, follow_links=False) as file:
        file.write(render_page(TEMPLATE, content).encode())
    return path


def _held_out(run: Run) -> int:
    """How many images of the training set it didn't learn from: those that validated it, unless the data had others."""
    scores = run.result["validation"]
    if scores is None or run.environment.data.validation or run.environment.folds:
        return 0
    return int(scores["n"])


def _hub_name(part: DataIdentity) -> str | None:
    """Name the data set as Hugging Face does, if this is an official part of Fashion-MNIST in whatever order."""
    official = {known.content for name, known in KNOWN_FINGERPRINTS.items() if name.startswith("fashion-mnist ")}
    return FASHION_MNIST if part.content in official else None
