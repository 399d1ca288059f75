"""Where what may be made again is kept."""

import os
import sys
from pathlib import Path

from fittingroom.errors import FittingRoomError


def cache_dir() -> Path:
    """The folder of the cache, which need not exist.

    ``$FITTINGROOM_CACHE`` if set; else ``fittingroom`` in the system's place for caches: ``$XDG_CACHE_HOME``, where it
    is absolute, or ``~/.cache``, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.

    Raises:
        FittingRoomError: the place depends on a user without a home, or on a current directory that is gone.

    Example:
        >>> import os
        >>> from fittingroom.data import cache_dir
        >>> str(cache_dir()) == os.environ["FITTINGROOM_CACHE"]
        True
    """
    if given := os.environ.get("FITTINGROOM_CACHE"):
        try:
            return _absolute(Path(given).expanduser(), "$FITTINGROOM_CACHE", given)
        except RuntimeError:
            raise FittingRoomError(f"$FITTINGROOM_CACHE: a folder expected, {given!r} found: nobody's home") from None

    try:
        return _absolute(_of_system() / "fittingroom", "$HOME", os.environ.get("HOME", ""))
    except RuntimeError:  # neither $HOME nor the system says where a user without a name has anything
        raise FittingRoomError(
            "$FITTINGROOM_CACHE: a folder expected, as this user has no home; set it to one that you may write to"
        ) from None


def _absolute(folder: Path, variable: str, given: str) -> Path:
    """A folder by its whole path, as the current directory may be another one later, or in another process."""
    try:
        return folder.absolute()
    except FileNotFoundError:  # a path from a directory that is gone
        raise FittingRoomError(
            f"{variable}: the folder {given!r} is looked for in the current directory, which is gone: go to another one"
        ) from None


def _of_system() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")

    # By its own specification a relative path in this variable counts for nothing.
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"
