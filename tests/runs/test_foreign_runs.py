"""A folder that came by mail executes neither the file that it names nor the one that it holds, unless trusted."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.serve.server import open_models
from fittingroom.tune import Plan

MARK = Path("executed")  # what the hostile file leaves in the folder that the command is called from
HOSTILE = f"""\
from pathlib import Path
from torch import nn

Path({str(MARK)!r}).touch()


class Net(nn.Sequential):
    def __init__(self, num_classes, image_size):
        super().__init__(nn.Flatten(), nn.Linear(image_size[0] * image_size[1], num_classes))
"""
SMALL = ["--epochs", "1", "--set", "precision=float32", "--set", "model_args.widths=[4,8,16]", "--no-test", "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and one of two seeds, both of a model of the package, as their author would have made them."""
    folder = tmp_path_factory.mktemp("author")
    one, two = ["train", "sample", "--out", f"{folder}/one"], ["train", "sample", "--out", f"{folder}/two"]
    assert main([*one, *SMALL]) == 0
    assert main([*two, *SMALL, "--seeds", "2"]) == 0
    return folder


@pytest.fixture
def mailed(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "mailed")
    (tmp_path / "mailed" / "net.py").write_text(HOSTILE)
    return Path("mailed")


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def name_code(run: Path, model: str) -> None:
    """Let recipe and environment of an unfinished run name a file as its model."""
    recipe = dataclasses.replace(fr.open_run(run).recipe, model=model, model_args={})
    (run / "recipe.toml").write_text(recipe.to_toml())
    edit(run / "environment.json", recipe=recipe.as_dict())
    (run / "result.json").unlink()


def assert_refused(code: int, capsys: pytest.CaptureFixture[str], says: str) -> None:
    captured = capsys.readouterr()
    assert (code, MARK.exists()) == (2, False), captured.err
    assert says in captured.err
    assert "Traceback" not in captured.err


OPENS = {
    "evaluate": lambda run: main(["evaluate", str(run)]),
    "export": lambda run: main(["export", str(run), "--format", "torch-export"]),
    "predict": lambda run: main(["predict", str(run), "sample"]),
    "serve": lambda run: main(["serve", str(run), "--port", "0"]),
}


@pytest.mark.parametrize("name", ["mailed/net.py:Net", "mailed/one/../net.py:Net"])
@pytest.mark.parametrize("command", OPENS)
def test_a_config_that_names_a_file_executes_nothing(
    command: str, name: str, mailed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(mailed / "one" / "config.json", model=name, code_sha256=None, model_args={})
    (mailed / "one" / "model.onnx").unlink()
    assert_refused(OPENS[command](mailed / "one"), capsys, "one of this package's models expected")


@pytest.mark.parametrize("opens", [fr.load, lambda run: open_models([run])], ids=["load", "open_models"])
def test_from_python_neither(opens: Callable[[Path], object], mailed: Path) -> None:
    edit(mailed / "one" / "config.json", model="mailed/net.py:Net", code_sha256=None, model_args={})
    (mailed / "one" / "model.onnx").unlink()
    with pytest.raises(fr.ArtifactError, match="one of this package's models expected"):
        opens(mailed / "one")
    assert not MARK.exists()


@pytest.mark.parametrize("trusted", [[], ["--trust-code"]], ids=["untrusted", "trusted"])
def test_a_run_that_names_a_file_does_not_go_on(
    trusted: list[str], mailed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trusting a run trusts the code that it holds, not a path that it names."""
    name_code(mailed / "one", "mailed/net.py:Net")
    code = main(["train", "--resume", "mailed/one", "--quiet", *trusted])
    assert_refused(code, capsys, "one of this package's models expected")


@pytest.mark.parametrize("where", [".", "seed-1"])
def test_code_that_a_run_holds_waits_for_trust_wherever_it_lies(
    where: str, mailed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mailed / "two"
    (run / "result.json").unlink()
    (run / "seed-1" / "result.json").unlink()
    (run / where / "model_source.py").write_text(HOSTILE)

    assert_refused(main(["train", "--resume", str(run), "--quiet"]), capsys, "--trust-code")


def test_code_that_was_changed_since_the_start_is_not_executed(
    mailed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = mailed / "one"
    name_code(run, "net.py:Net")
    (run / "model_source.py").write_text(HOSTILE)
    edit(run / "environment.json", code_sha256="0" * 64)

    assert_refused(main(["train", "--resume", str(run), "--trust-code", "--quiet"]), capsys, "it was changed")


def test_a_recipe_of_a_run_names_no_code_by_itself(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = mailed / "one"
    name_code(run, "mailed/net.py:Net")

    command = ["train", "sample", "--recipe", f"{run}/recipe.toml", "--no-test", "--quiet", "--out", "mine"]
    assert_refused(main(command), capsys, "--model FILE.py:Net")
    assert main([*command, "--model", "mailed/net.py:Net"]) == 0  # the user's own word
    assert MARK.exists()


def a_study(path: str) -> None:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", "model=tutorial"])
    fr.tune_recipe("sample", recipe, "lr = [0.001, 0.002]", plan=Plan(trials=1), final_seeds=0, out=path)


def test_a_study_whose_space_names_a_file_waits_for_trust(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_study("mailed/study")
    edit(mailed / "study" / "study.json", space='model = ["tutorial", "mailed/net.py:Net"]')
    code = main(["tune", "--resume", "mailed/study", "--trials", "3", "--final-seeds", "0", "--quiet"])
    assert_refused(code, capsys, "mailed/net.py:Net")


def test_a_trial_whose_recipe_names_a_file_is_not_carried_out(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever prepares the folder can prepare a trial that was begun and not ended."""
    a_study("mailed/study")
    shutil.copytree(mailed / "study" / "trial-0000", mailed / "study" / "trial-0001")
    name_code(mailed / "study" / "trial-0001", "mailed/net.py:Net")

    main(["tune", "--resume", "mailed/study", "--trials", "2", "--final-seeds", "0", "--quiet"])
    assert not MARK.exists()
    assert [trial.state for trial in fr.resume_study("mailed/study", trials=2, final_seeds=0).trials()] == [
        "finished",
        "failed",
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_a_study_goes_on_with_the_code_that_it_kept_and_not_with_what_lies_at_its_path(mailed: Path) -> None:
    Path("net.py").write_text(HOSTILE)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", "model='net.py:Net'"])
    fr.tune_recipe("sample", recipe, "lr = [0.001, 0.002]", plan=Plan(trials=1), final_seeds=0, out="study")

    Path("net.py").write_text("raise SystemExit")
    study = fr.resume_study("study", trials=2, final_seeds=2, trust_code=True)

    assert [trial.state for trial in study.trials()] == ["finished", "finished"]
    assert study.result["final"]["values"]
