"""Files and folders for a while, in the system's place for such, which may be full, read-only or missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fittingroom.errors import FittingRoomError


def temporary_file() -> BinaryIO:
    """A file without a name, to be written and read; in memory where no folder takes it."""
    import io
    from tempfile import TemporaryFile

    try:
        return cast("BinaryIO", TemporaryFile())
    except OSError:
        return io.BytesIO()


@contextmanager
def temporary_folder(what: str) -> Iterator[Path]:
    """A new folder, which is removed when the block ends.

    Args:
        what: is to lie in it, for the message.

    Raises:
        FittingRoomError: no folder can be made.
    """
    from tempfile import TemporaryDirectory

    try:
        folder = TemporaryDirectory(prefix="fittingroom-", ignore_cleanup_errors=True)
    except OSError as error:
        raise FittingRoomError(
            f"a folder for {what} can't be made: {error.strerror}: set TMPDIR to one with room that you may write to"
        ) from None
    with folder as path:
        yield Path(path)
