"""A run has one writer: whoever trains it holds its folder, until the block ends or the process dies.

And a folder whose writer died before its record was whole, which nothing can go on with, is known as such: the same
command takes it over. That holds for a run, whose record is ``environment.json``, and for a study's ``study.json``.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import remove_leftovers
from fittingroom.files.lock import exclusive_folder
from fittingroom.runs.environment_record import FILE

BEGUN = ".begun"
"""An empty file that is there while the first files of a run or a study are written."""

BEGIN_AGAIN = (
    "this one has nothing to go on from, as where one was stopped before its first file was whole: start it again by "
    "the same command, with this folder as `out`"
)

PATIENCE = 5.0  # seconds until a process that was killed has let go

_held: set[tuple[int, int]] = set()  # (device, inode) of the folders that this process holds


class AnotherWriter(ArtifactError):
    """Another process writes into the folder of a run or a study."""


@contextmanager
def one_writer(folder: Path, work: str = "training this run") -> Iterator[None]:
    """Hold a run's folder for the length of the block. A block within it, for the same folder, changes nothing.

    Args:
        folder: of the run, or of a study.
        work: what another process that holds it is doing, for the message.

    Raises:
        AnotherWriter: another process trains this run.
    """
    # By its inode: the same folder may be named by several paths.
    status = folder.stat()
    key = status.st_dev, status.st_ino
    if key in _held:
        yield
        return

    with exclusive_folder(folder, PATIENCE) as is_held:
        if not is_held:
            raise AnotherWriter(f"{folder}: another process is {work} now: wait until it has ended, or stop it first")
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)


class Place:
    """The folder of a run that this process trains, as it was when that began.

    Args:
        folder: with its record.
    """

    def __init__(self, folder: Path):
        self.folder, self.mark, self.record = folder, mark_of(folder), _record(folder)

    def refuse_another(self) -> None:
        """Raise ArtifactError where another folder is there by now, such as that of a training begun anew, or none."""
        if mark_of(self.folder) == self.mark:
            return
        if self.record is None or _record(self.folder) != self.record:  # some file systems count their folders anew
            raise ArtifactError(gone(self.folder, "training", "train"))


def gone(folder: Path, work: str, name: str) -> str:
    """What is said where the folder of some work isn't there any more; ``name`` is the command that goes on with it."""
    another = "" if mark_of(folder) is None else ", and another one is there now"
    return (
        f"{folder}: the {work} stopped, as this folder was removed or renamed meanwhile{another}; a renamed one goes "
        f"on by `fittingroom {name} --resume` and its new name, one that was removed begins again by the same command"
    )


def mark_of(folder: Path) -> tuple[int, int] | None:
    """Which folder it is; None where there is none."""
    try:
        status = folder.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return None
    return status.st_dev, status.st_ino


def _record(folder: Path) -> bytes | None:
    try:
        return (folder / FILE).read_bytes()
    except OSError:
        return None


@contextmanager
def beginning(folder: Path, first_files: Sequence[str]) -> Iterator[None]:
    """Write the first files of a run or a study in the block: all of them, or none that hinders the next try.

    Args:
        folder: that this process holds.
        first_files: their names; the last of them is the record, by which it is resumed.
    """
    (folder / BEGUN).touch()
    try:
        yield
    except BaseException:
        for name in first_files:
            _remove(folder / name)
        raise
    finally:
        (folder / BEGUN).unlink(missing_ok=True)


def take_over(folder: Path, first_files: Sequence[str]) -> None:
    """Empty a folder, which this process holds, of what a writer left that was killed before these files were whole."""
    if not _is_unbegun(folder, first_files[-1]):
        return
    for name in first_files:
        _remove(folder / name)
    clear_away(folder)


def clear_away(folder: Path) -> None:
    """Remove what killed writers left in a folder that this process holds. Raises OSError where it can't be written."""
    remove_leftovers(folder)
    (folder / BEGUN).unlink(missing_ok=True)  # one that was killed right after the record was whole


def refuse_unbegun(folder: Path) -> None:
    """Raise ArtifactError where a run was killed before it could be resumed, or there is none, with what to do."""
    if not folder.exists():
        raise ArtifactError(
            f"{folder}: a run's folder expected, nothing found there; `fittingroom runs` lists those you have"
        )
    if was_stopped_at_once(folder, FILE):
        raise ArtifactError(f"{folder}: a run's folder expected; {BEGIN_AGAIN}")


def was_stopped_at_once(folder: Path, record: str) -> bool:
    """Whether nothing but the beginning of a run or a study is there, without its record."""
    return folder.is_dir() and (_is_unbegun(folder, record) or not any(folder.iterdir()))


def _is_unbegun(folder: Path, record: str) -> bool:
    return (folder / BEGUN).exists() and not (folder / record).exists()


def _remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
