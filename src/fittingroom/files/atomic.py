"""Files and folders that appear whole or not at all, whatever is killed and when.

Both functions write under a temporary name in the same folder, sync to disk, and rename.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fittingroom.errors import STORAGE_FULL
from fittingroom.files.temporary import temporary_file

CANT_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM}
LONGEST_NAME = 255  # bytes, of nearly every file system
_OF_SYSTEM = re.compile(r"\(os error (\d+)\)")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@contextmanager
def atomic_write(path: str | Path, *, durable: bool = True, follow_links: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name, over a file that has it, when the block ends well.

    After an exception in the block the old file is still there and the new one is gone. A link stays one: the file that
    it leads to is replaced. What is no regular file, a device or a pipe, is never replaced but written to, once the
    block has ended well.

    Args:
        path: of the file.
        durable: wait until the disk has it. Else a power cut may leave it empty, which is for files of the moment.
        follow_links: False for a file of a run, whose folder may have come by mail: whatever has its name there, a link
            or a pipe, is no place to write to, and the file takes its name.

    Raises:
        OSError: the file can't be written.

    Example:
        >>> from fittingroom.files.atomic import atomic_write
        >>> with atomic_write("notes.json") as file:
        ...     file.write(b"{}")
        2
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if follow_links and _is_written_through(path):
        with temporary_file() as kept:
            yield kept
            kept.seek(0)
            with _named(path), path.open("wb") as stream:
                shutil.copyfileobj(kept, stream)
        return

    if follow_links and path.is_symlink():
        path = Path(os.path.realpath(path))  # which takes links in a circle, too
    temporary = _temporary_name(path)
    try:
        with _named(path, temporary):
            with temporary.open("xb") as file:
                try:
                    yield file
                except Exception as error:
                    if _is_without_number(error):
                        _try_to_write(file)
                    raise
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # a file system that takes nothing gives nothing up, and would hide why
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the name ``path`` when the block ends well.

    A folder that has the name already is moved aside first, then removed: what was open in it stays readable (not on
    Windows). After an exception in the block nothing has changed.

    Raises:
        OSError: the folder can't be written.
    """
    path = Path(path)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary

        # The content is on the disk before the name is: a name without content would outlive a power cut.
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync_file(Path(folder, name))
            _sync_folder(Path(folder))
        _rename_over(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(path.parent)


def make_own_folder(path: Path) -> None:
    """Make a folder, if it isn't there, in one that may have come from a stranger.

    Raises:
        OSError: it can't be made, or a link is there, which may lead anywhere.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a folder expected, a link found", str(path))
    path.mkdir(exist_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove, at any depth, the temporary files and folders that killed processes left.

    Only where no other process writes.
    """
    for path in [path for path in folder.rglob(".*.tmp") if _TEMPORARY.fullmatch(path.name)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Have an error of the system name the file that its user knows: a full disk names none, a folder the temporary."""
    try:
        yield
    except OSError as error:
        is_ours = error.filename is None and error.errno in STORAGE_FULL
        if is_ours or (temporary is not None and error.filename == str(temporary)):
            error.filename = str(path)
        raise
    except Exception as error:
        # Polars has an error of the system, such as that of a full disk, in a text of its own.
        found = _OF_SYSTEM.search(str(error)) if _is_of_polars(error) else None
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def _is_of_polars(error: Exception) -> bool:
    return type(error).__module__.startswith("polars.")


def _is_without_number(error: Exception) -> bool:
    """Whether it may be the system's, told by a library in words of its own."""
    return _is_of_polars(error) or (isinstance(error, OSError) and error.errno is None)


def _try_to_write(file: BinaryIO) -> None:
    """Have the system say that a disk is full: Polars says "transport error", NumPy "9 requested and 7 written"."""
    for _ in range(2):  # the first may still find some room
        file.write(bytes(1 << 16))
        file.flush()


def _rename_over(folder: Path, path: Path) -> None:
    while True:
        try:
            folder.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return

        # A folder can't be renamed over one that isn't empty.
        aside = _temporary_name(path)
        try:
            path.rename(aside)
        except FileNotFoundError:
            continue  # another process has just moved it aside
        shutil.rmtree(aside, ignore_errors=True)


def _is_written_through(path: Path) -> bool:
    """Whether there is something under the name that a file must not take the place of."""
    if path.parts[:2] in ((os.sep, "dev"), (os.sep, "proc")) and path.exists():
        return True  # /dev/stdout leads to whatever stdout was redirected to, which is open already
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # nothing is there yet, or what stops us from looking will stop the writing
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _temporary_name(path: Path) -> Path:
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))

    # A name may be as long as the file system permits, and what is added to it has to find room.
    name = os.fsencode(path.name)[: LONGEST_NAME - len(os.fsencode("..0123456789ab.tmp"))]
    return path.with_name(f".{name.decode(errors='ignore')}.{os.urandom(6).hex()}.tmp")


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make a rename in the folder last through a power cut; Windows can't and need not.

    Some network and FUSE file systems can't either, and a folder may be one to write to and not to look into: what was
    renamed is there all the same.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in CANT_SYNC:
            raise
