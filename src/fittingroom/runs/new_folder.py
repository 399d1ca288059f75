"""A folder that a new run or study makes its own: named, claimed, and empty but for what a killed writer left."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from fittingroom.errors import ArtifactError
from fittingroom.runs.environment_record import holds_run
from fittingroom.runs.one_writer import one_writer, take_over


def claimed_folder(out: str | Path | None, name: str, held: ExitStack, first_files: Sequence[str]) -> Path:
    """A new empty folder, held; or ``out`` as a writer left it that was killed before it could be resumed.

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


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        go_on = f", or go on with that run: fittingroom train --resume {folder}" if holds_run(folder) else ""
        raise ArtifactError(
            f"{folder}: a new or empty folder expected, but something is there; give another `out`{go_on}"
        )
