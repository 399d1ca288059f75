"""The data of a run: as whoever trains it gives it, and opened again by what the run's record names."""

from __future__ import annotations

from pathlib import Path

from fittingroom.data.dataset import Dataset
from fittingroom.data.edits import apply_edits
from fittingroom.data.fetch.known_sets import KNOWN
from fittingroom.data.groups import with_groups
from fittingroom.data.open import open_dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.events import NO_HOOKS, Hooks, Working
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.environment_record import Environment, Options
from fittingroom.runs.preprocessing import prepared, preprocessing_of


def as_splits(
    data: Splits | Dataset | str | Path, options: Options, wanted: Preprocessing, hooks: Hooks = NO_HOOKS
) -> Splits:
    """Data in any form that :func:`fittingroom.train` takes, with pictures prepared as ``wanted`` says.

    Open data whose images have groups keep these; others get those that the options ask for. ``hooks`` are told what is
    read.
    """
    if isinstance(data, Dataset):
        data = Splits(data)
    if isinstance(data, Splits):
        if options.group is not None and data.train.groups is None:
            is_path = bool(data.source) and data.source not in KNOWN
            data = with_groups(data, options.group, Path(data.source).expanduser() if is_path else None)
        return prepared(data, wanted)

    def report(what: str, done: int = 0, total: int | None = None) -> None:
        hooks.observe(Working(what=what, done=done, total=total or 0))

    report("reading the data")
    return open_dataset(
        data,
        test=options.test,
        cache=options.cache,
        preprocessing=wanted,
        skip_broken=options.skip_broken,
        group=options.group,
        progress=lambda what, done, total: report(f"fetching {what}", done, total),
        decoding=report,
    )


def given_again(data: Splits | Dataset, environment: Environment, recipe: Recipe) -> Splits:
    """The data of a run that was started before, as it is given again: prepared, grouped and edited as it was then.

    Args:
        data: as it was opened or made.
        environment: the run's record.
        recipe: the run's, which says how pictures are prepared where the record, of 0.1, doesn't.
    """
    options = Options(group=environment.options.group)
    opened = as_splits(data, options, environment.preprocessing or preprocessing_of(recipe))
    return apply_edits(opened, environment.edits)


def open_recorded_data(path: Path, environment: Environment) -> Splits:
    """The data that the ``environment`` of the run at ``path`` names. Raises :class:`DataError`."""
    source, options = environment.data.source, environment.options
    if not source:
        raise DataError(f"{path}: its data was given in memory; give it again")
    try:
        opened = open_dataset(
            from_its_directory(source, environment),
            test=options.test and from_its_directory(options.test, environment),
            cache=options.cache,
            preprocessing=environment.preprocessing,
            skip_broken=options.skip_broken,
            group=options.group,
        )
        return apply_edits(opened, environment.edits)
    except DataError as error:
        # Where it was started is all that tells where a relative path leads.
        relative = [given for given in (source, options.test) if given and given not in KNOWN and _is_relative(given)]
        if not relative or environment.directory == str(Path.cwd()):
            raise
        started = environment.directory or "the directory where it was started"
        raise DataError(
            f"{error}\nthe run's data is {' and '.join(relative)}, relative to {started}: give the command there, or "
            "put the data back"
        ) from error


def from_its_directory(given: str, environment: Environment) -> str:
    """A path that the run was given, from wherever it is opened; where it was started goes before where we are."""
    directory = environment.directory
    if given in KNOWN or directory is None or directory == str(Path.cwd()) or not _is_relative(given):
        return given
    there = Path(directory, given)
    return str(there) if there.exists() else given


def _is_relative(given: str) -> bool:
    return not Path(given).expanduser().is_absolute()
