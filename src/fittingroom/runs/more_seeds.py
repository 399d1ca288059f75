"""More seeds for a run of several: which, and their record. Training them is what resuming does."""

from __future__ import annotations

from dataclasses import replace

from fittingroom.errors import ArtifactError, RecipeError
from fittingroom.runs.environment_record import Environment, write_environment
from fittingroom.runs.result_record import FILE as RESULT
from fittingroom.runs.run import Run


def refuse_more_seeds(run: Run, environment: Environment, count: int) -> None:
    """Raise where seeds can't be added: too few, a run of one seed, or one that isn't finished."""
    if count < 1:
        raise RecipeError(f"seeds to add: 1 or more expected, {count} found")

    # A run of one seed is a model whose path others may have: moved into a folder of several it would be gone.
    if environment.seeds is None:
        raise ArtifactError(
            f"{run.path}: a run of one seed is that model, and stays it. For its recipe train several: fittingroom "
            f"train {environment.data.source or 'DATA'} --recipe {run.path}/recipe.toml --seeds {count + 1}; "
            f"the one of seed {run.recipe.seed} is the same again"
        )
    if not run.is_finished:
        raise ArtifactError(f"{run.path}: its training is not finished; `fittingroom train --resume {run.path}` first")


def record_more_seeds(run: Run, environment: Environment, count: int) -> bool:
    """Add the seeds after the largest one to the run's record: from here on it is a run to be resumed.

    Returns:
        Whether the members that it has were all judged on test, so that the new ones are to be as well.
    """
    seeds = environment.seeds or ()
    first = max(seeds) + 1
    was_judged = all(member.result["test"] for member in run.members)

    # The summary goes after the record is written: a kill in between leaves a finished run, whose resume does the rest.
    write_environment(run.path, replace(environment, seeds=(*seeds, *range(first, first + count))))
    (run.path / RESULT).unlink()
    return was_judged
