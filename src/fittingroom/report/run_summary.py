"""What a finished run says of itself, for the pages about it and the lines at the end of a training."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import join
from typing import Any

from fittingroom.artifact.artifact import SOURCE
from fittingroom.evaluation.metrics import wilson_interval
from fittingroom.evaluation.mistakes import find_suspicious_labels
from fittingroom.evaluation.predictions import PredictionTable, read_predictions
from fittingroom.files.json_file import read_json
from fittingroom.report.diagnosis import Verdict, diagnose
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.run import Run, runs_folder
from fittingroom.runs.test_ledger import read_looks


@dataclass(frozen=True)
class Judged:
    """What a finished run was last judged on: ``test`` if it was looked at, else ``validation``."""

    split: str
    scores: dict[str, Any]
    table: PredictionTable


def judged_on(run: Run) -> Judged | None:
    """Scores and predictions on test, or on validation until test was looked at; None if there are neither."""
    result = run.result
    for split, file in (("test", "predictions.parquet"), ("validation", "predictions-validation.parquet")):
        if result[split]:
            return Judged(split, result[split], read_predictions(run.path / file, run.artifact.classes))
    return None


def diagnose_run(run: Run) -> list[Verdict]:
    """The verdicts on a finished run of one seed. Raises :class:`ArtifactError` where a file of it is missing."""
    events, judged = read_metrics(run.path / "metrics.jsonl"), judged_on(run)
    if judged is None:
        return diagnose(events, run.recipe)
    return diagnose(events, run.recipe, judged.scores, find_suspicious_labels(judged.table))


def weakest_classes(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The classes that have images, weakest first, with the interval of the share found and what they are taken for."""
    rows = []
    for i, row in enumerate(scores["per_class"]):
        if not row["n"]:
            continue
        counts = scores["confusion"][i]
        mistaken = max((j for j in range(len(counts)) if j != i), key=counts.__getitem__)
        rows.append(
            row
            | {
                "interval": wilson_interval(counts[i], row["n"]),
                "mistaken_for": scores["per_class"][mistaken]["class"] if counts[mistaken] else "",
                "mistaken": counts[mistaken],
            }
        )
    return sorted(rows, key=lambda row: float(row["recall"]))


def diagnose_members(run: Run) -> dict[str, list[tuple[int, Verdict]]]:
    """By each verdict's name, the seeds that have it and what is said of each; of a run of one seed, its own."""
    found: dict[str, list[tuple[int, Verdict]]] = {}
    for one in run.members or [run]:
        for verdict in diagnose_run(one):
            found.setdefault(verdict.name, []).append((one.recipe.seed, verdict))
    return found


def subsets_of(run: Run) -> list[dict[str, Any]]:
    """Accuracies on subsets of the run's own test set, as ``evaluate --subsets`` last found them; empty before that.

    They are in ``result.json`` if that was the first look at test, else in the newest file of ``evaluations/``.
    """
    test = run.environment.data.test
    own = run.result["test"] or {}
    found: list[dict[str, Any]] = own.get("subsets", [])
    for file in sorted((run.path / "evaluations").glob("[0-9]*.json"), key=lambda file: int(file.stem)):
        evaluation = read_json(file)
        if test and evaluation["fingerprint"]["content"] == test.content:
            found = evaluation["scores"].get("subsets", found)
    return found


def looks_at_test(run: Run) -> list[dict[str, Any]]:
    """Every look at the run's test set by any run of its folder, oldest first."""
    test = run.environment.data.test
    return read_looks(runs_folder(run.path), test.images) if test else []


def reproducing_command(run: Run) -> str:
    """The line that trains the same again from the resolved recipe, whatever the defaults are by then."""
    environment = run.environment
    options, seeds = environment.options, environment.seeds
    words = ["fittingroom", "train", environment.data.source or "DATA", "--recipe", f"{run.path}/recipe.toml"]
    if (run.path / SOURCE).exists():  # the run's own copy: the file that it was made from may be gone
        words += ["--model", f"{run.path / SOURCE}:{run.recipe.model.rpartition(':')[2]}"]
    if options.test:
        words += ["--test", str(options.test)]
    if seeds:
        words += ["--seeds", str(len(seeds))]
    words += ["--device", environment.machine.device, "--threads", str(environment.machine.threads)]
    words += ["--deterministic"] if options.deterministic else []
    return join(words)
