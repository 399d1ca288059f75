"""The command that a report prints trains the same again, and the sentence above it says under which condition."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.rendering.languages import translated
from fittingroom.report.run_summary import cut_again, reproduces, reproducing_command
from fittingroom.runs.environment_record import Environment, KeptTogether, write_environment


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fr.Run:
    monkeypatch.chdir(tmp_path)
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1"])
    return fr.train("sample", recipe, seed=3, out="first", options=fr.Options(threads=1))


def of(run: fr.Run, environment: Environment) -> fr.Run:
    write_environment(run.path, environment)
    return fr.open_run(run.path)


def test_the_command_trains_to_the_same_bits(run: fr.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the hardware had another answer to "auto" by then: the command says what it came to.
    other = {"bf16": "float32", "float32": "bf16"}[run.recipe.precision]
    monkeypatch.setattr("fittingroom.training.precision.has_bf16", lambda _device: other == "bf16")

    launcher, *words = shlex.split(reproducing_command(run))
    assert launcher == "fittingroom"
    assert main([*words, "--out", "again", "--quiet"]) == 0

    again = fr.open_run("again")
    assert (again.path / "model.safetensors").read_bytes() == (run.path / "model.safetensors").read_bytes()
    assert (again.path / "recipe.toml").read_text() == (run.path / "recipe.toml").read_text()
    assert again.result["test"] is None


def test_the_card_and_the_report_print_it_with_its_condition(run: fr.Run) -> None:
    condition = "to the same bits on the same kind of processor with the same versions and one thread"
    for name in ("report.html", "README.md"):
        page = (run.path / name).read_text(encoding="utf-8")
        assert reproducing_command(run) in page
        assert condition in page


def test_seeds_and_options_are_in_the_command(run: fr.Run) -> None:
    environment = run.environment
    options = replace(environment.options, skip_broken=True, group="patient-(\\d+)", deterministic=True)
    command = reproducing_command(of(run, replace(environment, seeds=(5, 6, 7), options=options, look_at_test=True)))
    assert command.endswith("--device cpu --threads 1 --deterministic --set seed=5 --seeds 3")
    assert "--skip-broken" in command
    assert "--group 'patient-(\\d+)'" in command
    assert "--no-test" not in command

    # Seeds that don't follow each other are no --seeds N.
    lines = reproducing_command(of(run, replace(environment, seeds=(2, 9)))).splitlines()
    assert [line.rpartition("--seed ")[2] for line in lines] == ["2", "9"]

    # A run of 0.1 kept "auto": what it came to then is said beside its recipe.
    toml = (run.path / "recipe.toml").read_text(encoding="utf-8")
    precision = f'precision = "{run.recipe.precision}"'
    (run.path / "recipe.toml").write_text(toml.replace(precision, 'precision = "auto"'), encoding="utf-8")
    assert f"--set precision={environment.precision}" in reproducing_command(of(run, environment))


def test_the_same_bits_are_promised_only_where_they_hold(run: fr.Run) -> None:
    environment = run.environment
    two = replace(environment.machine, threads=2)
    assert reproduces(of(run, replace(environment, machine=two))).endswith("with the same versions and 2 threads")
    assert "in each of 4 processes" in reproduces(of(run, replace(environment, processes=4)))
    assert reproducing_command(of(run, replace(environment, processes=4))).startswith("torchrun --nproc-per-node 4 -m ")

    cuda = replace(environment.machine, device="cuda")
    assert "differs a little each time" in reproduces(of(run, replace(environment, machine=cuda)))
    exact = replace(environment.options, deterministic=True)
    assert "same kind of card" in reproduces(of(run, replace(environment, machine=cuda, options=exact)))
    mps = replace(environment.machine, device="mps")
    assert "differs a little each time" in reproduces(of(run, replace(environment, machine=mps)))


def test_that_the_cut_for_validation_went_by_what_a_cache_knew_is_said(run: fr.Run) -> None:
    environment = run.environment
    for near_from, pairs, said in (("search", "1-2", ""), ("package", "1-2", ""), ("data check", "", "")):
        together = KeptTogether(groups=0, equal=0, near_pairs=pairs, near_from=near_from)
        assert cut_again(of(run, replace(environment, together=together))) == said
    for near_from, pairs, said in (("data check", "1-2", "hasn't looked"), ("", "", "has looked")):
        together = KeptTogether(groups=0, equal=0, near_pairs=pairs, near_from=near_from)
        sentence = cut_again(of(run, replace(environment, together=together)))
        assert said in sentence
        assert translated(sentence, "report") is not None
