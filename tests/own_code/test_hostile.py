"""A folder that came by mail executes no code of any kind, wherever it lies and whatever names it, unless trusted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.own_code.kept import KeptCode

HOSTILE = 'from pathlib import Path\n\nPath("executed").touch()\n\n\ndef own(*anything):\n    raise SystemExit\n'
NAMES: dict[str, Callable[[fr.Recipe, str], fr.Recipe]] = {
    "model": lambda recipe, name: dataclasses.replace(recipe, model=name, model_args={}),
    "loss": lambda recipe, name: dataclasses.replace(recipe, loss=name),
    "augmentation": lambda recipe, name: dataclasses.replace(recipe, augmentation=name),
    "optimizer": lambda recipe, name: dataclasses.replace(recipe, optimizer=name),
    "schedule": lambda recipe, name: dataclasses.replace(
        recipe, stages=tuple(dataclasses.replace(stage, schedule=name, warmup=0) for stage in recipe.stages)
    ),
}
PLACES = ("hostile.py:own", "hostile:own", "mailed/code/x/hostile.py:own")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the package, as its author made it."""
    run = tmp_path_factory.mktemp("author") / "run"
    overrides = ["model=tutorial", "stages.0.epochs=1", "min_steps=0", "precision=float32", "batch_size=256"]
    fr.train("sample", fr.load_recipe("plain", overrides=overrides), out=run, options=fr.Options(threads=1))
    return run


@pytest.fixture
def mailed(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "mailed")
    Path("hostile.py").write_text(HOSTILE)
    Path("mailed/code/x").mkdir(parents=True)
    Path("mailed/code/x/hostile.py").write_text(HOSTILE)
    return Path("mailed")


def name_code(run: Path, kind: str, name: str, *, kept: bool) -> None:
    """Let the run's files name code, and perhaps keep it, as a run of such code would."""
    recipe = NAMES[kind](fr.open_run(run).recipe, name)
    (run / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8")) | {"recipe": recipe.as_dict()}
    if kept:
        record = KeptCode("hostile.py", {"hostile.py": hashlib.sha256(HOSTILE.encode()).hexdigest()})
        file = run / record.folder / "hostile.py"
        file.parent.mkdir(parents=True)
        file.write_text(HOSTILE)
        environment["code"] = {name: dataclasses.asdict(record)}
    (run / "environment.json").write_text(json.dumps(environment), encoding="utf-8")


def commands(run: Path) -> list[list[str]]:
    return [
        ["verify", f"{run}"],
        ["train", "--resume", f"{run}", "--quiet"],
        ["train", "sample", "--recipe", f"{run}/recipe.toml", "--quiet", "--no-test", "--out", "mine"],
        ["train", "sample", "--from", f"{run}", "--quiet", "--no-test", "--out", "mine"],
        ["data", "check", "sample", "--labels", "--recipe", f"{run}/recipe.toml"],
        ["data", "show", "sample", "--augment", f"{run}/recipe.toml", "--sheet", "seen.png"],
        ["try", "sample", "--recipe", f"{run}/recipe.toml", "--set", "mirror=random"],
        ["report", f"{run}"],
        ["evaluate", f"{run}", "sample"],
        ["runs"],
    ]


@pytest.mark.parametrize("kept", [False, True], ids=["named", "kept"])
@pytest.mark.parametrize("kind", NAMES)
def test_no_command_executes_it(kind: str, kept: bool, mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_code(mailed, kind, PLACES[0], kept=kept)
    for command in commands(mailed):
        if command[0] == "train":
            (mailed / "result.json").rename("result.json")
        code = main(command)
        assert not Path("executed").exists(), command
        assert "Traceback" not in capsys.readouterr().err, command
        # of a model, config.json says which network the weights are of, and it says one of the package
        if "--from" in command and kind == "model":
            shutil.rmtree("mine", ignore_errors=True)
        elif command[0] in ("verify", "train", "try") or "--labels" in command:
            assert code == 2, command
        if command[0] == "train":
            Path("result.json").rename(mailed / "result.json")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NAMES)
def test_trust_is_for_what_the_run_keeps_and_not_for_what_it_names(kind: str, place: str, mailed: Path) -> None:
    name_code(mailed, kind, place, kept=False)
    (mailed / "result.json").unlink()
    with pytest.raises(fr.FittingRoomError, match=r"one of this package's \w+ expected in a file of a run"):
        fr.resume(mailed, trust_code=True)
    with pytest.raises(fr.FittingRoomError):
        fr.train("sample", fr.open_run(mailed).recipe, out="mine")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "path", ["../../hostile.py", "/tmp/hostile.py", "a/../../hostile.py", "hostile.txt", "C:\\x.py", ""]
)
def test_a_kept_file_lies_in_the_run(path: str, mailed: Path) -> None:
    name_code(mailed, "loss", "hostile.py:own", kept=True)
    environment = json.loads((mailed / "environment.json").read_text(encoding="utf-8"))
    environment["code"]["hostile.py:own"] = {"main": path, "files": {path: "0" * 64}}
    (mailed / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    with pytest.raises(fr.ArtifactError, match="the path of a Python file below the folder expected"):
        fr.resume(mailed, trust_code=True)


def test_kept_code_that_was_changed_is_not_executed(mailed: Path) -> None:
    name_code(mailed, "augmentation", "hostile.py:own", kept=True)
    (mailed / "result.json").unlink()
    (kept,) = [path for path in mailed.glob("code/*/hostile.py") if path.parent.name != "x"]
    kept.write_text(HOSTILE + "# and more\n")
    with pytest.raises(fr.ArtifactError, match="it was changed since the training"):
        fr.resume(mailed, trust_code=True)
    assert not Path("executed").exists()
