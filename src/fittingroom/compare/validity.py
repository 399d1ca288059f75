"""What makes a comparison unfair, or its figures too good: found in what the runs recorded, and in their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fittingroom.compare.answers import Answers, Split
from fittingroom.compare.beside_recipe import beside_the_recipe
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.evaluation.intervals import in_groups
from fittingroom.evaluation.predictions import read_predictions
from fittingroom.runs.command_line import command_line
from fittingroom.runs.environment_record import DataIdentity
from fittingroom.runs.ledger import read_evaluations, record_evaluation_on
from fittingroom.runs.run import Run, runs_folder
from fittingroom.runs.starting_point import read_seen


@dataclass(frozen=True)
class TrainingImages:
    """The images that a run could learn from, those held out included; or why they aren't known.

    Attributes:
        hashes: SHA-256 of their pixels and, where they were read from files, of these, hexadecimal.
        unknown: why they aren't known.
    """

    hashes: frozenset[str]
    unknown: str = ""

    def among(self, answers: Answers) -> int:
        """How many of the images that were answered are among them, by their pixels or by their files."""
        sources = answers.images if answers.sources is None else answers.sources
        pairs = zip(answers.images, sources, strict=True)
        return sum(image in self.hashes or source in self.hashes for (image, _), (source, _) in pairs)


def learned_key(run: Run) -> str:
    """The same for runs that learned from the same images: by their data, and by what they started from."""
    environment = run.environment
    return environment.data.train.content + (environment.start.weights_sha256 if environment.start else "")


def training_images(run: Run) -> TrainingImages:
    """The images of its data, and those that its start was trained on; if that fails, the reason is returned."""
    try:
        train, start = run.open_data().train, run.environment.start
        hashes = frozenset(digest.hex() for digest in (*train.image_hashes(), *(train.sources or ())))
        if start is None or start.kind != "run":
            return TrainingImages(hashes)
        seen, unknown = read_seen(run.path, start)
        if seen is None:
            return TrainingImages(frozenset(), unknown)
        return TrainingImages(hashes | {row.tobytes().hex() for row in seen})
    except (DataError, ArtifactError, OSError) as error:
        return TrainingImages(frozenset(), str(error))


def find_warnings(
    first: Answers, second: Answers, common: Answers, on: Split, learned_from: dict[str, TrainingImages]
) -> list[str]:
    """Find what is wrong with comparing two runs: sentences, the worst first.

    Of files of predictions nothing but the answers is known; that is a note of the comparison.

    Args:
        first, second: all answers of each.
        common: answers on the images that they have in common.
        on: what they were judged on.
        learned_from: by what :func:`learned_key` says of a run.
    """
    # First what may have made the difference in place of the recipe.
    warnings = []
    if first.run is not None and second.run is not None:
        warnings = beside_the_recipe(first.name, first.run.environment, second.name, second.run.environment)
    n = len(common.images)
    judged_on = "" if first.run is None and second.run is None else f"{on} "
    if n < len(first.images) or n < len(second.images):
        warnings.append(
            f"they were judged on different {judged_on}images, {len(first.images):,} and {len(second.images):,}; "
            f"compared on the {n:,} that they have in common"
        )

    # What a model learned from, or was chosen by, it answers better than new images.
    for side, other in ((first, second), (second, first)):
        if on == "test":
            # Of the same data the same is known: it is said once.
            warnings += [each for each in _trained_on(side, other, common, learned_from) if each not in warnings]
        warnings += _chosen_on(side, common)

    if (group_N := group_numbers(common.groups)) is not None:
        warnings.append(
            f"the {n:,} images compared come in {in_groups(int(group_N.max()) + 1)}: the interval of the difference "
            "takes them for unrelated, and may be too narrow for images of other groups"
        )

    if first.run is None or second.run is None:
        return warnings
    first_train, second_train = (run.environment.data.train for run in (first.run, second.run))
    are_same_files = first_train.sources is not None and first_train.sources == second_train.sources
    if first_train.content != second_train.content and not are_same_files:
        warnings.append(
            f"they were trained on different images, {first.name} on {first_train.name} ({first_train.n:,}) and "
            f"{second.name} on {second_train.name} ({second_train.n:,}): the difference is not one of recipes alone"
        )
    return warnings


def _trained_on(side: Answers, other: Answers, common: Answers, learned_from: dict[str, TrainingImages]) -> list[str]:
    """Whether a run's training data, what it held out included, hold test images: of the other, or of both."""
    if side.run is None:
        return []
    train, of_other = side.run.environment.data.train, other.run.environment.data.test if other.run else None
    if of_other is not None and train.is_of_images(of_other):
        return [f"the training data of {side.name} are the very images that {other.name} was tested on"]
    start = side.run.environment.start
    of_whom = f"{side.name}, with what it was {start.in_words} on," if start and start.kind == "run" else side.name

    # In part, as where a set was cut anew: that takes the images themselves.
    images = learned_from[learned_key(side.run)]
    if images.unknown:
        return [f"whether the training data of {side.name} hold test images isn't known: {images.unknown}"]
    seen = images.among(other)
    if not seen:
        return []
    among = images.among(common)
    left_out = "none of them is compared" if not among else f"{among:,} of them are compared"
    if _is_said_of_both(side, other):
        return [f"the training data of both hold {seen:,} of their {len(other.images):,} test images; {left_out}"]
    of_all = f"{seen:,} of {len(other.images):,} test images of {other.name}"
    return [f"the training data of {of_whom} hold {of_all}; {left_out}"]


def _is_said_of_both(first: Answers, second: Answers) -> bool:
    """Whether both learned from the same images, with no other run's before, and were tested on the same."""
    if first.run is None or second.run is None or learned_key(first.run) != learned_key(second.run):
        return False
    return first.run.environment.start is None and set(first.images) == set(second.images)


def _chosen_on(side: Answers, common: Answers) -> list[str]:
    """Early stopping and the best checkpoint are choices by validation images: those flatter the model."""
    if side.run is None:
        return []
    for model in side.run.members or [side.run]:
        recipe, file = model.recipe, model.predictions_file("validation")
        if (recipe.keep == "last" and not recipe.early_stop) or not file.exists():
            continue
        held_out = read_predictions(file, model.artifact.classes)
        chosen_by = TrainingImages(frozenset((*held_out.images, *(held_out.sources or ())))).among(common)
        if chosen_by:
            compared = f"{len(common.images):,} images compared"
            return [f"{side.name} chose its checkpoint by {chosen_by:,} of the {compared}"]
    return []


def record_evaluations(sides: Sequence[Answers]) -> list[str]:
    """Record the comparison as a test-set evaluation of each test set.

    Returns:
        A warning for each test set that was evaluated on before, more often than to judge each of these models once.
    """
    warnings = []
    by_test_set: list[tuple[DataIdentity, list[Answers]]] = []
    for side in sides:
        if side.run is not None and (test := side.run.environment.data.test):
            judged = next((of_set for other, of_set in by_test_set if other.is_of_images(test)), None)
            if judged is None:
                by_test_set.append((test, [side]))
            else:
                judged.append(side)

    for test, judged in by_test_set:
        folders = sorted({runs_folder(side.run.path) for side in judged if side.run})
        before = sum(len(read_evaluations(folder, test.images, test.sources)) for folder in folders)
        models = sum(side.seeds for side in judged)
        if before > models:
            warnings.append(
                f"{test.name} was evaluated on {before:,} times before, {models:,} of them to judge these models: the "
                "more test-set evaluations, the likelier a good figure is luck"
            )

        # Counted first, then recorded: this comparison doesn't count against itself.
        for folder in folders:
            runs = ", ".join(side.name for side in judged)
            record_evaluation_on(folder, test.images, test.sources, data=test.name, run=runs, command=command_line())
    return warnings
