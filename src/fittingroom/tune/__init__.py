"""Search over recipes with Optuna: chosen on validation images, and judged anew with seeds that chose nothing.

    study = fr.tune_recipe("fashion-mnist", "swift", Path("space.toml"))
    study.result["best"], study.result["final"]

The test set is put aside before the search begins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, Interrupted, RecipeError, StorageFailed
from fittingroom.events import Hooks, Observer
from fittingroom.files.sqlite_url import without_password
from fittingroom.parallel.process_group import processes
from fittingroom.parallel.ray_engine import RayEngine, check_engine
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.environment_record import Options
from fittingroom.runs.going_on import going_on_by
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.tune.conclusion import conclude
from fittingroom.tune.record import open_study, start_study
from fittingroom.tune.storage import reason_of, sqlite_in
from fittingroom.tune.study import Study
from fittingroom.tune.trial import Plan

__all__ = ["Plan", "Study", "resume_study", "tune_recipe"]

FINAL_SEEDS = 3


def tune_recipe(
    data: Splits | str | Path,
    recipe: Recipe | str | Path,
    space: str | Path,
    *,
    plan: Plan | None = None,
    seconds: float | None = None,
    final_seeds: int = FINAL_SEEDS,
    out: str | Path | None = None,
    options: Options | None = None,
    storage: str | None = None,
    engine: RayEngine | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Study:
    """Search for the best values of some keys of a recipe, and train the best recipe with fresh seeds.

    In one process the same seed makes the same study, stopped in between or not; several processes, or Ray, end their
    trials in an order of its own, which the search learns from. The pruner hyperband draws by the folder's name, too.

    Args:
        data: an open data set, a name or a path; its test set is put aside.
        recipe: a recipe, the name of one of the package's, or the path of a TOML file.
        space: TOML text, or the path of a TOML file; see :mod:`fittingroom.tune.space`.
        plan: objective, pruner, seed and number of trials; by default the objective is the recipe's ``judge``.
        seconds: after which no trial is begun.
        final_seeds: with how many seeds, that no trial had, the best recipe is trained at the end; 2 or more, 0 for
            none.
        out: the study's folder, new or empty; by default the next free ``runs/<recipe>-tune-<number>``.
        options: device, threads and the like, of every training.
        storage: a storage URL of Optuna's; by default an SQLite file in the folder.
        engine: where trials are carried out side by side; None for one after another in this process.
        observe: receives every event with the name of its trial or seed.
        should_stop: asked after each step; true saves the state and ends with :class:`Interrupted`.

    Raises:
        RecipeError: every problem of the recipe or the space; no validation images.
        DataError, ArtifactError, FittingRoomError: data, folder or storage don't work, and why.
        Interrupted: stopped on request; :func:`resume_study` goes on.

    Example:
        >>> import fittingroom as fr
        >>> from fittingroom.tune import Plan
        >>> space = "lr = { low = 0.001, high = 0.01, log = true }"
        >>> recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1"])
        >>> study = fr.tune_recipe("sample", recipe, space, plan=Plan(trials=2), final_seeds=0, out="runs/search")
        >>> [trial.state for trial in study.trials()]
        ['finished', 'finished']
    """
    _check(final_seeds, engine)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    options = options or Options()

    # Side by side, trainings of PyTorch's own number of threads would take each other's cores.
    if engine is not None:
        options = dataclasses.replace(options, threads=options.threads or 1)
    plan = plan or Plan(objective=recipe.judge, seed=recipe.seed)

    splits = (
        data
        if isinstance(data, Splits)
        else open_dataset(data, cache=options.cache, preprocessing=preprocessing_of(recipe))
    )

    folder = None if out is None else Path(out)
    study = start_study(splits, recipe, space, plan, out=folder, options=options, storage=storage)
    study = dataclasses.replace(study, trust_code=True)  # it is what the caller gave
    return _search_and_conclude(study, plan.trials, seconds, final_seeds, engine, Hooks.of(observe, should_stop))


def resume_study(
    path: str | Path,
    *,
    data: Splits | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    final_seeds: int = FINAL_SEEDS,
    storage: str | None = None,
    trust_code: bool = False,
    engine: RayEngine | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Study:
    """Go on with a study that was stopped, extend one to more trials, or help one that another process works on.

    Args:
        path: the study's folder.
        data: needed where the study was given its data in memory.
        trials: in place of the plan's.
        storage: its URL, needed where that has a password, which is not kept.
        trust_code: permits executing the code of one's own that the study keeps.
        seconds, final_seeds, engine, observe, should_stop: as for :func:`tune_recipe`.

    Raises:
        ArtifactError: no such study; code that isn't trusted.
        DataError: the data is not what the study was started with.

    Example:
        >>> import fittingroom as fr
        >>> fr.resume_study("runs/none")
        Traceback (most recent call last):
        fittingroom.errors.ArtifactError: runs/none: ...
    """
    _check(final_seeds, engine)
    study = open_study(Path(path), splits=data, storage=storage)
    if study.runs_code and not trust_code:
        raise ArtifactError(
            f"{study.path}: it has code of one's own ({', '.join(study.code_files)}); going on executes it. "
            "Read it, then say `trust_code=True`"
        )
    study = dataclasses.replace(study, trust_code=trust_code)
    hooks = Hooks.of(observe, should_stop)
    return _search_and_conclude(study, trials or study.plan.trials, seconds, final_seeds, engine, hooks)


def _check(final_seeds: int, engine: RayEngine | None) -> None:
    """Refuse what can be refused before anything is opened."""
    if final_seeds < 0 or final_seeds == 1:
        raise RecipeError(f"final seeds: 2 or more expected, or 0 for none, {final_seeds} found: one has no interval")
    if processes() > 1:
        raise RecipeError(
            "tune begins its own trials; start it without torchrun, and help it by `fittingroom tune --resume STUDY`"
        )
    if engine is not None:
        check_engine(engine)


def _search_and_conclude(
    study: Study,
    trials: int,
    seconds: float | None,
    final_seeds: int,
    engine: RayEngine | None,
    hooks: Hooks,
) -> Study:
    """Search, and end with fresh seeds. Raises Interrupted with the command that resumes the study just so."""
    command = partial(_resume_command, study, trials, final_seeds)
    try:
        with going_on_by(study.path, "search", command, name="tune"):
            study.search(trials, seconds, engine, hooks)
            conclude(study, final_seeds, engine, hooks)
    except Interrupted as stop:
        raise Interrupted(str(stop), command()) from None
    except (StorageInternalError, SQLAlchemyError) as error:  # a full disk, or a server that went away
        raise StorageFailed(
            f"{study.path}: the search stopped, as its storage could not be written: {reason_of(error)}. What was "
            f"saved before is kept. Go on, once it can be, by\n  {command()}"
        ) from error
    return study


def _resume_command(study: Study, trials: int, final_seeds: int) -> str:
    """What resumes a study just so."""
    command = f"fittingroom tune --resume {quote(str(study.path))}"
    if study.storage != sqlite_in(study.path):
        command += f" --storage {quote(without_password(study.storage))}"
    command += f" --trials {trials}" if trials != study.plan.trials else ""
    command += f" --final-seeds {final_seeds}" if final_seeds != FINAL_SEEDS else ""
    return command + (" --trust-code" if study.runs_code else "")
