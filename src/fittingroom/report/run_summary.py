"""What a finished run says of itself, for the pages about it and the lines at the end of a training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any

from fittingroom.audit.leakage import NearInTest
from fittingroom.data.fetch.fingerprints import KNOWN_FINGERPRINTS
from fittingroom.evaluation.fold_interval import recall_interval
from fittingroom.evaluation.mistakes import find_suspicious_labels
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.own_code.kept import SOURCE
from fittingroom.recipes.code_keys import own_names
from fittingroom.recipes.own_names import options_for_code
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis import Diagnosis, diagnose
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.ledger import read_evaluations
from fittingroom.runs.result_record import read_evaluation
from fittingroom.runs.run import Run, runs_folder
from fittingroom.runs.starting_point import START
from fittingroom.training.hold_out import held_out_of

MAX_UNJUDGED_NAMED = 5  # classes; of more, one less and how many others


@dataclass(frozen=True)
class Judged:
    """What a finished run was last judged on.

    Attributes:
        split: ``test`` if it was evaluated on, else ``validation``.
        scores: those of ``result.json``.
        table: what the model predicted, and the truth.
    """

    split: str
    scores: dict[str, Any]
    table: JudgedPredictions


def judged_on(run: Run) -> Judged | None:
    """Read scores and predictions on test, or on validation until test is evaluated on; None if there are neither."""
    result = run.result
    for split in ("test", "validation"):
        if result[split]:
            return Judged(split, result[split], read_predictions(run.predictions_file(split), run.artifact.classes))
    return None


def diagnose_run(run: Run) -> list[Diagnosis]:
    """Diagnose a finished run of one seed, by its training and its validation images alone.

    Args:
        run: to be diagnosed.

    Returns:
        For each finding its ``name``, a ``sentence`` with the figures, and a ``suggestion``.

    Raises:
        ArtifactError: a file of the run is missing or damaged.

    Example:
        >>> import fittingroom as fr
        >>> all(diagnosis.sentence for diagnosis in fr.diagnose_run(fr.open_run("runs/plain-1")))
        True
    """
    events, scores = run.events, run.result["validation"]
    # What the package's recipes reach is known of the official data and of new weights.
    official = run.environment.data.train.content == KNOWN_FINGERPRINTS["fashion-mnist train (official)"].content
    official &= run.environment.start is None
    suspicious = None
    if scores:
        suspicious = find_suspicious_labels(read_predictions(run.predictions_file("validation"), run.artifact.classes))
    own_validation = run.environment.data.validation is not None
    diagnoses = diagnose(events, run.recipe, scores, suspicious, official=official, own_validation=own_validation)
    if run.environment.start is None:
        return diagnoses

    # Few steps from weights that have learned already are no fault by themselves.
    return [diagnosis for diagnosis in diagnoses if diagnosis.name != "few-steps"]


def near_in_test_of(run: Run) -> NearInTest | None:
    """How many of the images of the run's accuracy on test are like ones that it was trained on.

    None where it wasn't judged on test by its training, and in runs of 0.1.
    """
    result = run.result
    judged = result["on"] == "test" if "members" in result else bool(result["test"])
    if not judged or "near_in_test" not in result:
        return None
    found = result["near_in_test"]
    return NearInTest(n=found["n"], near=found["near"], searched_by=found["searched_by"], equal=found.get("equal", 0))


def said_of_none(environment: Environment, recipe: Recipe) -> str:
    """Say why nothing validates where the recipe holds images out; "" where it holds none out."""
    if environment.data.validation or environment.folds or not held_out_of(environment.data.train.n, recipe):
        return ""
    return "none held out: no image of its class would be left to learn from"


def unjudged_classes(scores: dict[str, Any]) -> list[str]:
    """Name the classes of which no image was judged, so that no figure is about them."""
    return [row["class"] for row in scores["per_class"] if not row["n"]]


def unjudged_in_words(scores: dict[str, Any], split: str) -> str:
    """Say of which classes no figure tells anything; "" where each has an image.

    Args:
        scores: of ``result.json``.
        split: that they are of.
    """
    names = unjudged_classes(scores)
    if not names:
        return ""
    shown = names if len(names) <= MAX_UNJUDGED_NAMED else names[: MAX_UNJUDGED_NAMED - 1]
    more = f" and {len(names) - len(shown):,} other classes" if len(shown) < len(names) else ""
    return f"no {split} image is of {', '.join(shown)}{more}: what it makes of them isn't known"


def weakest_classes(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """List the classes that have images by their recall, lowest first.

    Args:
        scores: of ``result.json``.

    Returns:
        The rows of ``per_class``, each with the recall's ``interval`` (95%, of this model), the class that it is most
        often ``mistaken_for``, what follows its name where others are as often (``mistaken_others``), and how often
        (``mistaken``).
    """
    rows = []
    for i, row in enumerate(scores["per_class"]):
        if not row["n"]:
            continue

        # What it is mistaken for is the largest count of its row beside the diagonal, or several where images are few.
        counts = scores["confusion"][i]
        mistaken = max((j for j in range(len(counts)) if j != i), key=counts.__getitem__)
        tied = sum(count == counts[mistaken] for j, count in enumerate(counts) if j not in (i, mistaken))
        rows.append(
            row
            | {
                "interval": recall_interval(row, scores.get("folds")),
                "mistaken_for": scores["per_class"][mistaken]["class"] if counts[mistaken] else "",
                "mistaken_others": _and_others(tied) if counts[mistaken] else "",
                "mistaken": counts[mistaken],
            }
        )

    return sorted(rows, key=lambda row: float(row["recall"]))


def _and_others(tied: int) -> str:
    """What follows the name of one of several classes of which none is *the* one: `` and 2 other classes``."""
    return f" and {tied:,} other class{'es' * (tied != 1)}" if tied else ""


def confused_pairs(scores: dict[str, Any], n: int = 12) -> list[dict[str, Any]]:
    """The ``n`` pairs of classes that are most often taken for each other."""
    counts = scores["confusion"]
    names = [row["class"] for row in scores["per_class"]]

    # Both directions count as one: either is the same two classes mixed up.
    mistakes = sum(map(sum, counts)) - sum(counts[i][i] for i in range(len(counts)))
    in_both_directions = Counter({(j, i): counts[i][j] + counts[j][i] for i in range(len(counts)) for j in range(i)})
    return [
        {
            "first": names[i],
            "second": names[j],
            "count": count,
            "share": count / mistakes,
            "first_as_second": counts[i][j],
            "second_as_first": counts[j][i],
        }
        for (i, j), count in in_both_directions.most_common(n)
        if count
    ]


@dataclass(frozen=True)
class WorstMistakes:
    """What stands beside an accuracy.

    Attributes:
        weakest: the class of least recall, a row of :func:`weakest_classes`; its ``interval`` allows for its being the
            least of several.
        pair: the two classes most often taken for each other, a row of :func:`confused_pairs`.
        mistakes: of all classes, ≥ 1.
        classes: that have images, of which the weakest was picked.
        tied: other classes of the same recall.
        pair_is_tied: whether another pair is confused as often.
    """

    weakest: dict[str, Any]
    pair: dict[str, Any]
    mistakes: int
    classes: int
    tied: int
    pair_is_tied: bool

    @property
    def others(self) -> str:
        """What follows the name of the weakest class where it isn't the only one: `` and 2 other classes``."""
        return _and_others(self.tied)

    @property
    def is_confusion(self) -> bool:
        """Whether the pair says anything: one image is no confusion of two classes, and of two there is no other.

        Nor are two pairs that are confused as often *the* pair.
        """
        return self.classes > 2 and bool(self.pair["count"] > 1) and not self.pair_is_tied


def worst_mistakes(scores: dict[str, Any]) -> WorstMistakes | None:
    """Pick them from scores of ``result.json``; None without a mistake, or where all images are of one class."""
    mistakes = scores["n"] - scores["correct"]
    if not mistakes:
        return None
    classes = weakest_classes(scores)
    if len(classes) < 2:
        return None

    # Of several that are as weak, the one with most images is known best.
    least = [row for row in classes if row["recall"] == classes[0]["recall"]]
    weakest = max(least, key=lambda row: int(row["n"]))
    interval = recall_interval(weakest, scores.get("folds"), len(classes))
    pairs = confused_pairs(scores, 2)
    return WorstMistakes(
        weakest=weakest | {"interval": interval},
        pair=pairs[0],
        mistakes=mistakes,
        classes=len(classes),
        tied=len(least) - 1,
        pair_is_tied=len(pairs) > 1 and pairs[0]["count"] == pairs[1]["count"],
    )


def diagnose_members(run: Run) -> dict[str, list[tuple[int, Diagnosis]]]:
    """Diagnose each seed of a run: by the name of each diagnosis, the seeds that have it, and theirs."""
    by_name: dict[str, list[tuple[int, Diagnosis]]] = {}
    for member in run.members or [run]:
        for diagnosis in diagnose_run(member):
            by_name.setdefault(diagnosis.name, []).append((member.recipe.seed, diagnosis))
    return dict(sorted(by_name.items(), key=lambda item: item[1][0][1].muted))


def subsets_of(run: Run) -> list[dict[str, Any]]:
    """Read the accuracies on subsets of the run's own test set, as the last evaluation on subsets left them.

    They are in ``result.json`` if that was the first test-set evaluation, else in the newest file of ``evaluations/``.

    Returns:
        Empty before the first of them.
    """
    test = run.environment.data.test
    subsets: list[dict[str, Any]] = (run.result["test"] or {}).get("subsets", [])
    files = [file for file in (run.path / "evaluations").glob("*.json") if file.stem.isdecimal()]
    for file in sorted(files, key=lambda file: int(file.stem)):
        evaluation = read_evaluation(file)
        if test and evaluation["fingerprint"]["content"] == test.content:
            subsets = evaluation["scores"].get("subsets", subsets)
    return subsets


def test_set_evaluations(run: Run) -> list[dict[str, Any]]:
    """Read every evaluation on the run's test set by any run of its folder, oldest first."""
    test = run.environment.data.test
    return read_evaluations(runs_folder(run.path), test.images, test.sources) if test else []


def reproducing_command(run: Run) -> str:
    """Write what trains the same again: the run's own recipe, with all else that decides, whatever the defaults are.

    A command for each seed where the seeds of a run don't follow each other.
    """
    environment = run.environment
    options, processes = environment.options, environment.processes
    launcher = ["torchrun", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    words = [
        *launcher,
        "fittingroom",
        "train",
        environment.data.source or "DATA",
        "--recipe",
        f"{run.path}/recipe.toml",
    ]

    if run.recipe.precision == "auto":  # in runs of 0.1, whose recipe doesn't say what it came to
        words += ["--set", f"precision={environment.precision}"]
    # the run's own copies: the files that they were made from may be gone
    words += options_for_code(own_names(run.recipe), run.path, environment.code)
    if (run.path / SOURCE).exists():  # of 0.1
        words += ["--model", f"{run.path / SOURCE}:{run.recipe.model.rpartition(':')[2]}"]
    if (start := environment.start) is not None and start.kind == "run":
        words += ["--from", str(_runs_folder_as_given(run.path) / start.name)]
    elif start is not None:
        words += ["--weights", str(run.path / START)]
    if options.test:
        words += ["--test", str(options.test)]
    if options.group:
        words += ["--group", options.group]
    words += ["--folds", str(environment.folds)] if environment.folds else []
    words += ["--without", options.without] if options.without else []
    words += ["--labels", options.labels] if options.labels else []
    words += ["--skip-broken"] if options.skip_broken else []
    words += ["--device", environment.machine.device, "--threads", str(environment.machine.threads)]
    words += ["--deterministic"] if options.deterministic else []
    words += [] if environment.look_at_test else ["--no-test"]

    seeds = environment.seeds
    if seeds is None:
        return join(words)
    if seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return join([*words, "--set", f"seed={seeds[0]}", "--seeds", str(len(seeds))])
    return "\n".join(join([*words, "--seed", str(seed)]) for seed in seeds)


def _runs_folder_as_given(path: Path) -> Path:
    """The folder of all runs, relative where the run is given so: a card that is sent names no folder of its sender."""
    folder, wanted = path.parent, runs_folder(path).resolve()
    while folder.resolve() != wanted:
        if folder == folder.parent:
            return wanted
        folder = folder.parent
    return folder


def reproduces(run: Run) -> str:
    """Say what the commands of :func:`reproducing_command` come to, with the condition under which it holds."""
    environment = run.environment
    device, alike = environment.machine.device, "the same versions"
    if device == "cpu":
        alike += f" and {environment.machine.threads} threads" if environment.machine.threads > 1 else " and one thread"
        alike += f" in each of {environment.processes} processes" if environment.processes > 1 else ""
        return f"this trains it again, to the same bits on the same kind of processor with {alike}"
    if device.startswith("cuda") and environment.options.deterministic:
        return f"this trains it again, to the same bits on the same kind of card with {alike}"
    why = "on CUDA without --deterministic" if device.startswith("cuda") else f"on {device}"
    return f"this trains it again; {why} the result differs a little each time"


def cut_again(run: Run) -> str:
    """What else the bits of those commands depend on: which near-duplicates were known; "" for nothing."""
    kept = run.environment.together
    if kept is None or kept.near_from not in ("data check", "") or (kept.near_from and not kept.near_pairs):
        return ""
    knew, other = ("had", "hasn't") if kept.near_from else ("hadn't", "has")
    return (
        f"Where fittingroom data check {other} looked for near-duplicates among these images, as it {knew} here, other "
        "images may validate, and the bits be others."
    )
