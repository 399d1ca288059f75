"""A study ends with fresh seeds, and never opens the test set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fittingroom as fr
from fittingroom.evaluation.metrics import mean_interval
from fittingroom.runs.run import runs_folder
from fittingroom.tune import Plan, Study
from fittingroom.tune.space import apply
from tests.tune.conftest import LINEAR, SPACE, recipe


def test_the_final_figure_is_that_of_seeds_that_no_trial_had(study: Study) -> None:
    final = study.result["final"]
    members = fr.open_run(study.path / final["run"]).members
    assert [member.recipe.seed for member in members] == final["seeds"] == [1, 2, 3]
    assert {fr.Run(study.folder(trial.number)).recipe.seed for trial in study.trials()} == {0}

    accuracies = [member.result["validation"]["accuracy"] for member in members]
    mean, sd, of_seeds = mean_interval(accuracies)
    assert (final["mean"], final["sd"], of_seeds and list(of_seeds)) == (mean, sd, final["interval_of_mean"])
    assert final["interval"] == fr.open_run(study.path / final["run"]).result["interval"]

    best = apply(study.recipe, study.result["best"]["values"])
    for member in members:
        # what the recipe is called says where it comes from, and all that decides anything is the best trial's
        assert (member.recipe.name, member.recipe.description) == (
            "plain-tuned",
            f"plain as a study tuned it: trial {study.result['best']['trial']}",
        )
        assert replace(member.recipe, seed=0, name=best.name, description=best.description) == best


def test_the_best_recipe_is_toml_that_train_takes_and_gives_the_first_fresh_seed(study: Study, data: fr.Splits) -> None:
    recipe = fr.load_recipe(study.path / "best.toml", overrides=[LINEAR])  # code of one's own is named by its user
    run = fr.train(data, recipe, out="run")
    first = fr.open_run(study.path / study.result["final"]["run"]).members[0]
    assert (run.path / "model.safetensors").read_bytes() == (first.path / "model.safetensors").read_bytes()

    head = (study.path / "best.toml").read_text(encoding="utf-8").replace("\n# ", " ")
    assert f"{study.result['final']['mean']:.2%}" in head
    assert "3 seeds that no trial had" in head


def test_the_page_shows_every_trial_and_calls_the_searchs_best_optimistic(study: Study) -> None:
    page = (study.path / "report.html").read_text(encoding="utf-8")
    for trial in study.trials():
        assert f"trial {trial.number}, {trial.state}" in page
    assert f"{study.result['final']['mean']:.2%}" in page
    assert "and so optimistic" in page
    assert "No model was judged on the test set" in page
    assert "http://" not in page
    assert "https://" not in page


class Untouchable(fr.Dataset):
    """A test set that nothing may look into."""

    def __init__(self) -> None: ...

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"the test set's {name} was read")


def test_the_test_set_is_never_opened(data: fr.Splits) -> None:
    splits = fr.Splits(data.train)
    object.__setattr__(splits, "test", Untouchable())
    study = fr.tune_recipe(splits, recipe(), SPACE, plan=Plan(trials=2), out="runs/study")
    fr.resume_study("runs/study", data=splits, trust_code=True, trials=3)
    assert not list(Path().rglob("predictions.parquet"))
    assert not list(Path().rglob("test-looks.jsonl"))
    assert all(fr.Run(study.folder(i)).result["test"] is None for i in range(2))


def test_an_evaluation_of_a_trial_goes_to_the_ledger_of_all_runs(study: Study, data: fr.Splits) -> None:
    sample = fr.open_dataset("sample").test
    assert sample is not None

    number = study.result["best"]["trial"]
    fr.Run(study.folder(number)).evaluate(sample, trust_code=True)
    fr.open_run(study.path / study.result["final"]["run"]).members[0].evaluate(sample, trust_code=True)

    ledger = study.path.parent / "test-looks.jsonl"
    evaluations = [json.loads(line)["run"] for line in ledger.read_text(encoding="utf-8").splitlines()]
    assert evaluations == [f"study/trial-{number:04d}", f"study/final-{number:04d}-3/seed-1"]
    assert runs_folder(study.folder(0)) == study.path.parent.resolve()
