"""A folder that is read file by file, and may be replaced meanwhile: what is said of it is of one state, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fittingroom.errors import ArtifactError

WRITTEN_ONCE = ("config.json", "environment.json", "metrics.jsonl", "model.safetensors", "recipe.toml")
"""The files of a finished run that nothing writes again: judging it, its report and its exports leave them alone."""

Mark = tuple[int, int, int, int]


@contextmanager
def in_one_state(*runs: Path) -> Iterator[None]:
    """Read finished runs within this block; what is made of them counts only if none was replaced before its end.

    A run is a dozen files, each of which is opened by its name when it is needed. Where another run takes the name
    amid that, as by ``rm`` and ``cp``, figures of the one would stand beside those of the other.

    Raises:
        ArtifactError: one of them was replaced, written anew or removed meanwhile.
    """
    before = [_marks(run) for run in runs]
    try:
        yield
    except Exception as error:  # which may be of two runs that don't go together
        _refuse_changed(runs, before, error)
        raise
    _refuse_changed(runs, before)


def _refuse_changed(runs: Sequence[Path], before: Sequence[list[Mark | None]], cause: Exception | None = None) -> None:
    for run, marks in zip(runs, before, strict=True):
        if _marks(run) != marks:
            raise ArtifactError(f"{run}: removed, replaced or written anew while it was read: ask again") from cause


def _marks(run: Path) -> list[Mark | None]:
    """What tells the files from others that have their names; None for one that isn't there."""
    return [_mark(run / name) for name in WRITTEN_ONCE]


def _mark(file: Path) -> Mark | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
