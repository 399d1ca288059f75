"""A study lives in any database that Optuna knows, and its password nowhere."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

import fittingroom as fr
from fittingroom.files.sqlite_url import without_password
from fittingroom.tune import Plan
from fittingroom.tune.storage import open_storage, sqlite_in
from tests.tune.conftest import SPACE, recipe


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "`storage` nonsense: a database expected"),
        ("sqlite:////nowhere/at/all.db", "it can't be opened: "),
        (
            "postgresql+psycopg2://me:secret@127.0.0.1/x",
            "`storage` postgresql+psycopg2://me:***@127.0.0.1/x: its driver",
        ),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/x",
            "postgresql+psycopg://me:***@127.0.0.1:1/x: a database expected",
        ),
    ],
)
def test_a_storage_that_does_not_open_is_one_message_without_its_password(
    url: str, message: str, data: fr.Splits
) -> None:
    with pytest.raises(fr.FittingRoomError) as failure:
        fr.tune_recipe(data, recipe(), SPACE, storage=url, out="study")
    assert message in str(failure.value)
    assert "secret" not in str(failure.value)
    assert not Path("study").exists()


def test_a_password_is_not_kept() -> None:
    assert without_password("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    for plain in ("postgresql://me@host/db", "sqlite:////tmp/a.db", "sqlite:///C:/a@b.db"):
        assert without_password(plain) == plain


def test_a_storage_of_ones_own_keeps_the_study_and_its_name_only_once(data: fr.Splits) -> None:
    url = "sqlite:///mine.db"
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=1), storage=url, out="a/study", final_seeds=0)
    assert not Path("a/study/study.db").exists()
    assert [summary.study_name for summary in optuna.get_all_study_summaries(url)] == ["study"]

    with pytest.raises(fr.ArtifactError, match="the storage has a study of this name already"):
        fr.tune_recipe(data, recipe(), SPACE, storage=url, out="b/study")
    with pytest.raises(fr.ArtifactError, match="opened only where you name it"):  # the study may be a stranger's
        fr.resume_study("a/study", data=data, trust_code=True, trials=2, final_seeds=0)
    resumed = fr.resume_study("a/study", data=data, trust_code=True, trials=2, final_seeds=0, storage=url)
    assert len(resumed.trials()) == 2


@pytest.mark.parametrize("name", ["plain", "t?x", "50%", "a#b", "100%41"])
def test_a_studys_file_lies_in_its_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()

    open_storage(sqlite_in(folder))

    assert [file.name for file in folder.iterdir()] == ["study.db"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["study", "why?"])
def test_a_study_that_was_removed_is_begun_anew_in_the_same_process(name: str, data: fr.Splits) -> None:
    """As in a notebook: the database that was opened for the first one is another file than the second one's."""
    for trials in (1, 2):
        study = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=trials), out=name, final_seeds=0)
        assert len(study.trials()) == trials
        with closing(sqlite3.connect(f"{name}/study.db")) as database:
            assert database.execute("select count(*) from trials").fetchone() == (trials,)
        shutil.rmtree(name)
