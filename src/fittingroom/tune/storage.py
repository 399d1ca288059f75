"""Optuna's storage: where a study lives, an SQLite file or any database that Optuna knows."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from fittingroom.errors import FittingRoomError
from fittingroom.files.sqlite_url import sqlite_url

DATABASE = "study.db"
"""Of a study for which no other storage was named, in its folder."""


@cache
def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna's storage at a URL, opened once in a process.

    Raises:
        FittingRoomError: its driver isn't installed, or it can't be opened; without the password.
    """
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


def without_password(url: str, mask: str = "***") -> str:
    """A storage's URL as it may be shown and kept."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", rf"\1:{mask}@", url)
