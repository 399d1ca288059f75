"""The database in a study's own folder, looked through before it is gone on with: the folder may have come by mail."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import optuna

from fittingroom.errors import ArtifactError, FittingRoomError
from fittingroom.files.records import Count, Range, brief, read_record
from fittingroom.tune.storage import DATABASE, open_storage, reason_of, sqlite_in
from fittingroom.tune.study import Study

ADVICE = "put a copy of it back, or start a new study"
PATIENCE = 60  # seconds that another process of the study may keep the file locked


class KnownTrial(TypedDict):
    """What a database may say of a trial, and no more than a page can show."""

    number: Count
    state: Literal["finished", "pruned", "diverged", "failed", "running"]
    value: float | None
    message: str
    epochs: list[Annotated[int, Range(1, 1_000_000)]]
    curve: list[float]


def with_own_database(study: Study) -> Study:
    """The study as the database in its folder knows it, by whatever name.

    Raises:
        ArtifactError: the database is gone, no file of the folder's own, or holds what no search writes.
    """
    file = study.path / DATABASE
    if file.is_symlink() or not file.is_file():
        found = "a link" if file.is_symlink() else "something else" if file.exists() else "none"
        raise ArtifactError(
            f"{file}: the study's own database expected, {found} found: put it back, or begin the study again"
        )

    # Optuna, SQLAlchemy, SQLite and the readers of JSON have errors each of their own for what they don't expect.
    try:
        _refuse_more_than_tables(file)
        names = optuna.get_all_study_names(open_storage(sqlite_in(study.path)))
        known = dataclasses.replace(study, known_as=names[0] if len(names) == 1 else None)
        _refuse_odd_trials(known, file)
        return known
    except FittingRoomError:
        raise
    except Exception as error:
        reason = reason_of(error)[:300] or type(error).__name__
        raise ArtifactError(f"{file}: the study's database can't be read: {reason}; {ADVICE}") from None


def _refuse_more_than_tables(file: Path) -> None:
    """Refuse views, triggers and virtual tables: they compute, for as long as whoever made them likes."""
    with closing(sqlite3.connect(file, timeout=PATIENCE)) as database:
        rows = database.execute("SELECT type, name, upper(coalesce(sql, '')) LIKE 'CREATE VIRTUAL%' FROM sqlite_master")
        for kind, name, is_virtual in rows:
            if kind not in ("table", "index") or is_virtual:
                raise ArtifactError(f"{file}: tables expected, a {brief(kind)} {brief(name)} found; {ADVICE}")


def _refuse_odd_trials(study: Study, file: Path) -> None:
    for place, trial in enumerate(study.as_optuna().get_trials(deepcopy=False)):
        if trial.number != place:
            raise ArtifactError(f"{file}: trial {place} expected, trial {brief(trial.number)} found; {ADVICE}")
    for known in study.trials():
        said = {name: getattr(known, name) for name in ("number", "state", "value", "message")}
        said |= {"epochs": [epoch for epoch, _ in known.curve], "curve": [value for _, value in known.curve]}
        read_record(KnownTrial, said, f"{file}: trial {known.number}", advice=ADVICE)
