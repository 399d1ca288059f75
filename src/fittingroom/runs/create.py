"""What a run is to be: decided, and written into its folder, before its first step.

So it can be resumed from its first second on, in whichever process, and nothing that decides it can change unnoticed.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.edits import edited
from fittingroom.data.formats.columns import LABEL_NAMES_IN_WORDS
from fittingroom.environment import describe_machine, git_revision, versions, warn_of_many_threads
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.events import NO_HOOKS, Hooks, Working
from fittingroom.files.atomic import atomic_write
from fittingroom.files.names import refuse_undecodable
from fittingroom.models import ModelSource, find_model
from fittingroom.models.timm_networks import is_timm
from fittingroom.own_code.kept import FOLDER as CODE
from fittingroom.own_code.kept import keep_code, kept_codes
from fittingroom.parallel.process_group import ALONE, ProcessGroup, is_own_job, torchrun_job
from fittingroom.recipes.by_data import Chosen, default_recipe, said_of, settled
from fittingroom.recipes.own_names import code_names, with_own_code
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Precision, Recipe
from fittingroom.runs import environment_record
from fittingroom.runs.command_line import command_line
from fittingroom.runs.cut import CUT, bundles_of, decide_cut
from fittingroom.runs.environment_record import Environment, Options, RecordedData, holds_run, write_environment
from fittingroom.runs.folds import fold_numbers, for_folds
from fittingroom.runs.one_writer import beginning, one_writer, take_over
from fittingroom.runs.origin import Begun, Origin, WeightsOrigin, begin_from
from fittingroom.runs.preprocessing import preprocessing_of, resolve_preprocessing
from fittingroom.runs.recorded import recorded_environment, refuse_changes
from fittingroom.runs.run import Run
from fittingroom.runs.run_data import as_splits
from fittingroom.runs.starting_point import IMAGES, START, write_seen, write_weights
from fittingroom.runs.tracking import refuse_unusable
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.hold_out import learned_from_count, said_of_cut
from fittingroom.training.own_parts import try_own_code
from fittingroom.training.precision import ResolvedPrecision, resolve_precision
from fittingroom.training.start_weights import refuse_without_start

FIRST_FILES = (CODE, START, IMAGES, "recipe.toml", environment_record.FILE)
"""What a run has before its first step; the last of them is what it is resumed by."""


def start(
    data: Splits | Dataset | str | Path,
    recipe: Recipe | str | Path,
    *,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
    look_at_test: bool = False,
    origin: Origin | WeightsOrigin | None = None,
    folds: int | None = None,
    hooks: Hooks = NO_HOOKS,
    group: ProcessGroup = ALONE,
    held: ExitStack | None = None,
) -> Run:
    """Write the folder of a run with all that decides what it will be.

    :func:`fittingroom.pipeline.one_seed.finish` or :func:`fittingroom.resume` trains it.

    Arguments and errors are those of :func:`fittingroom.train`; the code of the user's own that the recipe names is
    executed. ``origin`` is where the first weights come from; None for new ones. ``group`` has the processes that will
    train together, each of which calls this with the same arguments. Until ``held`` is closed no other process writes
    into the folder; without it, until the folder is written.
    """
    options = options or Options()
    refuse_undecodable(Path("" if out is None else as_given(out)).absolute())  # the current directory is recorded, too
    if options.keep < 1:
        raise RecipeError(f"keep: 1 checkpoint or more expected, {options.keep} found")

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if origin is not None:
        recipe = origin.recipe_for(recipe)
    else:
        refuse_without_start(recipe)
    recipe = with_own_code(recipe if seed is None else dataclasses.replace(recipe, seed=seed))

    # One process of each host fills the cache, from which the others read.
    with group.local_main_first():
        opened = as_splits(data, options, preprocessing_of(recipe), hooks)
        splits, edits, _ = edited(opened, without=options.without, labels=options.labels)
    source = find_model(recipe.model)
    if origin is not None:
        recipe = origin.recipe_on(splits, recipe)

    if folds is not None:
        _refuse_unlabelled(splits)
        recipe = for_folds(recipe, splits, folds, seeds=seeds)

    # What is left to the number of images is settled here, for every process and every later day.
    asked, images = recipe, learned_from_count(splits, recipe)
    recipe = settled(asked, images, splits.train.image_size)
    group.check_batch(recipe.images_a_step)
    if group.is_main:
        refuse_unusable(options.track)

    # Before the machine is described, with its number of threads.
    warn_of_many_threads(options.threads)
    prepare_torch(options.threads, options.deterministic)
    try_own_code(recipe, splits.train, images, torch.device(pick_device(options.device)))

    def make_folder(holding: ExitStack) -> str:
        """The new folder of the run, or the one that it had before torchrun restarted it."""
        folder = _own_folder(out, recipe.name or "run")
        if folder is None:
            hooks.observe(Working(what="checking which images belong together"))

            precision = _precision(splits, recipe, source, options)
            resolved = dataclasses.replace(recipe, precision=cast("Precision", precision.name))
            environment = _describe(splits, resolved, source, options, _seed_list(recipe, seeds), group)
            environment = dataclasses.replace(
                environment,
                edits=edits,
                folds=folds,
                together=decide_cut(splits, recipe, cache=options.cache, opened=opened.train, edits=edits, folds=folds),
            )

            # Where images stay together, the cut may hold out a few more or less than was asked for.
            together = environment.together
            is_tied = folds is None and together is not None and bool(together.in_words)

            # Whatever keeps it from beginning is said before there is a folder.
            if folds is not None:
                fold_numbers(splits.train, folds, recipe.split_seed, bundles_of(environment, splits))
            elif origin is not None:
                environment = origin.cut_on(splits, environment)
            begun = None if origin is None else begin_from(origin, splits, resolved, source, environment)
            environment = dataclasses.replace(
                environment,
                start=None if begun is None else begun.point,
                look_at_test=look_at_test,
                precision_reason=precision.reason,
                recipe_reason="; ".join(
                    filter(None, (said_of(asked, recipe, images, about=is_tied), said_of_cut(splits, recipe)))
                ),
                bf16_emulated=precision.emulated,
            )

            folder = claimed_folder(out, recipe.name or "run", holding)
            _begin(folder, resolved, environment, begun)
        holding.enter_context(one_writer(folder))
        return str(folder)

    # The main process decides for all; where the others' hosts have other data, they refuse.
    with ExitStack() if held is None else nullcontext(held) as holding:
        run = Run(Path(group.broadcast(partial(make_folder, holding))), splits)
    environment = recorded_environment(run, group)
    refuse_changes(run, environment, as_resolved(recipe, environment), group)
    return run


def start_anew(data: Splits, recipe: Recipe, out: Path, **how: Any) -> Run:
    """:func:`start` in a folder of a study that has no run, but perhaps what a process left that died as it began."""
    shutil.rmtree(out, ignore_errors=True)
    return start(data, recipe, out=out, **how)


def recipe_for(splits: Splits, *, overrides: Sequence[str] = ()) -> Chosen:
    """The recipe for open data for which none was named; see :func:`fittingroom.recipes.by_data.default_recipe`."""
    train = splits.train
    return default_recipe(len(train), train.image_size, train.channels, overrides=overrides)


def _seed_list(recipe: Recipe, seeds: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if seeds is None:
        return None
    if isinstance(seeds, int) and seeds < 2:
        raise RecipeError(f"seeds: 2 or more expected, {seeds} found; for a single one give `seed`")
    chosen = [recipe.seed + i for i in range(seeds)] if isinstance(seeds, int) else list(seeds)
    if len(set(chosen)) < max(2, len(chosen)):
        raise RecipeError(f"seeds: at least two that differ expected, {chosen} found; for a single one give `seed`")
    return tuple(chosen)


def _describe(
    splits: Splits,
    recipe: Recipe,
    source: ModelSource,
    options: Options,
    seeds: tuple[int, ...] | None,
    group: ProcessGroup,
) -> Environment:
    """Everything beside the recipe that decides what the run will be. Raises DataError for data without labels."""
    _refuse_unlabelled(splits)
    return Environment(
        command=command_line(),
        directory=str(Path.cwd()),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seeds=seeds,
        processes=group.size,
        torchrun=torchrun_job(),
        precision=recipe.precision,
        options=options,
        data=RecordedData.of(splits),
        preprocessing=resolve_preprocessing(splits, recipe),
        cut=CUT,
        recipe=recipe.as_dict(),
        code_sha256=source.sha256,
        code=kept_codes(code_names(recipe)),
        versions=versions(*(["timm"] if is_timm(recipe.model) else [])),
        machine=describe_machine(pick_device(options.device)),
        revision=git_revision(),
    )


def _refuse_unlabelled(splits: Splits) -> None:
    """Raise DataError where there is nothing to learn from, or to validate by."""
    if splits.train.labels is None:
        places = f"; a CSV has them first or last, or in a column called {LABEL_NAMES_IN_WORDS}"
        hint = places if ".csv" in splits.source else ""
        raise DataError(f"{splits.train.name}: labels expected, none found: training needs them{hint}")
    if splits.validation is not None and splits.validation.labels is None:
        raise DataError(f"{splits.validation.name}: labels expected, none found: validation needs them")


def as_resolved(recipe: Recipe, environment: Environment) -> Recipe:
    """A recipe with the run's own answer in place of ``auto``; as it is where the run, of 0.1, kept that too."""
    if recipe.precision != "auto" or environment.recipe.get("precision") == "auto":
        return recipe
    return dataclasses.replace(recipe, precision=cast("Precision", environment.precision))


def _precision(splits: Splits, recipe: Recipe, source: ModelSource, options: Options) -> ResolvedPrecision:
    """What the run computes in, decided here for every process and every later day."""
    train, device = splits.train, pick_device(options.device)
    return resolve_precision(recipe, source, train.num_classes, train.image_size, device, channels=train.channels)


def _own_folder(out: str | Path | None, name: str) -> Path | None:
    """The folder of the unfinished run that this torchrun job began before it had to restart, if there is one."""
    if torchrun_job() is None:
        return None
    folders = [as_given(out)] if out is not None else sorted(Path("runs").glob(f"{name}-*"))
    for run in map(Run, folders):
        begun = holds_run(run.path) and not run.is_finished
        if begun and is_own_job(run.environment.torchrun):
            return run.path
    return None


def as_given(out: str | Path) -> Path:
    """A new folder as its user named it.

    ``~`` at its start is the home directory: a shell leaves it as it is in ``--out=~/run``. What ``..`` leads to is
    known before anything is made there.
    """
    folder = Path(out)
    with suppress(RuntimeError):  # the home of nobody that is known: a folder may be called so
        folder = folder.expanduser()
    return folder.resolve() if ".." in folder.parts else folder


def _next_folder(name: str) -> Path:
    """A new empty folder; two processes that start at once get two."""
    # Making the folder is what claims its number: whoever is second gets the next.
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def claimed_folder(
    out: str | Path | None, name: str, held: ExitStack, first_files: Sequence[str] = FIRST_FILES
) -> Path:
    """A new empty folder, held; or ``out`` as a writer left it that was killed before it could be gone on with.

    Args:
        out: as the user gave it; None for the next free ``runs/<name>-<number>``.
        name: of the folder where none is given.
        held: is to be closed once others may write there.
        first_files: what a run, or a study, has before anything is trained; its record last.
    """
    if out is None:
        folder = _next_folder(name)
        held.enter_context(one_writer(folder))
        return folder

    # A run is refused at once, also one that is being trained; whatever else is there once nobody writes it.
    folder = as_given(out)
    if not folder.is_dir() or (folder / first_files[-1]).exists():
        _refuse_used(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(one_writer(folder))
    take_over(folder, first_files)
    _refuse_used(folder)
    return folder


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        go_on = f", or go on with that run: fittingroom train --resume {folder}" if holds_run(folder) else ""
        raise ArtifactError(
            f"{folder}: a new or empty folder expected, but something is there; give another `out`{go_on}"
        )


def _begin(folder: Path, recipe: Recipe, environment: Environment, begun: Begun | None = None) -> None:
    """As :func:`write_start`; a folder that can't be written whole is empty again, so that the next try may take it."""
    with beginning(folder, FIRST_FILES):
        if begun is not None:
            write_weights(folder, begun.weights)
            if begun.seen is not None:
                write_seen(folder, begun.seen)
        write_start(folder, recipe, environment)


def write_start(folder: Path, recipe: Recipe, environment: Environment) -> None:
    """Write what the run is to be, its code included, so that it can be resumed from its first second on."""
    keep_code(folder, code_names(recipe))
    with atomic_write(folder / "recipe.toml", follow_links=False) as file:
        file.write(recipe.to_toml().encode())
    write_environment(folder, environment)
