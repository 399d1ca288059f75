"""What a run is to be: decided, and written into its folder, before its first step.

So it can be resumed from its first second on, in whichever process, and nothing that decides it can change unnoticed.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fittingroom.artifact.artifact import SOURCE, read_trusted_code
from fittingroom.files.atomic import atomic_write
from fittingroom.files.cache_dir import cache_dir
from fittingroom.data.dataset import Dataset, Splits
from fittingroom.data.formats.kaggle_csv import LABEL_NAMES_IN_WORDS
from fittingroom.data.open import open_dataset
from fittingroom.training.device import pick_device, resolve_precision
from fittingroom.parallel.process_group import ALONE, ProcessGroup, is_own_job, torchrun_job
from fittingroom.environment import describe_machine, git_revision, versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.files.json_file import write_json
from fittingroom.models import ModelSource, find_model, model_from_code, package_model
from fittingroom.recipes.recipe import Recipe, differences, load_recipe, parse_recipe
from fittingroom.runs.run import FORMAT, Run, command_line
from fittingroom.training.device import prepare_torch
from fittingroom.runs.recorded import identity_of, recorded_environment, refuse_changes


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out, beside its recipe. Kept in ``environment.json``; a resumed run takes them from there.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU; None for PyTorch's choice.
        keep: checkpoints that stay on disk, ≥ 1.
        deterministic: ask CUDA for the same result each time, at some cost in speed. The CPU always gives it.
        test: path of a test set that lies elsewhere.
        cache: whether data sets are read through the cache.
        xkcd: draw curves in the hand-drawn style of the tutorial notebook.
        track: trackers to tell of the run as well, see :mod:`fittingroom.runs.tracking`.

    Example:
        >>> import fittingroom as fr
        >>> fr.Options(device="cpu", threads=1).keep
        2
    """

    device: str = "auto"
    threads: int | None = None
    keep: int = 2
    deterministic: bool = False
    test: str | None = None
    cache: bool = True
    xkcd: bool = False
    track: tuple[str, ...] = ()


def start(
    data: Splits | Dataset | str | Path,
    recipe: Recipe | str | Path = "swift",
    *,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
    look_at_test: bool = False,
    source: ModelSource | None = None,
    group: ProcessGroup = ALONE,
) -> Run:
    """Write the folder of a run with all that decides what it will be.

    :func:`fittingroom.pipeline.finish` or :func:`fittingroom.resume` trains it.

    Arguments and errors are those of :func:`fittingroom.train`; ``source`` is the recipe's model where the caller has
    it already, and otherwise what the recipe names, which may be a file of the user's own that is executed. ``group``
    has the processes that will train together, each of which calls this with the same arguments.
    """
    options = options or Options()
    if options.keep < 1:
        raise RecipeError(f"keep: 1 checkpoint or more expected, {options.keep} found")
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    recipe = recipe if seed is None else dataclasses.replace(recipe, seed=seed)
    group.check_batch(recipe.batch_size)
    with group.local_main_first():
        splits = as_splits(data, options)
    source = source or find_model(recipe.model)
    prepare_torch(options.threads, options.deterministic)

    def make_folder() -> str:
        """The new folder of the run, or the one that it had before torchrun restarted it."""
        folder = _own_folder(out, recipe.name or "run")
        if folder is None:
            environment = _describe(splits, recipe, source, options, _seed_list(recipe, seeds), group)
            environment["look_at_test"] = look_at_test
            folder = new_folder(out, recipe.name or "run")
            write_start(folder, recipe, source, environment)
        return str(folder)

    run = Run(Path(group.broadcast(make_folder)), splits)
    refuse_changes(run, recorded_environment(run, group), recipe, group)
    return run












# What start() is made of.


def as_splits(data: Splits | Dataset | str | Path, options: Options) -> Splits:
    """Data in any form that :func:`fittingroom.train` takes."""
    if isinstance(data, Dataset):
        data = Splits(data)
    if isinstance(data, Splits):
        return data
    return open_dataset(data, test=options.test, cache=options.cache)


def _seed_list(recipe: Recipe, seeds: int | Sequence[int] | None) -> list[int] | None:
    if seeds is None:
        return None
    chosen = [recipe.seed + i for i in range(seeds)] if isinstance(seeds, int) else list(seeds)
    if len(set(chosen)) < max(2, len(chosen)):
        raise RecipeError(f"seeds: at least two that differ expected, {chosen} found; for a single one give --seed")
    return chosen




def _describe(
    splits: Splits, recipe: Recipe, source: ModelSource, options: Options, seeds: list[int] | None, group: ProcessGroup
) -> dict[str, Any]:
    """``environment.json``: everything beside the recipe that decides what the run will be."""
    if splits.train.labels is None:
        hint = (
            f"; a CSV has them first, or in a column called {LABEL_NAMES_IN_WORDS}" if ".csv" in splits.source else ""
        )
        raise DataError(f"{splits.train.name}: labels expected, none found: training needs them{hint}")
    if splits.validation is not None and splits.validation.labels is None:
        raise DataError(f"{splits.validation.name}: labels expected, none found: validation needs them")
    device = pick_device(options.device)
    cache = cache_dir() / "precision"
    precision = resolve_precision(
        recipe, source, splits.train.num_classes, splits.train.image_size, device, cache if options.cache else None
    )
    return {
        "format": FORMAT,
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": seeds,
        "processes": group.size,
        "torchrun": torchrun_job(),
        "precision": precision,
        "options": asdict(options),
        "data": {
            "source": splits.source,
            "train": identity_of(splits.train),
            "validation": identity_of(splits.validation),
            "test": identity_of(splits.test),
        },
        "recipe": recipe.as_dict(),
        "code_sha256": source.sha256,
        "versions": versions(),
        "machine": describe_machine(device),
        "revision": git_revision(),
    }




def _own_folder(out: str | Path | None, name: str) -> Path | None:
    """The folder of the unfinished run that this torchrun job began before it had to restart, if there is one."""
    if torchrun_job() is None:
        return None
    folders = [Path(out)] if out is not None else sorted(Path("runs").glob(f"{name}-*"))
    for run in map(Run, folders):
        begun = (run.path / "environment.json").exists() and not run.is_finished
        if begun and is_own_job(run.environment.get("torchrun")):
            return run.path
    return None


def new_folder(out: str | Path | None, name: str) -> Path:
    """A new empty folder; two processes that start at once get two."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            is_run = (folder / "environment.json").exists()
            go_on = f", or go on with that run: fittingroom train --resume {folder}" if is_run else ""
            raise ArtifactError(
                f"{folder}: a new or empty folder expected for the run, but something is there; "
                f"give another --out{go_on}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def write_start(folder: Path, recipe: Recipe, source: ModelSource, environment: dict[str, Any]) -> None:
    """Write what the run is to be, so that it can be resumed from its first second on."""
    if source.code is not None:
        with atomic_write(folder / SOURCE) as file:
            file.write(source.code.encode())
    with atomic_write(folder / "recipe.toml") as file:
        file.write(recipe.to_toml().encode())
    write_json(folder / "environment.json", environment)
