"""``environment.json`` is read once, checked, and written back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.runs.environment_record import Environment, Options, read_environment, write_environment
from tests.support import GOLDEN, NARROW

RECORDED = sorted(GOLDEN.glob("format-1*/**/environment.json"))


PREPROCESSING = {"size": [28, 28], "channels": 1, "resize": "pad", "background": [255, 255, 255], "photo": "none"}


def plain() -> dict[str, Any]:
    """What the file of a finished run holds."""
    values: dict[str, Any] = json.loads((GOLDEN / "format-1/swift-1/environment.json").read_text(encoding="utf-8"))
    return values


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: str(file.parent.relative_to(GOLDEN)))
def test_what_older_versions_wrote_is_written_back_as_it_was(file: Path, tmp_path: Path) -> None:
    before = json.loads(file.read_text(encoding="utf-8"))

    write_environment(tmp_path, read_environment(file.parent))

    after = json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))
    assert after["data"].pop("pictures") is False
    assert after["options"].pop("skip_broken") is False
    for option in ("group", "without", "labels"):
        assert after["options"].pop(option) is None
    for part in filter(None, (after["data"][name] for name in ("train", "validation", "test"))):
        assert (part.pop("sources"), part.pop("sources_in_order")) == (None, None)
    assert (after.pop("precision_reason"), after.pop("bf16_emulated")) == ("", False)
    added: dict[str, Any] = {
        "processes": 1,
        "torchrun": None,
        "preprocessing": None,
        "code_sha256": None,
        "code": {},
        "look_at_test": False,
    }
    added |= {"cut": 1, "edits": None, "folds": None, "together": None}
    added |= {"directory": None, "start": None, "recipe_reason": ""}
    assert after == added | before
    assert [key for key in after if key in before] == list(before)


def test_the_file_of_a_new_run_is_its_record_byte_for_byte(tmp_path: Path) -> None:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    run = fr.train("sample", recipe, out=tmp_path / "run", options=Options(threads=1, keep=1))
    written = (run.path / "environment.json").read_bytes()

    write_environment(tmp_path, run.environment)

    assert (tmp_path / "environment.json").read_bytes() == written
    assert list(json.loads(written)) == [
        *("format", "command", "directory", "started", "seeds", "processes", "torchrun", "precision"),
        *("precision_reason", "bf16_emulated", "options", "data"),
        *("preprocessing", "cut", "edits", "folds", "together", "start", "recipe", "recipe_reason"),
        *("code_sha256", "code", "versions", "machine", "revision", "look_at_test"),
    ]


def test_the_record_of_kept_code_is_written_back_as_it_was() -> None:
    code = {"net.py": {"main": "net.py", "files": {"parts/block.py": "ab" * 32, "net.py": "cd" * 32}}}
    written = Environment.from_dict(plain() | {"code": code}).as_dict()["code"]
    assert json.dumps(written) == json.dumps(code)  # in its order too


def test_what_the_first_runs_lack_has_a_default() -> None:
    environment = Environment.from_dict(plain())
    assert (environment.processes, environment.torchrun) == (1, None)
    assert (environment.code_sha256, environment.look_at_test) == (None, False)
    assert (environment.preprocessing, environment.data.pictures) == (None, False)


def test_it_answers_as_the_dict_that_it_was_and_says_what_to_write_instead() -> None:
    environment = Environment.from_dict(plain())
    with pytest.warns(DeprecationWarning, match=r"environment.machine$"):
        assert environment["machine"]["threads"] == environment.machine.threads


def test_keys_of_a_later_version_are_ignored() -> None:
    assert Environment.from_dict(plain() | {"later": 2}) == Environment.from_dict(plain())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": None}, "options: an object expected, None found"),
        ({"options": plain()["options"] | {"keep": "two"}}, "options.keep: a whole number expected, 'two' found"),
        ({"options": plain()["options"] | {"keep": True}}, "options.keep: a whole number expected, True found"),
        ({"options": plain()["options"] | {"track": [1]}}, "options.track.0: text expected, 1 found"),
        ({"data": {"source": "sample"}}, "data.train expected, it is missing"),
        ({"data": plain()["data"] | {"test": {"n": 1000}}}, "data.test.name expected, it is missing"),
        ({"seeds": [0, 0]}, "seeds: numbers that differ expected, [0, 0] found"),
        ({"seeds": []}, "seeds: numbers that differ expected, [] found"),
        ({"recipe": {"stages": 3}}, "recipe.stages: a list of stages expected, 3 found"),
        ({"seeds": 2}, "seeds: a list expected, 2 found"),
        ({"recipe": "swift"}, "recipe: an object expected, 'swift' found"),
        ({"versions": {"torch": 2}}, "versions.torch: text expected, 2 found"),
        ({"machine": plain()["machine"] | {"threads": 0}}, "machine.threads: 1 to 4,096 expected, 0 found"),
        ({"precision": "float8"}, "precision: float32 or bf16 expected, 'float8' found"),
        (
            {"preprocessing": PREPROCESSING | {"photo": None}},
            "preprocessing: size, channels and photo expected, one of them is null",
        ),
        ({"look_at_test": "yes"}, "look_at_test: true or false expected, 'yes' found"),
    ],
    ids=str,
)
def test_nonsense_is_one_message_that_names_file_and_key(
    change: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run" / "environment.json"
    file.parent.mkdir()
    file.write_text(json.dumps(plain() | change), encoding="utf-8")

    assert main(["train", "--resume", str(file.parent)]) == 2

    printed = capsys.readouterr().err
    assert f"{file}: {says}; the file was damaged or changed" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("content", ["", "[]", "null", '{"format": 1, ', '{"format": 2}', "{}", "[" * 100_000])
def test_a_file_that_is_none_of_ours_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(content, encoding="utf-8")
    with pytest.raises(fr.ArtifactError, match=r"environment\.json: "):
        read_environment(tmp_path)
