"""A run's precision is settled before its first step, stands in its recipe, and is kept by whoever goes on with it."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import Interrupted
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.run import Run
from fittingroom.training.device import pick_device
from tests.support import GOLDEN


@pytest.fixture(autouse=True)
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that has bf16; one that emulates it takes the same path, more slowly."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr("fittingroom.training.precision.SINCE_TORCH", (2, 0))


def lose_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, flag, lambda: False, raising=False)
    monkeypatch.setattr("fittingroom.training.precision.processor_name", lambda: "Processor X")


def stopped(out: Path, *overrides: str) -> fr.Run:
    recipe = fr.load_recipe("swift", overrides=["stages.0.epochs=1", *overrides])
    with pytest.raises(Interrupted):
        fr.train("sample", recipe, out=out, options=fr.Options(device="cpu"), should_stop=lambda: True)
    return Run(out)


def test_auto_is_resolved_into_the_recipe_before_the_first_step(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    assert run.recipe.precision == run.environment.precision == run.environment.recipe["precision"] == "bf16"
    assert "computes in bf16" in run.environment.precision_reason

    asked = stopped(tmp_path / "asked", "precision=float32")
    assert asked.recipe.precision == "float32"
    assert asked.environment.precision_reason == "the recipe says float32"


def test_a_resume_without_bf16_is_refused_by_the_processors_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stopped(tmp_path / "run")
    with monkeypatch.context() as patch:
        lose_bf16(patch)
        assert main(["train", "--resume", str(run.path)]) == 2
        assert "this run is trained in bf16, and Processor X doesn't compute in it" in capsys.readouterr().err
    assert fr.resume(run.path).is_finished


def test_bf16_that_was_emulated_from_the_start_goes_on_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_bf16(monkeypatch)
    run = stopped(tmp_path / "run", "precision=bf16")
    assert "Processor X emulates" in run.environment.precision_reason
    assert fr.resume(run.path).is_finished


def test_a_run_of_0_1_keeps_auto_and_goes_on_in_what_it_was_begun_in(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "format-1-seeds-and-own-models" / "own-model-stopped", tmp_path / "run"))

    # As 0.1 left it where its clock had decided: another answer than today's, and "auto" in the recipe.
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    environment["recipe"]["precision"] = "auto"
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    toml = (folder / "recipe.toml").read_text(encoding="utf-8")
    (folder / "recipe.toml").write_text(toml.replace('precision = "float32"', 'precision = "auto"'), encoding="utf-8")
    shutil.rmtree(folder / "checkpoints")  # they name the recipe too

    with pytest.raises(Interrupted):
        fr.resume(folder, trust_code=True, should_stop=lambda: True)

    (started,) = (event for event in read_metrics(folder / "metrics.jsonl") if event["event"] == "start")
    assert (Run(folder).recipe.precision, started["precision"]) == ("auto", "float32")


def test_more_threads_than_processors_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.environment.cores", lambda: 1)
    recipe = fr.load_recipe("swift", overrides=["stages.0.epochs=1"])
    options = fr.Options(device=pick_device("cpu"), threads=2)
    with pytest.warns(UserWarning, match="threads: 2 asked for, 1 processors"), pytest.raises(Interrupted):
        fr.train("sample", recipe, out=tmp_path / "run", options=options, should_stop=lambda: True)
