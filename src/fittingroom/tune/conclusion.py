"""What a study comes to: the best recipe as TOML, its figure from fresh seeds, ``result.json`` and the page."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

from fittingroom.errors import ArtifactError
from fittingroom.evaluation.metrics import mean_interval
from fittingroom.events import Hooks
from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_file import write_json
from fittingroom.files.lock import exclusive_if_free
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.pipeline import resume
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import start_anew
from fittingroom.runs.environment_record import holds_run
from fittingroom.runs.run import Run
from fittingroom.tune.objective import ACCURACY
from fittingroom.tune.page import write_page
from fittingroom.tune.space import apply, baseline_values
from fittingroom.tune.study import Study
from fittingroom.tune.trial import Trial

FORMAT = 1  # of a study's result.json


def conclude(
    study: Study,
    final_seeds: int,
    engine: RayEngine | None,
    hooks: Hooks,
) -> None:
    """Train the best recipe with seeds that no trial had, and write down what came out.

    Where other processes still carry out trials of the study, that is left to the one that ends last.

    Raises:
        ArtifactError: no trial was finished.
        Interrupted: on request.
    """
    with exclusive_if_free(study.conclusion_lock) as free:
        if not free or study.running_elsewhere():
            return
        # Only the process that holds the lock comes here, and only when no other has a trial under way.
        best = study.best()
        if best is None:
            raise ArtifactError(f"{study.path}: no trial was finished; {_reasons(study)}")

        recipe = best_recipe(study, best)
        final = _train_final(study, best, recipe, final_seeds, engine, hooks) if final_seeds else None
        result = _summary(study, best, final)

        # The page shows best.toml, so that is written before it.
        with atomic_write(study.path / "best.toml", follow_links=False) as file:
            file.write((_head_comment(study, result, final) + recipe.to_toml()).encode())
        write_json(study.path / "result.json", result)
        write_page(study, result)


def best_recipe(study: Study, best: Trial) -> Recipe:
    """The recipe of the best trial, with the first seed that none had."""
    recipe = apply(study.recipe, best.values)
    base = recipe.name or "recipe"
    description = f"{base} as a study tuned it: trial {best.number}"
    return dataclasses.replace(recipe, seed=study.plan.seed + 1, name=f"{base}-tuned", description=description)


def _train_final(
    study: Study,
    best: Trial,
    recipe: Recipe,
    seeds: int,
    engine: RayEngine | None,
    hooks: Hooks,
) -> Run:
    """The run of the fresh seeds: trained, resumed, or there already."""
    folder = study.path / f"final-{best.number:04d}-{seeds}"
    if (folder / "result.json").exists():
        return Run(folder, study.splits)

    # The folder's name has trial and number of seeds: more trials, or more seeds, are a run of their own.
    if not holds_run(folder):
        start_anew(study.splits, study.with_code(recipe), folder, seeds=seeds, options=study.options)

    return resume(
        folder,
        data=study.splits,
        trust_code=study.trust_code,
        engine=engine,
        observe=hooks.observe,
        should_stop=hooks.should_stop,
    )


def _summary(study: Study, best: Trial, final: Run | None) -> dict[str, Any]:
    """What ``result.json`` of a study says."""
    trials = study.trials()
    validation = Run(study.folder(best.number)).result["validation"]

    # The first trial is the baseline only where its values lie in the space; else the search drew it.
    first = trials[0]
    as_it_is = baseline_values(study.recipe, study.space)
    is_baseline = False
    if first.state == "finished" and as_it_is is not None:
        is_baseline = apply(study.recipe, first.values) == apply(study.recipe, as_it_is)

    # Few images have few accuracies, and the first of several trials that are alike was no better than they.
    tied = sum(trial.state == "finished" and trial.value == best.value for trial in trials) - 1
    return {
        "format": FORMAT,
        "objective": study.objective.name,
        "n": validation["n"] if validation else 0,
        "trials": dict(Counter(trial.state for trial in trials)),
        "best": {"trial": best.number, "value": best.value, "values": dict(best.values), "tied": tied},
        "as_it_is": first.value if is_baseline else None,
        "largest_class": _largest_class(validation) if study.objective is ACCURACY else None,
        "final": None if final is None else _fresh_figures(study, final),
    }


def _largest_class(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """The class that accuracy goes by, and its share of the images, where the classes are of very different sizes."""
    if "balanced_accuracy" not in scores:  # which they have just there
        return None
    largest = max(scores["per_class"], key=lambda each: int(each["n"]))
    return {"name": largest["class"], "share": largest["n"] / scores["n"]}


def _fresh_figures(study: Study, final: Run) -> dict[str, Any]:
    """The objective of each fresh seed, their mean, and how far that is to be trusted."""
    members = final.members
    values = [study.objective.of_scores(member.result["validation"]) for member in members]
    mean, sd, interval = mean_interval(values)

    # Both seeds and images are chance, and the run of the fresh seeds knows both where it gives the score an interval.
    scores = final.result
    of_recipe = scores if study.objective is ACCURACY else scores.get(study.objective.name)
    return {
        "run": final.path.name,
        "seeds": [member.recipe.seed for member in members],
        "values": values,
        "mean": mean,
        "sd": sd,
        "interval": of_recipe["interval"] if of_recipe else interval,
        "is_of_recipe": bool(of_recipe),
        "interval_of_mean": interval,
        "train_seconds": sum(member.result["train_seconds"] for member in members) / len(values),
    }


def _head_comment(study: Study, result: dict[str, Any], final: Run | None) -> str:
    """The comment at the head of ``best.toml``: command, date, machine, figure with n and interval."""
    best, fresh, objective = result["best"], result["final"], study.objective
    trials = sum(result["trials"].values())
    paragraphs = [
        f"{study.recipe.name or 'A recipe'}, tuned: trial {best['trial']} of {trials} of the study {study.path}.",
        f"  {study.train_command(best['values'])}",
    ]

    # The search's own best is the luckiest of many figures; whoever reads the file later has to know that.
    if final is None or fresh is None:
        paragraphs.append(
            f"Validation {objective.word} {objective.text(best['value'])} on {result['n']:,} images: "
            f"{rank_in_words(best)}, and so optimistic. No fresh seeds were trained."
        )
    else:
        environment = final.environment
        machine = environment.machine
        paragraphs.append(
            f"Validation {objective.word} {objective.text_of_mean(fresh)}, n = {len(fresh['seeds'])} seeds that no "
            f"trial had, on the {result['n']:,} images that chose the recipe. "
            f"{fresh['train_seconds']:.1f} s of training each. "
            f"{date.today().isoformat()}, {machine.processor}, threads {machine.threads}, "
            f"torch {environment.versions['torch']}, {environment.precision}."
        )

    wrapped = [textwrap.fill(text, 116, initial_indent="# ", subsequent_indent="# ") for text in paragraphs]
    return "\n#\n".join(wrapped) + "\n\n"


def rank_in_words(best: Mapping[str, Any]) -> str:
    """How the trial that a search chose stands to the others: ``best`` of a study's ``result.json``."""
    tied = best.get("tied", 0)  # of 0.1 not known
    return f"as good as {tied:,} other{'s' * (tied != 1)}, the first of the best" if tied else "the best of all"


def _reasons(study: Study) -> str:
    """Why no trial was finished: the three commonest messages, each with its number of trials."""
    messages = Counter(trial.message or trial.state for trial in study.trials())
    return "; ".join(f"{count} × {message}" for message, count in messages.most_common(3)) or "none was begun"
