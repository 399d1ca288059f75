import re
from pathlib import Path

import pytest

from fittingroom.errors import ArtifactError
from fittingroom.files.json_file import read_json, write_json


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    value = {"format": 1, "classes": ["Größe", "T-shirt/top"], "loss": 0.1, "test": None, "inner": {"n": 3}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_a_file_is_text_that_people_can_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"format": 1, "name": "Größe"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "format": 1,\n  "name": "Größe"\n}\n'


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"format": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"format": 1, "path": object()})
    assert read_json(tmp_path / "a.json") == {"format": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "a JSON file of a run expected, but it can't be read"),
        (b"", "a JSON file of a run expected, but it can't be read"),
        (b'{"format": 1', "a JSON file of a run expected, but it can't be read"),
        (b"\xff\xfe\x00", "a JSON file of a run expected, but it can't be read"),
        (b"[1]", "an object with a format's number expected"),
        (b"{}", "an object with a format's number expected"),
        (b'{"format": 2}', "format 1 expected, 2 found: it was written by another version of fittingroom"),
        (b'{"format": "1"}', "format 1 expected, '1' found"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "result.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"^{re.escape(f'{file}: {says}')}"):
        read_json(file)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="can't be read"):
        read_json(tmp_path)


def test_each_file_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"format": 3})
    assert read_json(tmp_path / "a.json", format_number=3) == {"format": 3}
