"""What a process of tests trains once, and copies for whoever asks for the same again."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path

_made: dict[Hashable, Path] = {}


def once(key: Hashable, make: Callable[[Path], object], into: Path) -> None:
    """Have in ``into`` what ``make`` writes into a new folder, made only when ``key`` is first asked for."""
    if key not in _made:
        parent = Path(tempfile.mkdtemp(prefix="fittingroom-tests-"))
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
        make(parent / "made")
        _made[key] = parent / "made"
    shutil.copytree(_made[key], into, dirs_exist_ok=True)
