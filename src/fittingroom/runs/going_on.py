"""How to resume work that the system stopped: a full disk, folders that can't be written, no memory."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from fittingroom.errors import MORE_FILES, NO_ROOM, STORAGE_FULL, ArtifactError, FittingRoomError, StorageFailed
from fittingroom.runs.one_writer import gone, mark_of
from fittingroom.training.device import is_out_of_memory

OPEN_FILES = (errno.EMFILE, errno.ENFILE)


class InterruptedAtOnce(KeyboardInterrupt):
    """Work was interrupted without saving its state; the message says how to go on from the one that was saved last."""


@contextmanager
def going_on_by(folder: Path, work: str, command: Callable[[], str], *, name: str = "train") -> Iterator[None]:
    """Where the system stops the block, say so, with the command that resumes the work.

    Within another such block the outer one has the word: what was stopped is the study, not one of its trainings.

    Args:
        folder: of a run or a study.
        work: training, say, for the message.
        command: gives the line that goes on.
        name: of the command of the package by which it does.

    Raises:
        ArtifactError: the folder was removed or renamed.
        StorageFailed: a file in it can't be written, or read; or no more files may be opened.
        MemoryError: none was left.
        InterruptedAtOnce: by a second interrupt, say.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if stop.args and not isinstance(stop, InterruptedAtOnce):  # where the state was saved before
            raise
        raise InterruptedAtOnce(
            f"{folder}: the {work} was interrupted at once. What was saved before is kept. Go on by\n"
            f"  {_said(command, folder, name)}"
        ) from None
    except ArtifactError as error:
        _refuse_gone(folder, work, name, error)
        raise
    except (OSError, FittingRoomError) as error:
        cause = error.__cause__ if isinstance(error, FittingRoomError) else error
        is_limited = isinstance(cause, OSError) and cause.errno in OPEN_FILES
        if not isinstance(cause, OSError) or not (is_limited or isinstance(error, OSError | StorageFailed)):
            raise
        _refuse_gone(folder, work, name, error)

        # What is wrong elsewhere, as with the data, is no matter of this folder.
        file = cause.filename if isinstance(cause.filename, str) else None
        is_within = file is not None and Path(file).absolute().is_relative_to(folder.absolute())
        is_full = cause.errno in STORAGE_FULL
        if not is_full and not is_limited and not is_within:
            raise
        what, first = f"{file} can't be used", "Go on, once it can be,"
        if is_full:
            what = "a file could not be written"
        elif is_limited:
            what, first = "a file could not be opened", f"{MORE_FILES[0].upper()}{MORE_FILES[1:]}, then go on"
        if cause.errno in NO_ROOM:
            first = "Make room, then go on"
        raise StorageFailed(
            f"{folder}: the {work} stopped, as {what}: {cause.strerror}. What was saved before is kept. {first} by\n"
            f"  {_said(command, folder, name)}"
        ) from cause
    except (MemoryError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, MemoryError | RuntimeError) else error
        if not isinstance(cause, MemoryError) and not is_out_of_memory(cause):
            raise
        said = str(cause).partition("\n")[0] or "none was left"
        go_on = _said(command, folder, name)
        raise MemoryError(f"{said}; what was saved is kept, and with more memory {go_on} goes on") from cause


def _said(command: Callable[[], str], folder: Path, name: str) -> str:
    """The line that goes on, also where a folder can't be looked into for what it says of trust."""
    try:
        return command()
    except OSError:
        return f"fittingroom {name} --resume {quote(str(folder))}"


def _refuse_gone(folder: Path, work: str, name: str, error: Exception) -> None:
    """Raise ArtifactError where the folder isn't there any more."""
    with suppress(OSError):  # of a folder that can't be looked at, its own error says enough
        if mark_of(folder) is None:
            raise ArtifactError(gone(folder, work, name)) from error
