"""A name that isn't UTF-8 is refused at once, not after the work that would end by writing it down."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main

BAD = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "words",
    [("sample", "--out", BAD), ("--resume", BAD), ("--add-seeds", "2", BAD)],
)
def test_train_refuses_a_folder_of_such_a_name_in_one_message_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["train", *words]) == 2

    expected = r"fittingroom: 'caf\xe9': a name in UTF-8 expected, its bytes are not; rename it"
    assert capsys.readouterr().err.strip() == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are UTF-8")
def test_the_library_refuses_it_as_a_runs_folder_and_as_where_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / BAD
    bad.mkdir()
    with pytest.raises(fr.FittingRoomError, match=r"caf\\xe9/run': a name in UTF-8 expected"):
        fr.train("sample", out=bad / "run")
    monkeypatch.chdir(bad)
    with pytest.raises(fr.FittingRoomError, match=r"caf\\xe9.*': a name in UTF-8 expected"):
        fr.train("sample")
    assert list(bad.iterdir()) == []
