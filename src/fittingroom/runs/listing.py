"""The runs of a folder as rows: by data set, and within it by validation, never by test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.errors import ArtifactError, FittingRoomError
from fittingroom.evaluation.intervals import interval_method
from fittingroom.files.csv_text import csv_text
from fittingroom.files.one_state import in_one_state
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.changes import differences
from fittingroom.recipes.reading import load_recipe, recipe_from_dict, recipe_names
from fittingroom.rendering.terminal import printable
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.ledger import read_evaluations
from fittingroom.runs.recipe_accuracy import whose_interval
from fittingroom.runs.run import Run, find_runs
from fittingroom.training.hold_out import held_out_of

OF_THE_START = ("model_args", "normalize", "size", "channels", "resize", "background", "validation", "split_seed")


def list_runs(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each run below ``folder``, and a warning for each that can't be listed.

    Runs on the same data, by the fingerprints of test and validation images (those of train where validation is held
    out of it), stand together, the best on validation first, then those that were not validated, then unfinished ones.
    Test plays no part in the order, as whoever takes the first would choose by it.

    Returns:
        Rows as ``fittingroom runs --json`` prints them; shares in 0–1, ``n`` validation images, ``sd`` of validation
        accuracy from seed to seed, ``looks`` this run's evaluations on its test set.
    """
    rows, warnings = [], []
    for run in find_runs(folder):
        try:
            # One that trains writes its files now; of one that has ended they stay as they are.
            with in_one_state(*([run.path] if run.is_finished else [])):
                row = _row(folder, run)
            rows.append(row)
        except ArtifactError as error:
            warnings.append(f"{run.path} is not listed: {error}")
        except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            warnings.append(f"{run.path} is not listed: one of its files is not what a run writes ({reason})")

    # Which data come first is as good as arbitrary: by name, so that it stays the same.
    rows.sort(key=lambda row: (row["data"], row["data_set"], *_rank(row)))
    return rows, warnings


def _row(folder: Path, run: Run) -> dict[str, Any]:
    environment = run.environment
    data = environment.data
    row: dict[str, Any] = {
        "run": run.path.name,
        "data": data.source or data.train.name,
        "data_set": _data_set(environment),
        "recipe": environment.recipe_name,
        "model": str(environment.recipe.get("model", "")),
        "changed": _changed(environment),
        "seeds": len(environment.seeds or [0]),
        "finished": run.is_finished,
        "validation": None,
        "n": None,
        "sd": None,
        "test": None,
        "interval": None,
        "interval_of": None,
        "looks": _looks(folder, run),
        "parameters": None,
        "train_seconds": None,
        "started": environment.started,
        "continued_from": environment.start and environment.start.name,
    }
    return row | (_figures(run.result) if run.is_finished else {})


def _changed(environment: Environment) -> list[str]:
    """What the run's recipe changes of the packaged one, and its folds."""
    given: Sequence[str] = ("validation",) if environment.folds else ()
    if environment.start:
        given = OF_THE_START
    changed = changed_keys(environment.recipe, _learned_from(environment), given=given)
    return changed + ([f"folds={environment.folds}"] if environment.folds else [])


def _figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a finished run, by its ``result.json``."""
    row = {"parameters": result["parameters"], "train_seconds": result["train_seconds"]}
    scores_of = result.get("members") or [result]
    if all(scores["validation"] for scores in scores_of):
        accuracies = [scores["validation"]["accuracy"] for scores in scores_of]
        sd = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
        row |= {"validation": float(np.mean(accuracies)), "n": scores_of[0]["validation"]["n"], "sd": sd}

    # Only of the split that all seeds were judged on the run has an interval.
    if all(scores["test"] for scores in scores_of):
        test = scores_of[0]["test"]
        seeds = len(scores_of)
        of_run = result if "members" in result else test
        method = interval_method({"n": test["n"], "groups": of_run.get("groups")}, seeds)
        row |= {
            "test": result["mean"] if "members" in result else test["accuracy"],
            "interval": of_run["interval"],
            "interval_of": f"{whose_interval(seeds)}: {method}",
        }
    return row


def _data_set(environment: Environment) -> str:
    """What runs on the same images have in common: so many digits of their hashes that two sets don't share them."""
    data = environment.data
    parts = (data.test, data.validation or data.train)
    return "-".join("none" if part is None else (part.sources or part.images)[:12] for part in parts)


def _learned_from(environment: Environment) -> int | None:
    """How many images a run learned from, by what its recipe held out; None where that can't be told."""
    data = environment.data
    try:
        recipe = recipe_from_dict(environment.recipe)
    except FittingRoomError:
        return None
    held_out = None if data.validation else held_out_of(data.train.n, recipe)
    return data.train.n - (held_out or 0)


def changed_keys(recipe: Mapping[str, Any], images: int | None = None, given: Sequence[str] = ()) -> list[str]:
    """Which keys differ from those of the packaged recipe, as ``key=value``; seed, model and description don't count.

    Args:
        recipe: as plain values; what the package leaves to be decided, such as "auto", counts as unchanged.
        images: that were learned from, where that is known: what follows from their number counts as unchanged, too.
        given: keys that count as unchanged too.
    """
    name = str(recipe.get("name") or "")
    if name not in recipe_names():
        return []

    try:
        asked = load_recipe(name)
        packaged = asked.as_dict()
        if images is not None and "min_steps" in recipe:
            same_batch = replace(asked, batch_size=recipe.get("batch_size", asked.batch_size))
            packaged["stages"] = settled(same_batch, images).as_dict()["stages"]

        # A number of epochs that somebody asked for did away with the least number of steps.
        packaged = {key: value for key, value in packaged.items() if key != "min_steps" or key in recipe}
    except FittingRoomError:
        return []

    left_out = {
        "seed",
        "name",
        "description",
        "model",
        *given,
        *(key for key, value in packaged.items() if value == "auto"),
    }
    changed = differences(
        _flat({key: value for key, value in packaged.items() if key not in left_out}),
        _flat({key: value for key, value in recipe.items() if key not in left_out}),
    )
    lines = [line.split(": ", 1) for line in changed]
    return [f"{key}={values.rsplit(' → ', 1)[1].strip(chr(39))}" for key, values in lines]


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with ``model_args.widths`` and the like in place of a dict."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _looks(folder: Path, run: Run) -> int:
    """How often this run, or a member of it, was evaluated on its own test set, by the ledger of the folder."""
    test = run.environment.data.test
    if test is None:
        return 0
    name = run.path.name
    evaluations = read_evaluations(folder, test.images, test.sources)
    return sum(line.get("run") == name or str(line.get("run")).startswith(f"{name}/") for line in evaluations)


def _rank(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    return not row["finished"], -(row["validation"] or 0.0), row["run"]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV, a column for each key; lists joined by spaces, both bounds of the interval a column each."""
    import csv
    import io

    out = io.StringIO()
    names = [name for row in rows[:1] for name in row if name != "interval"]
    writer = csv.DictWriter(out, [*names, "interval_low", "interval_high"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        low, high = row["interval"] or (None, None)
        values = {name: " ".join(row[name]) if isinstance(row[name], list) else row[name] for name in names}
        values = {name: csv_text(value) if isinstance(value, str) else value for name, value in values.items()}
        writer.writerow(values | {"interval_low": low, "interval_high": high})
    return out.getvalue()


def as_latex(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""The finished runs as a table of LaTeX's package ``booktabs``, one ``\midrule`` between data sets."""
    heads = ("data", "recipe", "model", "changed", "seeds", "validation", "test", r"95\,\% interval")
    lines = [r"\begin{tabular}{llllrrrl}", r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]

    last = None
    for row in rows:
        if not row["finished"]:
            continue
        if last not in (None, row["data_set"]):
            lines.append(r"\midrule")
        last = row["data_set"]

        sd = "" if row["sd"] is None else f" (sd {100 * row['sd']:.2f})"
        interval = ""
        if row["interval"]:
            low, high = row["interval"]
            interval = f"{100 * low:.2f}--{100 * high:.2f} ({escaped_for_latex(row['interval_of'])})"

        cells = (
            *(escaped_for_latex(row[key]) for key in ("data", "recipe", "model")),
            escaped_for_latex(", ".join(row["changed"])),
            str(row["seeds"]),
            "" if row["validation"] is None else f"{100 * row['validation']:.2f}{sd}",
            "" if row["test"] is None else f"{100 * row['test']:.2f}",
            interval,
        )
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escaped_for_latex(text: str) -> str:
    """Text for LaTeX, in which ten characters mean something else, and which takes no control characters."""
    meant = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$"}
    meant |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(meant.get(character, character) for character in printable(text))
