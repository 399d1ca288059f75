"""``result.json``: the scores of a finished run. What it may say, its writer and its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from fittingroom.errors import ArtifactError
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import WHAT_TO_DO, Count, Positive, Range, Seconds, Share, brief, read_record

FILE = "result.json"
FORMAT = 1
EVALUATION_FORMAT = 1  # of evaluations/<number>.json

Interval = tuple[Share, Share]
Loss = Seconds  # 0 or more, too
Folds = Annotated[int, Range(2, 10**9)]

ClassScores = TypedDict(
    "ClassScores",
    {
        "class": str,
        "n": Count,
        "precision": Share | None,
        "recall": Share | None,
        "f1": Share | None,
        "counts_for": NotRequired[Seconds],  # 0 or more
    },
)


class Accuracy(TypedDict):
    """What is repeated of each member of a run of several seeds."""

    accuracy: Share
    interval: Interval
    correct: Count
    n: Positive


class SubsetScores(TypedDict):
    """The accuracy on some of the images; null where there are none."""

    name: str
    left_out: str
    n: Count
    accuracy: Share | None
    interval: Interval | None


class ClassMetric(TypedDict):
    """A score in which every class counts the same."""

    value: Share
    interval: Interval
    method: str
    n: Positive


class Scores(Accuracy):
    """Scores of one model on one set."""

    loss: Loss
    top2: Share
    per_class: list[ClassScores]
    confusion: list[list[Count]]
    loss_uncalibrated: NotRequired[Loss]
    balanced_accuracy: NotRequired[ClassMetric]
    macro_f1: NotRequired[ClassMetric]
    auc: NotRequired[ClassMetric]
    groups: NotRequired[Positive]
    folds: NotRequired[Folds]
    subsets: NotRequired[list[SubsetScores]]


class NearInTestCounts(TypedDict):
    """Test images like ones that were trained on; ``equal`` of them are the same."""

    n: Positive
    near: Count | None
    searched_by: str
    equal: NotRequired[Count]


class EvaluatedData(TypedDict):
    """Fingerprints of the set that ``evaluations/<number>.json`` is on."""

    content: str


class Evaluation(TypedDict):
    """A later evaluation, ``evaluations/<number>.json``."""

    data: str
    fingerprint: EvaluatedData
    scores: Scores


class ResultOfOne(TypedDict):
    """The result of a run of one seed."""

    recipe: str
    seed: Count
    parameters: Count
    train_seconds: Seconds
    fold_seconds: NotRequired[Seconds]
    total_seconds: Seconds
    test: Scores | None
    validation: Scores | None
    test_looks: list[dict[str, Any]]
    pictures_checked: NotRequired[Count | None]
    near_in_test: NotRequired[NearInTestCounts]
    unmade: NotRequired[dict[str, str]]


class MemberScores(TypedDict):
    """What is said of one seed of several."""

    seed: Count
    run: str
    test: Accuracy | None
    validation: Accuracy | None


class ResultOfSeveral(TypedDict):
    """The result of a run of several seeds."""

    recipe: str
    on: Literal["test", "validation"] | None
    mean: Share | None
    sd: Share | None
    interval: NotRequired[Interval | None]
    interval_of_seeds: NotRequired[tuple[float, float] | None]
    interval_of_mean: NotRequired[tuple[float, float] | None]
    groups: NotRequired[Positive | None]
    balanced_accuracy: NotRequired[ClassMetric]
    macro_f1: NotRequired[ClassMetric]
    auc: NotRequired[ClassMetric]
    parameters: Count
    train_seconds: Seconds
    members: list[MemberScores]
    pictures_checked: NotRequired[Count | None]
    near_in_test: NotRequired[NearInTestCounts]
    unmade: NotRequired[dict[str, str]]


def write_result(folder: Path, values: dict[str, Any]) -> None:
    """Write ``result.json`` into the folder of a run: the sign that nothing is left to train."""
    write_json(folder / FILE, {"format": FORMAT} | values)


def read_result(folder: Path) -> dict[str, Any]:
    """Read what ``result.json`` of a run says.

    Raises:
        ArtifactError: it is missing, damaged, of another format, or its figures can't go together.
    """
    file = folder / FILE
    result = read_json(file, format_number=FORMAT)
    if "members" in result:
        read_record(ResultOfSeveral, result, str(file))
        problem = _problem_of_members(result)
    else:
        read_record(ResultOfOne, result, str(file))
        parts = [(name, result[name]) for name in ("test", "validation") if result[name]]
        problem = next((f"{name}.{what}" for name, scores in parts if (what := _problem_of(scores))), None)
    if problem:
        raise ArtifactError(f"{file}: {problem}; {WHAT_TO_DO}")
    return result


def read_evaluation(file: Path) -> dict[str, Any]:
    """Read an evaluation that is not the first on a run's own test set. Raises ArtifactError as :func:`read_result`."""
    evaluation = read_json(file, format_number=EVALUATION_FORMAT)
    read_record(Evaluation, evaluation, str(file))
    if problem := _problem_of(evaluation["scores"]):
        raise ArtifactError(f"{file}: scores.{problem}; {WHAT_TO_DO}")
    return evaluation


def _problem_of_members(result: dict[str, Any]) -> str | None:
    """What of the summary of several seeds can't be."""
    members, on = result["members"], result["on"]
    if not members:
        return "members: one or more expected, none found"
    if on and not (all(member[on] for member in members) and result["mean"] is not None and result["sd"] is not None):
        return f"on: a split that all members were judged on expected, {on} found"
    for part in ("test", "validation"):
        for member in members:
            if (scores := member[part]) and (problem := _problem_of_accuracy(scores)):
                return f"members: {member['run']}: {part}.{problem}"
    return None


def _problem_of(scores: dict[str, Any]) -> str | None:
    """What of the scores on a set can't be, though each figure could be by itself."""
    if problem := _problem_of_accuracy(scores):
        return problem
    counts, classes = scores["confusion"], scores["per_class"]
    if len(counts) != len(classes) or any(len(row) != len(classes) for row in counts):
        return f"confusion: {len(classes)} rows of as many counts expected, as classes are listed"

    of_classes = [sum(row) for row in counts]
    if of_classes != [row["n"] for row in classes] or sum(of_classes) != scores["n"]:
        return f"confusion: counts of {scores['n']:,} images expected, {brief(of_classes)} found"
    if sum(row[i] for i, row in enumerate(counts)) != scores["correct"]:
        return f"confusion: {scores['correct']:,} right answers on its diagonal expected, another number found"
    if any((row["recall"] is None) != (row["n"] == 0) for row in classes):
        return "per_class: a recall for each class that has images expected"
    return None


def _problem_of_accuracy(scores: dict[str, Any]) -> str | None:
    if scores["correct"] > scores["n"]:
        return f"correct: at most n, which is {scores['n']:,}, expected, {scores['correct']:,} found"
    return None
