"""Optuna's storage: where a study lives, an SQLite file or any database that Optuna knows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import optuna
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fittingroom.errors import FittingRoomError
from fittingroom.files.sqlite_url import sqlite_url, without_password

DATABASE = "study.db"
"""The storage of a study for which no other was named, in its folder."""


_OPENED: dict[str, tuple[tuple[int, int] | None, optuna.storages.RDBStorage]] = {}


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna's storage at a URL, opened once in a process, and again where another file has taken its place.

    Raises:
        FittingRoomError: its driver isn't installed, or it can't be opened; without the password.
    """
    file, opened = _file_at(url), _OPENED.get(url)
    if opened is not None and opened[0] == file:
        return opened[1]
    storage = _connected(url)
    _OPENED[url] = (_file_at(url), storage)
    if opened is not None:
        opened[1].engine.dispose()  # not before, so that the new file has another inode than the old one
    return storage


def close_storages() -> None:
    """Close all that this process has opened."""
    for _, storage in _OPENED.values():
        storage.engine.dispose()
    _OPENED.clear()


def _file_at(url: str) -> tuple[int, int] | None:
    """Which file an SQLite URL leads to now; None for a server, and where there is none yet."""
    if not url.startswith("sqlite"):
        return None
    try:
        name = (make_url(url).database or "").removeprefix("file:")
        stat = Path(unquote(name) if "uri" in make_url(url).query else name).stat()
    except (ArgumentError, OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def _connected(url: str) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shown = without_password(url)

    # An SQLite file may be locked by another process of the study for a while: it is waited for.
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=patience)
    except (ImportError, ModuleNotFoundError) as error:
        raise FittingRoomError(
            f"`storage` {shown}: its driver is not installed: {error}; for PostgreSQL: pip install 'psycopg[binary]', "
            "and postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    except (SQLAlchemyError, ValueError) as error:
        reason = reason_of(error)
        raise FittingRoomError(
            f"`storage` {shown}: a database expected, such as sqlite:///study.db or "
            f"postgresql+psycopg://USER@HOST/DATABASE, but it can't be opened: {reason}"
        ) from None


def reason_of(error: BaseException) -> str:
    """What a database said, in one line and without its password; Optuna has it behind words of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return without_password(str(error).strip().partition("\n")[0])


def sqlite_in(folder: Path) -> str:
    """The URL of a study's own file."""
    return sqlite_url(folder / DATABASE)
