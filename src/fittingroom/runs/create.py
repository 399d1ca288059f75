"""What a run is to be: decided, and written into its folder, before its first step.

So it can be resumed from its first second on, in whichever process, and nothing that decides it can change unnoticed.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from fittingroom.data.cut import has_class_to_share
from fittingroom.data.dataset import Dataset
from fittingroom.data.edits import Edits, edited
from fittingroom.data.formats.columns import LABEL_NAMES_IN_WORDS
from fittingroom.data.splits import Splits
from fittingroom.environment import describe_machine, git_revision, versions, warn_of_many_threads
from fittingroom.errors import DataError, RecipeError
from fittingroom.events import NO_HOOKS, Hooks, Working
from fittingroom.files.atomic import atomic_write
from fittingroom.files.names import refuse_undecodable
from fittingroom.models import MODELS, ModelSource, build_model, find_model
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
from fittingroom.runs.new_folder import as_given, claimed_folder
from fittingroom.runs.one_writer import beginning, one_writer
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
from fittingroom.training.precision import resolve_precision
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

    # What depends on the number of images is settled here, once, for every process and every resume.
    images = learned_from_count(splits, recipe)
    plan = _Plan(
        asked=recipe,
        recipe=settled(recipe, images, splits.train.image_size),
        source=source,
        opened=opened,
        splits=splits,
        edits=edits,
        images=images,
        options=options,
        seeds=seeds,
        folds=folds,
        origin=origin,
        look_at_test=look_at_test,
    )
    group.check_batch(plan.recipe.images_a_step)
    if group.is_main:
        refuse_unusable(options.track)

    # Before the machine is described, with its number of threads.
    warn_of_many_threads(options.threads)
    prepare_torch(options.threads, options.deterministic)
    _try_network(plan)
    try_own_code(plan.recipe, splits.train, images, torch.device(pick_device(options.device)))

    # The main process decides for all; where the others' hosts have other data, they refuse.
    with ExitStack() if held is None else nullcontext(held) as holding:
        run = Run(Path(group.broadcast(partial(_folder_of, plan, out, group, hooks, holding))), splits)
    environment = recorded_environment(run, group)
    refuse_changes(run, environment, as_resolved(plan.recipe, environment), group)
    return run


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a run is asked to be.

    Attributes:
        asked: the recipe before it was settled for the data.
        recipe: settled, but for the precision.
        source: the recipe's model.
        opened: the data before the edits.
        splits: the data.
        edits: what was changed in it; None for nothing.
        images: that are learned from.
        options: of how it is carried out.
        seeds: of its members, or how many there are to be; None for a run of one seed.
        folds: of a cross-validation; None without one.
        origin: where its first weights come from; None for new ones.
        look_at_test: whether it is to be judged on the test set.
    """

    asked: Recipe
    recipe: Recipe
    source: ModelSource
    opened: Splits
    splits: Splits
    edits: Edits | None
    images: int
    options: Options
    seeds: int | Sequence[int] | None
    folds: int | None
    origin: Origin | WeightsOrigin | None
    look_at_test: bool


def _folder_of(plan: _Plan, out: str | Path | None, group: ProcessGroup, hooks: Hooks, holding: ExitStack) -> str:
    """The new folder of the run, or the one that it had before torchrun restarted it."""
    name = plan.recipe.name or "run"
    folder = _own_folder(out, name)
    if folder is None:
        hooks.observe(Working(what="checking which images belong together"))

        # Everything that may be wrong with it is found before there is a folder.
        recipe, environment, begun = _described(plan, group)
        folder = claimed_folder(out, name, holding, FIRST_FILES)
        _begin(folder, recipe, environment, begun)
    holding.enter_context(one_writer(folder))
    return str(folder)


def _described(plan: _Plan, group: ProcessGroup) -> tuple[Recipe, Environment, Begun | None]:
    """The run's recipe, everything beside it that decides what the run will be, and the weights that it starts from.

    Raises:
        DataError: data without labels, or too few images for the folds.
        RecipeError, ArtifactError: seeds that are none, or weights that don't fit.
    """
    splits, options, seeds = plan.splits, plan.options, _seed_list(plan.recipe, plan.seeds)
    _refuse_unlabelled(splits)
    train, device = splits.train, pick_device(options.device)
    precision = resolve_precision(
        plan.recipe, plan.source, train.num_classes, train.image_size, device, channels=train.channels
    )
    recipe = dataclasses.replace(plan.recipe, precision=cast("Precision", precision.name))
    together = decide_cut(
        splits, plan.recipe, cache=options.cache, opened=plan.opened.train, edits=plan.edits, folds=plan.folds
    )

    environment = Environment(
        command=command_line(),
        directory=str(Path.cwd()),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seeds=seeds,
        processes=group.size,
        torchrun=torchrun_job(),
        precision=recipe.precision,
        precision_reason=precision.reason,
        bf16_emulated=precision.emulated,
        options=options,
        data=RecordedData.of(splits),
        edits=plan.edits,
        folds=plan.folds,
        preprocessing=resolve_preprocessing(splits, recipe),
        cut=CUT,
        together=together,
        look_at_test=plan.look_at_test,
        recipe=recipe.as_dict(),
        code_sha256=plan.source.sha256,
        code=kept_codes(code_names(recipe)),
        versions=versions(*(["timm"] if is_timm(recipe.model) else [])),
        machine=describe_machine(device),
        revision=git_revision(),
    )

    environment = dataclasses.replace(environment, recipe_reason=_reason(plan, environment))

    if plan.folds is not None:
        fold_numbers(train, plan.folds, recipe.split_seed, bundles_of(environment, splits))
    if plan.origin is None:
        return recipe, environment, None
    if plan.folds is None:
        environment = plan.origin.cut_on(splits, environment)
    begun = begin_from(plan.origin, splits, recipe, plan.source, environment)
    return recipe, dataclasses.replace(environment, start=begun.point), begun


def _reason(plan: _Plan, environment: Environment) -> str:
    """What the number of images made of the recipe, and of the cut that it asks for; "" for nothing."""
    together = environment.together
    if plan.folds is not None or together is None:
        is_tied = False
    elif has_class_to_share(plan.splits.train, bundles_of(environment, plan.splits)):
        is_tied = bool(together.in_words)  # the cut may hold out a few more or less than was asked for
    else:  # nothing is held out, whatever the recipe asks for
        return said_of(plan.asked, plan.recipe, len(plan.splits.train))

    reasons = said_of(plan.asked, plan.recipe, plan.images, about=is_tied), said_of_cut(plan.splits, plan.recipe)
    return "; ".join(filter(None, reasons))


def _try_network(plan: _Plan) -> None:
    """Build a network of the package once, so that images or arguments that it doesn't take leave no folder behind."""
    if plan.recipe.model not in MODELS:
        return
    train = plan.splits.train
    with torch.random.fork_rng(devices=[]):
        build_model(
            plan.source,
            num_classes=train.num_classes,
            image_size=train.image_size,
            channels=train.channels,
            model_args=plan.recipe.model_args,
        )


def start_anew(data: Splits, recipe: Recipe, out: Path, **how: Any) -> Run:
    """:func:`start` in a study's folder that has no run, but perhaps the leftovers of a process that died early."""
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


def _begin(folder: Path, recipe: Recipe, environment: Environment, begun: Begun | None = None) -> None:
    """Do :func:`write_start`; a folder that can't be written whole is empty again, so that the next try may take it."""
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
