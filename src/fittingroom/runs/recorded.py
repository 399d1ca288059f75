"""What a resumed run must agree with: the recipe, the data and the code that it was started with."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fittingroom.data.splits import Splits
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError
from fittingroom.files.json_file import read_json
from fittingroom.own_code.kept import SOURCE, read_kept_source
from fittingroom.own_code.name import OwnCode
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.recipes.changes import differences
from fittingroom.recipes.own_names import read_kept, with_kept_code
from fittingroom.recipes.reading import parse_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs import environment_record
from fittingroom.runs.environment_record import DataIdentity, Environment, holds_run
from fittingroom.runs.run import Run
from fittingroom.runs.starting_point import read_weights, start_weights
from fittingroom.training.start_weights import StartWeights


def refuse_changes(run: Run, environment: Environment, recipe: Recipe, group: ProcessGroup) -> None:
    """Hold every process, and whoever resumes a run, to the recipe and the data that it was started with."""
    if changes := differences(environment.recipe, recipe.as_dict()):
        raise ArtifactError(
            f"{run.path / 'recipe.toml'}: a run goes on only with the recipe that it was started with; these keys "
            "were changed:\n  " + "\n  ".join(changes) + "\nput them back, or start a new run with that recipe"
        )
    refuse_other_data(run.path, run.open_data(), environment)

    # Another number of processes still trains, only not to the same bits.
    before = environment.processes
    if group.is_main and before != group.size:
        warnings.warn(
            f"{run.path}: its number of processes was {before} and is now {group.size}: sums are rounded otherwise, "
            "batch norm sees parts of another size, and dropout draws anew",
            stacklevel=3,
        )


def refuse_other_data(path: Path, splits: Splits, environment: Environment) -> None:
    """Raise DataError where a run's data is not what it was started with, such as on another host.

    Pictures whose files are the same go on, and other pixels are warned of: another version of the decoder made them.
    """
    recorded = environment.data
    for split, before, part in (
        ("train", recorded.train, splits.train),
        ("validation", recorded.validation, splits.validation),
    ):
        now = None if part is None else DataIdentity.of(part)
        if before is None and now is None:
            continue

        if before is None or now is None or not now.is_same_data(before):
            raise DataError(
                f"{path}: a run goes on only on the data that it was started with; its {split} set was "
                f"{before and before.order[:16]} and is now {now and now.order[:16]} (fingerprints in file order)"
            )

        if before.order != now.order:
            then, installed = environment.versions.get("pillow", "another"), versions().get("pillow", "another")
            warnings.warn(
                f"{now.name}: the files are those that the run was started with, the pixels are not: decoded by "
                f"another version of Pillow ({then} then, {installed} now), so the result won't be the same to the bit",
                stacklevel=3,
            )


def recorded_environment(run: Run, group: ProcessGroup) -> Environment:
    """``environment.json``, which the main process alone reads: other hosts need not see the folder."""
    file = run.path / environment_record.FILE
    values = group.broadcast(lambda: read_json(file, format_number=environment_record.FORMAT))
    return Environment.from_dict(values, str(file))


def recorded_recipe(run: Run, group: ProcessGroup) -> Recipe:
    """``recipe.toml``, in the same way."""
    return parse_recipe(group.broadcast(lambda: run.recipe.to_toml()))


def recorded_start(run: Run, environment: Environment, group: ProcessGroup) -> StartWeights | None:
    """The weights that the run starts from, by its own copy, which the main process alone reads; None for new ones.

    Raises:
        ArtifactError: the copy is missing, or was changed since the run was started.
    """
    if (point := environment.start) is None:
        return None
    weights = group.broadcast_bytes(lambda: read_weights(run.path, point))
    return start_weights(weights, point)


def recorded_code(run: Run, recipe: Recipe, group: ProcessGroup, *, trust_code: bool) -> Recipe:
    """The run's recipe with the code of its author's own that it names: the run's own copy, which is then executed.

    Never a file that the recipe names: a run's folder may come from a stranger. The main process alone reads it.

    Raises:
        ArtifactError: code that isn't trusted, or was changed since the run was started.
        RecipeError: the recipe names code that the folder doesn't keep.
    """

    def read() -> dict[str, dict[str, Any]]:
        environment = run.environment
        codes = read_kept(run.path, environment.code, trusted=trust_code)
        if not codes and (run.path / SOURCE).exists():  # of 0.1
            source = read_kept_source(run.path, environment.code_sha256, "model", trusted=trust_code)
            codes = {recipe.model: source}
        return {name: asdict(code) for name, code in codes.items()}

    codes = {name: OwnCode(**code) for name, code in group.broadcast(read).items()}
    return with_kept_code(recipe, codes, run.path)


def code_files(run: Run) -> list[Path]:
    """The files that resuming a run, or one of its seeds, executes."""
    files = []
    for each in [run, *run.members]:
        files += [each.path / SOURCE] if (each.path / SOURCE).exists() else []
        if holds_run(each.path):
            files += [each.path / kept.folder / kept.main for kept in each.environment.code.values()]
    return files
