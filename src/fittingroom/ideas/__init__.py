"""``fittingroom try``: does an idea help? Pairs of trainings until one can tell, on validation images alone."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from fittingroom.compare import compare_runs
from fittingroom.data.dataset import Dataset, Splits
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.events import Hooks, Observer
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import Positive, Range, read_record
from fittingroom.ideas.decide import LOOKS
from fittingroom.ideas.page import write_page
from fittingroom.ideas.study import BASELINE, STUDY, Idea, Study
from fittingroom.pipeline import train
from fittingroom.recipes.recipe import Recipe, differences, load_recipe, recipe_from_dict
from fittingroom.runs import environment_record
from fittingroom.runs.create import new_folder, recipe_for
from fittingroom.runs.environment_record import Options
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.runs.run import Run, command_line
from fittingroom.runs.run_data import as_splits

__all__ = ["EFFECT", "Tried", "resume_ideas", "try_ideas"]

EFFECT = 0.005  # a difference of accuracies that is of interest, where none is given
FORMAT = 1
MOST_VALIDATION, VALIDATION_SHARE = 10_000, 5  # images, and one of so many
FEW_IMAGES, FOLDS = 5_000, 5  # of fewer, a fifth says little: each is judged by a model of the other folds
FRESH_SEEDS = 1_000  # from here on, the seeds of the one look at test: no pair has them

Ideas = Sequence[str | Sequence[str] | Recipe] | Mapping[str, str | Sequence[str] | Recipe]


class _RecordedIdea(TypedDict):
    name: str
    recipe: dict[str, Any]


class _Record(TypedDict):
    """``study.json``."""

    format: Positive
    command: str
    started: str
    effect: Annotated[float, Range(0, 1)]
    budget: Annotated[float, Range(0)] | None
    test: bool
    validation: int | None
    folds: Annotated[int, Range(2)] | None
    baseline: dict[str, Any]
    ideas: list[_RecordedIdea]
    options: dict[str, Any]
    data: dict[str, str | None]
    versions: NotRequired[dict[str, str]]


@dataclasses.dataclass(frozen=True, eq=False)
class Tried:
    """What came out of a study.

    Attributes:
        path: its folder, with the runs, ``result.json`` and ``report.html``.
        result: the content of ``result.json``: ``baseline``, ``ideas`` (with ``verdict``, ``difference``, ``interval``,
            ``p_value``, ``pairs``), ``effect``, ``n`` validation images, ``seconds``, ``test``.

    Example:
        >>> import fittingroom as fr
        >>> from pathlib import Path
        >>> tried = fr.Tried(Path("runs/plain-try-1"), {"ideas": [{"name": "mirror=random", "verdict": "better"}]})
        >>> tried.verdicts
        {'mirror=random': 'better'}
    """

    path: Path
    result: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        """By the idea's name: ``better``, ``worse``, ``smaller than the effect`` or ``cannot tell``."""
        return {idea["name"]: idea["verdict"] for idea in self.result["ideas"]}


def try_ideas(
    data: Splits | Dataset | str | Path,
    ideas: Ideas,
    recipe: Recipe | str | Path | None = None,
    *,
    effect: float = EFFECT,
    budget: float | None = None,
    test: bool = False,
    out: str | Path | None = None,
    options: Options | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tried:
    """Does an idea help? Train baseline and idea with the same seeds, pair after pair, until one can tell.

    Judged on validation images alone: a fifth of the training images, at most 10,000, that no training of the study
    sees; below 5,000 images by five folds, each image by a model that has not learned from it. Looks are after 3, 4, 6,
    8, 12, 16, 24 and 32 pairs; an idea ends as better, worse, smaller than the effect, or as one that can't be told. Of
    studies whose ideas make no difference, at most 5 % claim one, however many the ideas are
    (:mod:`fittingroom.ideas.decide`).

    Args:
        data: as for :func:`fittingroom.train`.
        ideas: each is ``KEY=VALUE``, several of them, or a recipe; in a mapping by names of your own.
        recipe: the baseline; None for the one that :func:`fittingroom.train` would take.
        effect: the smallest difference of accuracies that is of interest, a share above 0.
        budget: seconds of training after which the study ends; None for no limit.
        test: at the end, train the baseline and the best idea that was found better with fresh seeds, and compare them
            on the test set, once.
        out: the study's folder, new or empty; by default the next free ``runs/<recipe>-try-<number>``.
        options: device, threads and the like, of every training.
        observe: receives every event, with the names of idea and seed.
        should_stop: asked after each step; true saves the state and ends with :class:`Interrupted`.

    Raises:
        RecipeError: no idea, one that changes nothing, two that are the same, or any problem of a recipe.
        DataError: of the data.
        Interrupted: stopped on request; :func:`resume_ideas` goes on.

    Example:
        >>> import fittingroom as fr
        >>> plain = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "min_steps=0"])
        >>> tried = fr.try_ideas("sample", ["stages.0.lr=1e-9"], plain, options=fr.Options(threads=1), out="runs/tried")
        >>> tried.verdicts
        {'stages.0.lr=1e-9': 'worse'}
    """
    if not 0 < effect < 1:
        raise RecipeError(f"effect: a difference of accuracies above 0 and below 1 expected, {effect} found")
    options = options or Options()
    wanted = _as_recipe(
        "plain" if recipe is None else recipe
    )  # pictures are read alike for all that data chooses among
    splits = as_splits(data, options, preprocessing_of(wanted))
    baseline = recipe_for(splits).recipe if recipe is None else _as_recipe(recipe)
    if test and splits.test is None:
        raise DataError(f"{splits.train.name}: test asked for, but the data has no test set")

    named = ideas_of(ideas, baseline)
    validation = None if splits.validation is not None else min(MOST_VALIDATION, len(splits.train) // VALIDATION_SHARE)
    can_fold = splits.validation is None and all(trains_to_its_end(each) for each in (baseline, *named.values()))
    folds = FOLDS if can_fold and len(splits.train) < FEW_IMAGES else None
    folder = new_folder(out, f"{baseline.name or 'run'}-try")
    record: _Record = {
        "format": FORMAT,
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "effect": effect,
        "budget": budget,
        "test": test,
        "validation": validation,
        "folds": folds,
        "baseline": baseline.as_dict(),
        "ideas": [{"name": name, "recipe": idea.as_dict()} for name, idea in named.items()],
        "options": asdict(options),
        "data": {"source": splits.source, "train": splits.train.fingerprint.order},
        "versions": versions(),
    }
    write_json(folder / STUDY, dict(record))
    return _carry_out(folder, record, splits, Hooks.of(observe, should_stop), trust_code=True)


def resume_ideas(
    path: str | Path,
    *,
    data: Splits | Dataset | None = None,
    budget: float | None = None,
    trust_code: bool = False,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tried:
    """Go on with a study that was stopped, was killed, or had spent its budget.

    Args:
        path: its folder.
        data: needed where the study was given its data in memory.
        budget: of all its training, in place of the one that it was started with.
        trust_code: permits executing the source that its runs keep of a network of the user's own.
        observe, should_stop: as for :func:`try_ideas`.

    Raises:
        ArtifactError: no such study, or a damaged one.
        DataError: the data isn't what it was started with.

    Example:
        >>> import fittingroom as fr
        >>> fr.resume_ideas("runs/plain-1")
        Traceback (most recent call last):
        fittingroom.errors.ArtifactError: runs/plain-1: a study of ideas expected, study.json is missing; ...
    """
    path = Path(path)
    if not (path / STUDY).exists():
        raise ArtifactError(f"{path}: a study of ideas expected, {STUDY} is missing; `fittingroom try` starts one")
    record = read_record(_Record, read_json(path / STUDY), str(path / STUDY))
    if budget is not None:
        record["budget"] = budget

    options = Options(**record["options"] | {"track": tuple(record["options"]["track"])})
    baseline = recipe_from_dict(record["baseline"], where=f"{path / STUDY}: baseline")
    source = record["data"]["source"]
    if data is None and not source:
        raise DataError(f"{path}: its data was given in memory; give it again")
    splits = as_splits(data if data is not None else str(source), options, preprocessing_of(baseline))
    if splits.train.fingerprint.order != record["data"]["train"]:
        raise DataError(f"{path}: a study goes on only with its own data; its training set has changed since")
    return _carry_out(path, record, splits, Hooks.of(observe, should_stop), trust_code=trust_code)


def ideas_of(ideas: Ideas, baseline: Recipe) -> dict[str, Recipe]:
    """Each idea's whole recipe by its name.

    Raises:
        RecipeError: none, one that changes nothing, two that are the same, or any problem of a recipe.
    """
    pairs = list(ideas.items()) if isinstance(ideas, Mapping) else [(_name(idea), idea) for idea in ideas]
    if not pairs:
        raise RecipeError("one idea or more expected, such as mirror=random")

    recipes: dict[str, Recipe] = {}
    for name, idea in pairs:
        changed = idea if isinstance(idea, Recipe) else changed_by(baseline, [idea] if isinstance(idea, str) else idea)
        changed = dataclasses.replace(changed, seed=baseline.seed)
        if not _changes(baseline, changed):
            raise RecipeError(f"idea {name}: it changes nothing in the baseline")
        same = next((other for other, known in recipes.items() if not _changes(known, changed)), None)
        if name in recipes or same:
            raise RecipeError(f"idea {name}: it is the same as {same or name}")
        recipes[name] = changed
    return recipes


def trains_to_its_end(recipe: Recipe) -> bool:
    """Whether no validation images choose how long it trains, so that it can be judged by folds."""
    return recipe.keep != "best" and not recipe.early_stop


def changed_by(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """A recipe with some keys set, as ``KEY=VALUE``."""
    from fittingroom.recipes.recipe import parse_recipe

    return dataclasses.replace(parse_recipe(recipe.to_toml(), overrides=overrides), name=recipe.name)


def _as_recipe(recipe: Recipe | str | Path) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _name(idea: str | Sequence[str] | Recipe) -> str:
    if isinstance(idea, Recipe):
        return idea.name or "recipe"
    return idea if isinstance(idea, str) else ", ".join(idea)


def _changes(baseline: Recipe, changed: Recipe) -> tuple[str, ...]:
    """What differs, beside names and what is said of a recipe."""
    of_no_effect = ("name", "description")
    old, new = (
        {key: value for key, value in recipe.as_dict().items() if key not in of_no_effect}
        for recipe in (baseline, changed)
    )
    return tuple(differences(old, new))


def _carry_out(path: Path, record: _Record, splits: Splits, hooks: Hooks, *, trust_code: bool) -> Tried:
    """Search, then write what is known; on test only where it was asked for, and only once."""
    where = str(path / STUDY)
    baseline = recipe_from_dict(record["baseline"], where=f"{where}: baseline")
    recipes = {
        each["name"]: recipe_from_dict(each["recipe"], where=f"{where}: {each['name']}") for each in record["ideas"]
    }

    is_cut = record["validation"] is not None and record["folds"] is None
    held_out: dict[str, Any] = {"validation": record["validation"]} if is_cut else {}
    study = Study(
        path=path,
        baseline=dataclasses.replace(baseline, **held_out),
        ideas=[
            Idea(
                name=name,
                folder=f"idea-{number}",
                recipe=dataclasses.replace(recipe, **held_out),
                changes=_changes(baseline, recipe),
            )
            for number, (name, recipe) in enumerate(recipes.items(), start=1)
        ],
        effect=record["effect"],
        budget=record["budget"],
        folds=record["folds"],
        options=Options(**record["options"] | {"track": tuple(record["options"]["track"])}),
        splits=dataclasses.replace(splits, test=None),
        trust_code=trust_code,
    )
    study.search(hooks)

    result = study.result() | {"test": None}
    if record["test"]:
        result["test"] = _on_test(study, result, {BASELINE: baseline, **recipes}, splits, hooks)
    write_json(path / "result.json", result)
    write_page(study, result)
    return Tried(path, result)


def _on_test(
    study: Study, result: dict[str, Any], recipes: Mapping[str, Recipe], splits: Splits, hooks: Hooks
) -> dict[str, Any] | None:
    """The baseline and the best idea, as they were given, with seeds that no pair had: one look at test."""
    better = [idea for idea in result["ideas"] if idea["verdict"] == "better"]
    if not better:
        return None
    winner = max(better, key=lambda idea: idea["difference"])
    seeds = [FRESH_SEEDS + number for number in range(max(LOOKS[0], winner["pairs"]))]

    runs = []
    for folder, name in (("test-baseline", BASELINE), ("test-winner", winner["name"])):
        path = study.path / folder
        if not Run(path).is_finished:
            from fittingroom.pipeline import resume

            if (path / environment_record.FILE).exists():
                resume(
                    path, data=splits, trust_code=study.trust_code, observe=hooks.observe, should_stop=hooks.should_stop
                )
            else:
                shutil.rmtree(path, ignore_errors=True)
                train(
                    splits,
                    recipes[name],
                    seeds=seeds,
                    out=path,
                    options=study.options,
                    look_at_test=True,
                    observe=hooks.observe,
                    should_stop=hooks.should_stop,
                )
        runs.append(path)
    compared = compare_runs(runs, on="test", minimum_effect=study.effect).as_dict()["comparisons"][0]
    kept = ("difference", "interval", "p_value", "n", "seeds", "verdict", "accuracies", "warnings")
    return {"winner": winner["name"]} | {key: compared[key] for key in kept}
