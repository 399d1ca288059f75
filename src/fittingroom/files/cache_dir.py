"""Where what may be made again is kept."""

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The folder of the cache, which need not exist.

    ``$FITTINGROOM_CACHE`` if set; else ``fittingroom`` in the system's place for caches: ``$XDG_CACHE_HOME`` or
    ``~/.cache``, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.

    Example:
        >>> import os
        >>> from fittingroom.data import cache_dir
        >>> str(cache_dir()) == os.environ["FITTINGROOM_CACHE"]
        True
    """
    if given := os.environ.get("FITTINGROOM_CACHE"):
        return Path(given).expanduser().absolute()

    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fittingroom"
