"""Files for a while, where the system's place for them is full, read-only or missing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fittingroom.errors import FittingRoomError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.temporary import temporary_file, temporary_folder


def test_where_no_folder_takes_a_file_it_lies_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with temporary_file() as file:
        file.write(b"kept")
        file.seek(0)
        assert file.read() == b"kept"

    with atomic_write("/dev/null") as out:  # which is written to in the end, from such a file
        out.write(b"content")


def test_where_no_folder_can_be_made_one_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with (
        pytest.raises(FittingRoomError, match=r"a folder for the folds can't be made: No such file .*: set TMPDIR to"),
        temporary_folder("the folds"),
    ):
        pass


def test_a_folder_is_gone_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder("something") as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []
