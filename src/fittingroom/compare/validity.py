"""What makes a comparison unfair, or its figures too good: found in what the runs recorded, and in their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fittingroom.compare.answers import FILES, Answers, Split
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.runs.run import Run, command_line, runs_folder
from fittingroom.runs.test_ledger import read_looks, record_look_at


@dataclass(frozen=True)
class TrainingImages:
    """The images that a run could learn from, by SHA-256, those held out included; or why they aren't known."""

    hashes: frozenset[str]
    unknown: str = ""


def training_images(run: Run) -> TrainingImages:
    """Open the data that a run was trained on. What can't be opened is no error here."""
    try:
        return TrainingImages(frozenset(digest.hex() for digest in run.open_data().train.image_hashes()))
    except (DataError, ArtifactError, OSError) as error:
        return TrainingImages(frozenset(), str(error))


def find_warnings(
    first: Answers, second: Answers, common: Answers, on: Split, learned_from: dict[str, TrainingImages]
) -> list[str]:
    """Sentences on what is wrong with comparing two runs, the worst first.

    Args:
        first, second: all answers of each.
        common: answers on the images that they have in common.
        on: what they were judged on.
        learned_from: by the content fingerprint of the training data.
    """
    found = []
    n = len(common.images)
    if n < len(first.images) or n < len(second.images):
        found.append(
            f"they were judged on different {on} images, {len(first.images):,} and {len(second.images):,}; "
            f"compared on the {n:,} that they have in common"
        )
    compared = {image for image, _ in common.images}
    for side, other in ((first, second), (second, first)):
        if on == "test":
            found += _trained_on(side, other, compared, learned_from)
        found += _chosen_on(side, compared)
    one, other = (side.run.environment["data"]["train"] for side in (first, second))
    if one["content"] != other["content"]:
        found.append(
            f"they were trained on different images, {first.name} on {one['name']} ({one['n']:,}) and {second.name} on "
            f"{other['name']} ({other['n']:,}): the difference is not one of recipes alone"
        )
    return found


def _trained_on(
    side: Answers, other: Answers, compared: set[str], learned_from: dict[str, TrainingImages]
) -> list[str]:
    """Whether a run learned from test images: of the other, or of both."""
    data, of_other = side.run.environment["data"], other.run.environment["data"]
    train = data["train"]
    if train["images"] == of_other["test"]["images"]:
        return [f"{side.name} was trained on the very images that {other.name} was tested on"]
    images = learned_from[train["content"]]
    if images.unknown:
        return [f"whether {side.name} was trained on test images isn't known: {images.unknown}"]
    tested_on = {image for image, _ in other.images}
    seen = len(tested_on & images.hashes)
    if not seen:
        return []
    among = len(compared & images.hashes)
    left_out = "none of them is compared" if not among else f"{among:,} of them are compared"
    return [f"{side.name} was trained on {seen:,} of {len(tested_on):,} test images of {other.name}; {left_out}"]


def _chosen_on(side: Answers, compared: set[str]) -> list[str]:
    """Early stopping and the best checkpoint are choices by validation images: those flatter the model."""
    for model in side.run.members or [side.run]:
        recipe, file = model.recipe, model.path / FILES["validation"]
        if (recipe.keep == "last" and not recipe.early_stop) or not file.exists():
            continue
        chosen_by = compared & set(read_predictions(file, model.artifact.classes).images)
        if chosen_by:
            return [f"{side.name} chose its checkpoint by {len(chosen_by):,} of the {len(compared):,} images compared"]
    return []


def record_looks(sides: Sequence[Answers]) -> list[str]:
    """Put the comparison on record as a look at each test set, and say how often that was looked at before.

    Judging the models that are compared takes a look each; any more are counted against the figures.
    """
    found = []
    by_test_set: dict[str, list[Answers]] = {}
    for side in sides:
        by_test_set.setdefault(side.run.environment["data"]["test"]["images"], []).append(side)
    for fingerprint, judged in by_test_set.items():
        data = judged[0].run.environment["data"]["test"]["name"]
        folders = sorted({runs_folder(side.run.path) for side in judged})
        before = sum(len(read_looks(folder, fingerprint)) for folder in folders)
        models = sum(side.seeds for side in judged)
        if before > models:
            found.append(
                f"{data} was looked at {before:,} times before, {models:,} of them to judge these models: the more "
                "looks, the likelier a good figure is luck"
            )
        for folder in folders:
            runs = ", ".join(side.name for side in judged)
            record_look_at(folder, fingerprint, data=data, run=runs, command=command_line())
    return found
