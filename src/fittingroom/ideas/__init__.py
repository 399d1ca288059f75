"""``fittingroom try``: does an idea help? Pairs of trainings until one can tell, on validation images alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.events import Hooks, Observer
from fittingroom.files.json_file import write_json
from fittingroom.ideas.asked import Ideas, ideas_of, trains_to_its_end
from fittingroom.ideas.on_test import compare_on_test
from fittingroom.ideas.page import write_page
from fittingroom.ideas.record import FIRST_FILES, Record, opened_study, read_study, write_study
from fittingroom.ideas.table import points
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.in_notebook import notebook_view
from fittingroom.runs.command_line import command_line
from fittingroom.runs.create import recipe_for
from fittingroom.runs.environment_record import Options
from fittingroom.runs.going_on import going_on_by
from fittingroom.runs.kept_code import keep_study_code, names_of_code
from fittingroom.runs.new_folder import as_given, claimed_folder
from fittingroom.runs.one_writer import BEGUN, beginning, one_writer
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.runs.run_data import as_splits

__all__ = ["EFFECT", "Tried", "resume_ideas", "try_ideas"]

EFFECT = 0.005  # a difference of accuracies that is of interest, where none is given
MOST_VALIDATION, VALIDATION_SHARE = 10_000, 5  # images, and one of so many
FEW_IMAGES, FOLDS = 5_000, 5  # of fewer, a fifth says little: each is judged by a model of the other folds


@dataclasses.dataclass(frozen=True, eq=False)
class Tried:
    """What came out of a study.

    Attributes:
        path: its folder, with the runs, ``result.json`` and ``report.html``.
        result: the content of ``result.json``: ``baseline``, ``ideas`` (with ``verdict``, ``difference``, ``interval``,
            ``p_value``, ``pairs``), ``effect``, ``n`` images that judge, ``folds``, ``seconds``, ``test``.

    Example:
        >>> import fittingroom as fr
        >>> from pathlib import Path
        >>> tried = fr.Tried(Path("runs/plain-try-1"), {"ideas": [{"name": "mirror=random", "verdict": "better"}]})
        >>> tried.verdicts
        {'mirror=random': 'better'}
    """

    path: Path
    result: dict[str, Any]

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for each idea."""
        rows = []
        for idea in self.result["ideas"]:
            interval, difference = idea.get("interval"), idea.get("difference")
            bounds = "" if interval is None else f" ({points(interval[0])} to {points(interval[1])})"
            told = "" if difference is None else f"{points(difference)} points{bounds}"
            rows.append([idea["name"], idea["verdict"], told, str(idea.get("pairs", ""))])
        header = ("idea", "verdict", "difference (interval)", "pairs")
        return notebook_view("Ideas", str(self.path), header=header, rows=rows)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts by the ideas' names: ``better``, ``worse``, ``smaller than the effect`` or ``cannot tell``."""
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
    studies whose ideas make no difference, at most 5% are to claim one, however many the ideas are
    (:mod:`fittingroom.ideas.decide`). The models of folds learned from largely the same images, for which these
    count for less than half as many (:mod:`fittingroom.evaluation.fold_interval`), and each pair is cut anew.

    Args:
        data: as for :func:`fittingroom.train`.
        ideas: each is ``KEY=VALUE``, several of them, or a recipe; in a mapping by names of your own.
        recipe: the baseline; None for the one that :func:`fittingroom.train` would take.
        effect: the smallest difference of accuracies that is of interest, a share above 0.
        budget: seconds of training after which none is begun; None for no limit.
        test: at the end, train the baseline and the best idea that was found better with fresh seeds, and compare them
            on the test set, once.
        out: the study's folder, new or empty; by default the next free ``runs/<recipe>-try-<number>``.
        options: device, threads and the like, of every training.
        observe: receives every event, with the names of idea and seed.
        should_stop: asked after each step; true saves the state and ends with :class:`Interrupted`.

    Raises:
        RecipeError: no idea, one that changes nothing, two that are the same, or any problem of a recipe.
        DataError: of the data.
        ArtifactError: the folder is taken.
        Interrupted: stopped on request; :func:`resume_ideas` goes on.

    Example:
        >>> import fittingroom as fr
        >>> plain = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "batch_size=256"])
        >>> tried = fr.try_ideas("sample", ["stages.0.lr=1e-9"], plain, options=fr.Options(threads=1), out="runs/tried")
        >>> tried.verdicts
        {'stages.0.lr=1e-9': 'worse'}
    """
    if not 0 < effect < 1:
        raise RecipeError(f"effect: a difference of accuracies above 0 and below 1 expected, {effect} found")
    options = options or Options()
    wanted = _as_recipe("plain" if recipe is None else recipe)  # all that data chooses among read pictures alike
    splits = as_splits(data, options, preprocessing_of(wanted))
    baseline = recipe_for(splits).recipe if recipe is None else wanted
    if test and splits.test is None:
        raise DataError(f"{splits.train.name}: test asked for, but the data has no test set")

    named = ideas_of(ideas, baseline)
    has_own = splits.validation is not None
    can_fold = not has_own and all(map(trains_to_its_end, (baseline, *named.values())))
    folds = FOLDS if can_fold and len(splits.train) < FEW_IMAGES else None
    validation = None if has_own or folds else min(MOST_VALIDATION, len(splits.train) // VALIDATION_SHARE)

    if out is not None and _is_study(as_given(out)):
        going_on = f"fittingroom try --resume {quote(str(out))}"
        raise ArtifactError(f"{out}: there is a study already; to go on with it: {going_on}")

    # Code is kept now: a seed that is trained tomorrow has the network that was tried today.
    names = names_of_code((baseline, *named.values()))
    with ExitStack() as held:
        folder = claimed_folder(out, f"{baseline.name or 'run'}-try", held, FIRST_FILES)
        with beginning(folder, FIRST_FILES):
            record = Record(
                command=command_line(),
                started=datetime.now(UTC).isoformat(timespec="seconds"),
                effect=effect,
                budget=budget,
                test=test,
                validation=validation,
                folds=folds,
                source=splits.source,
                fingerprint=splits.train.fingerprint.order,
                baseline=baseline.as_dict(),
                ideas={name: idea.as_dict() for name, idea in named.items()},
                code=keep_study_code(folder, names),
                options=options,
                versions=versions(),
            )
            write_study(folder, record)
        return _carry_out(folder, record, splits, Hooks.of(observe, should_stop), trust_code=True)


def _is_study(folder: Path) -> bool:
    """Whether a study of ideas lies there, and not another one."""
    try:
        read_study(folder)
    except ArtifactError:
        return False
    return True


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
        trust_code: permits executing the source that it keeps of a network of the user's own.
        observe, should_stop: as for :func:`try_ideas`.

    Raises:
        ArtifactError: no such study, a damaged one, code that isn't trusted, or another process goes on with it now.
        DataError: the data isn't what it was started with.

    Example:
        >>> import fittingroom as fr
        >>> fr.resume_ideas("runs/plain-1")
        Traceback (most recent call last):
        fittingroom.errors.ArtifactError: runs/plain-1: a study of ideas expected, study.json is missing; ...
    """
    path = Path(path)
    record = read_study(path)
    if budget is not None:
        record = dataclasses.replace(record, budget=budget)
    if data is None and not record.source:
        raise DataError(f"{path}: its data was given in memory; give it again")

    given = record.source if data is None else data
    splits = as_splits(given, record.options, preprocessing_of(next(iter(record.recipes.values()))))
    if splits.train.fingerprint.order != record.fingerprint:
        raise DataError(f"{path}: a study goes on only with its own data; its training set has changed since")
    return _carry_out(path, record, splits, Hooks.of(observe, should_stop), trust_code=trust_code)


def _as_recipe(recipe: Recipe | str | Path) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _carry_out(path: Path, record: Record, splits: Splits, hooks: Hooks, *, trust_code: bool) -> Tried:
    """Search, then write what is known; on test only where it was asked for, and only once."""
    study = opened_study(path, record, splits, trust_code=trust_code)

    # Two at once would begin the same runs, and both look at test.
    going_on = going_on_by(path, "study", lambda: study.resume_command, name="try")
    with one_writer(path, "going on with this study"), going_on:
        (path / BEGUN).unlink(missing_ok=True)  # of a process that was killed right after the record was whole
        study.search(hooks)

        result = study.result() | {"test": None}
        if record.test:
            result["test"] = compare_on_test(study, result, record.recipes, splits, hooks)
        write_json(path / "result.json", result)
        write_page(study, result)
    return Tried(path, result)
