"""A search chooses on validation images alone, is the same for the same seed, and ends with fresh seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import fittingroom as fr
from fittingroom.errors import Interrupted
from fittingroom.evaluation.metrics import mean_interval
from fittingroom.events import Event, Hooks, JobDone, JobEvent, StepDone
from fittingroom.runs.run import runs_folder
from fittingroom.tune import Plan, Study
from fittingroom.tune.space import Choices, Range, apply, baseline_values, parse_space
from fittingroom.tune.storage import without_password
from fittingroom.tune.study import open_study
from tests.support import SUPPORT

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
SPACE = """
lr = { low = 0.001, high = 0.3, log = true }
mirror = ["none", "random", "alternating"]
shift = { low = 0, high = 1 }
"""


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    return fr.Splits(fr.open_dataset("sample").train.subset(np.arange(400)))


def recipe(*overrides: str) -> fr.Recipe:
    small = (LINEAR, "stages.0.epochs=3", "precision=float32", "batch_size=64", "validation=80")
    return fr.load_recipe("plain", overrides=[*small, *overrides])


@pytest.fixture(scope="module")
def study(data: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=7), out=tmp_path_factory.mktemp("runs") / "study")


# The space.


@pytest.mark.parametrize(
    "text",
    [
        'stages.0.lr = { low = 0.01, high = 0.1 }\nmodel_args = { widths = [[16], [32]] }\nshift = [0, 2]',
        '"stages.0.lr" = { low = 0.01, high = 0.1 }\n"model_args.widths" = [[16], [32]]\nshift = { choices = [0, 2] }',
        '[stages.0]\nlr = { low = 0.01, high = 0.1 }\n[model_args]\nwidths = [[16], [32]]\n[shift]\nchoices = [0, 2]',
    ],
)  # fmt: skip
def test_keys_may_be_written_as_toml_permits(text: str) -> None:
    space = parse_space(text, recipe())
    assert space == {
        "stages.0.lr": Range(low=0.01, high=0.1),
        "model_args.widths": Choices(([16], [32])),
        "shift": Choices((0, 2)),
    }


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("lr = { low = 1, high = 2 }", False),
        ("batch_size = { low = 8, high = 512, log = true }", True),
        ("model_args.depth = { low = 1, high = 2 }", True),
        ("model_args.dropout = { low = 0.0, high = 1.0 }", False),
    ],
)
def test_numbers_are_whole_where_the_recipe_has_whole_ones_or_the_space_says_so(text: str, whole: bool) -> None:
    (entry,) = parse_space(text, recipe()).values()
    assert isinstance(entry, Range)
    assert entry.whole == whole
    assert isinstance(entry.low, int if whole else float)


WRONG = """\
lr = { low = 0.1, high = 0.01 }
momentun = { low = 0.1, high = 0.9 }
seed = [1, 2]
mirror = ["none", "sideways"]
shift = { low = 0.5, high = 2 }

[stages.1]
lr = { low = 0.1, high = 0.2 }

[stages.0]
warmup = { low = 0.0, high = 1.0, log = true }
schedule = ["linear"]
"""


def test_every_problem_of_a_space_is_told_at_once_with_its_line() -> None:
    with pytest.raises(fr.RecipeError) as failure:
        parse_space(WRONG, recipe(), where="space.toml")
    told = str(failure.value).splitlines()
    expected = [
        r"space.toml, line 1: lr: low < high expected, 0.1 and 0.01 found",
        r"space.toml, line 2: momentun: the recipe has no such key; did you mean momentum?",
        r"space.toml, line 3: seed: not to be searched",
        r"space.toml, line 5: shift: a whole number expected for low, 0.5 found",
        r"space.toml, line 8: stages.1.lr: stages.0.lr expected",
        r"space.toml, line 11: stages.0.warmup: low > 0 expected with log, 0.0 found",
        r"space.toml, line 12: stages.0.schedule: two choices or more that differ expected",
        r"space.toml, line 4: mirror: none, random or alternating expected, 'sideways' found",
    ]
    assert len(told) == len(expected)
    for line, start in zip(told, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one key to search expected"),
        ("lr = ", "not valid TOML"),
        ("lr = 0.1", "a range { low = …, high = … } or a list of choices expected, 0.1 found"),
        ("lr = { low = 0.1 }", "high missing"),
        ("lr = { low = 0.1, high = 1.0, step = 0.1, log = true }", "log or step expected"),
        ("lr = { low = 0.1, high = 1.0, log = 1 }", "true or false expected for log"),
        ("lr = { low = nan, high = 1.0 }", "a number expected for low, nan found"),
        ("lr = { low = 0.1, high = 1.0, steps = 3 }", "steps unknown"),
        ("shift = { low = 0, high = 2, step = 3 }", "a step above 0 and up to 2 expected"),
        ("lr = { low = -0.1, high = 0.1 }", "lr: > 0 and ≤ 1000 expected, -0.1 found"),
        ("validation = [100, 200]", "judged on the same validation images"),
        ("lr = [0.1, 0.2]\nstages.0.lr = [0.1, 0.2]", "leave one out"),
        ("shift = [1, 1]", "two choices or more that differ"),
        ("model_args = [1, 2]", "an argument of the model expected"),
    ],
)
def test_a_wrong_space_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(fr.RecipeError) as failure:
        parse_space(text, recipe())
    assert message in str(failure.value)


def test_a_value_that_goes_only_with_another_searched_key_is_no_problem() -> None:
    parse_space(
        "stages.0.warmup = [0.5, 3.5]\nstages.0.epochs = [3, 4]\nstages.0.schedule = ['linear', 'cosine']", recipe()
    )
    with pytest.raises(fr.RecipeError, match="one-cycle has its own warm-up"):
        parse_space("stages.0.warmup = [0.5, 1.0]", recipe())


def test_an_argument_that_the_model_does_not_take_is_refused_before_anything_is_trained(data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match=r"model_args.depth is not an argument of its constructor"):
        fr.tune_recipe(data, recipe(), "model_args.depth = [1, 2]", out="study")
    assert not Path("study").exists()


def test_lr_scales_all_stages_and_other_keys_are_set() -> None:
    two = replace(recipe(), stages=(fr.Stage(epochs=1, lr=0.1), fr.Stage(epochs=1, lr=0.02)))
    changed = apply(two, {"lr": 0.2, "stages.1.epochs": 3, "mirror": "none"})
    assert [(stage.epochs, stage.lr) for stage in changed.stages] == [(1, 0.2), (3, pytest.approx(0.04))]
    assert changed.mirror == "none"
    assert baseline_values(two, parse_space("lr = [0.1, 0.3]\nshift = [0, 1]", two)) == {"lr": 0.1, "shift": 0}
    assert baseline_values(two, parse_space("lr = [0.3, 0.4]", two)) is None


# The search.


def test_the_first_trial_is_the_recipe_as_it_is(study: Study) -> None:
    assert fr.Run(study.folder(0)).recipe == replace(recipe(), seed=0)
    assert study.result["as_it_is"] == study.trials()[0].value


def test_trials_are_runs_with_the_drawn_values_and_one_seed(study: Study) -> None:
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(7))
    for trial in trials:
        run = fr.Run(study.folder(trial.number))
        assert run.recipe == apply(study.recipe, trial.values)
        assert run.is_finished == (trial.state == "finished")
        if trial.state == "finished":
            assert trial.value == run.result["validation"]["accuracy"]
            assert len(trial.curve) == 3
        assert 0.001 <= trial.values["lr"] <= 0.3


def test_the_best_trial_is_chosen_and_named_too_good(study: Study) -> None:
    finished = {trial.number: trial.value for trial in study.trials() if trial.state == "finished"}
    best = study.result["best"]
    assert best["value"] == max(value for value in finished.values() if value is not None) == finished[best["trial"]]


def test_a_bad_trial_is_pruned_and_keeps_its_checkpoint(data: fr.Splits) -> None:
    study = fr.tune_recipe(data, recipe(), "lr = [1e-9, 0.003]", plan=Plan(trials=9), final_seeds=0, out="study")
    pruned = [trial for trial in study.trials() if trial.state == "pruned"]
    assert pruned
    assert {trial.values["lr"] for trial in pruned} == {1e-9}
    for trial in pruned:
        assert len(trial.curve) == 2
        assert list((study.folder(trial.number) / "checkpoints").iterdir())
    assert study.result["trials"] == {"finished": 9 - len(pruned), "pruned": len(pruned)}


NOT_A_NUMBER = """
from torch import nn
from tests.support import SUPPORT


class Net(nn.Module):
    def __init__(self, num_classes, image_size):
        super().__init__()
        self.last = nn.Linear(image_size[0] * image_size[1], num_classes)

    def forward(self, x):
        return self.last(x.flatten(1)) / (0 if self.training else 1)
"""


def test_a_diverged_trial_is_written_down_and_the_search_goes_on(data: fr.Splits) -> None:
    Path("net.py").write_text(NOT_A_NUMBER, encoding="utf-8")
    space = LINEAR.replace("=", " = [") + ", 'net.py:Net']"
    study = fr.tune_recipe(data, recipe(), space, plan=Plan(trials=4), final_seeds=0, out="study")
    diverged = [trial for trial in study.trials() if trial.state == "diverged"]
    assert diverged
    assert all(trial.values["model"] == "net.py:Net" for trial in diverged)
    assert all("training diverged" in trial.message for trial in diverged)
    assert len(study.trials()) == 4
    assert "diverged or failed" in Path("study/report.html").read_text(encoding="utf-8")


def test_the_same_seed_makes_the_same_study_and_another_another(study: Study, data: fr.Splits) -> None:
    again = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=7), out="again", final_seeds=0)
    assert outcome(again) == outcome(study)
    other = fr.tune_recipe(data, recipe("seed=5"), SPACE, plan=Plan(trials=3, seed=5), out="other", final_seeds=0)
    assert [trial.values for trial in other.trials()][1:] != [trial.values for trial in study.trials()][1:3]


def outcome(study: Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.value, dict(t.values), list(t.curve)) for t in study.trials()]


def test_a_study_that_is_stopped_at_any_point_goes_on_as_if_it_had_not_been(study: Study, data: fr.Splits) -> None:
    asked = 0

    def now_and_then() -> bool:
        nonlocal asked
        asked += 1
        return asked % 11 == 0

    with pytest.raises(Interrupted) as stop:
        fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=7), out="stopped", should_stop=now_and_then)
    assert stop.value.resume_command == "fittingroom tune --resume stopped --trust-code"
    stops = 1
    while True:
        try:
            resumed = fr.resume_study("stopped", data=data, trust_code=True, should_stop=now_and_then)
            break
        except Interrupted:
            stops += 1
    assert stops > 5
    assert outcome(resumed) == outcome(study)
    assert resumed.result["final"]["values"] == study.result["final"]["values"]


def test_a_study_is_extended_by_more_trials(study: Study, data: fr.Splits) -> None:
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=4), out="short", final_seeds=0)
    extended = fr.resume_study("short", data=data, trust_code=True, trials=7, final_seeds=0)
    assert outcome(extended) == outcome(study)


def test_a_trial_that_died_before_its_folder_was_whole_is_begun_anew(study: Study, data: fr.Splits) -> None:
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=6), out="died", final_seeds=0)
    unfinished = dataclasses.replace(open_study(Path("died"), splits=data), trust_code=True)
    with pytest.raises(KeyboardInterrupt):
        unfinished.search(7, None, None, Hooks(observe=raise_at_first_step))
    (unfinished.folder(6) / "environment.json").unlink()
    assert [trial.state for trial in unfinished.trials()][6] == "running"
    assert outcome(fr.resume_study("died", data=data, trust_code=True, trials=7, final_seeds=0)) == outcome(study)


def test_a_trial_whose_process_died_while_it_was_drawn_does_not_stop_the_study(data: fr.Splits) -> None:
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=2), out="half", final_seeds=0)
    half = open_study(Path("half"), splits=data)
    assert half.as_optuna().ask().number == 2  # it runs, and has no value of any key yet
    assert half.trials()[2].values == {}
    again = fr.resume_study("half", data=data, trust_code=True, trials=4, final_seeds=0)
    assert [trial.state for trial in again.trials()] == ["finished", "finished", "failed", "finished"]


def test_code_of_ones_own_goes_on_only_when_it_is_trusted(study: Study, data: fr.Splits) -> None:
    with pytest.raises(fr.ArtifactError, match=r"is code of one's own .*--trust-code"):
        fr.resume_study(study.path, data=data)


@pytest.mark.parametrize("options", [fr.Options(threads=0), fr.Options(device="cuda")])
def test_what_no_trial_could_run_with_is_refused_before_there_is_a_study(options: fr.Options, data: fr.Splits) -> None:
    if options.device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(fr.FittingRoomError):
        fr.tune_recipe(data, recipe(), SPACE, out="none", options=options)
    assert not Path("none").exists()


def raise_at_first_step(event: Event) -> None:
    if isinstance(event, JobEvent) and isinstance(event.event, StepDone):
        raise KeyboardInterrupt


@pytest.mark.nightly
def test_what_tpe_draws_is_the_same_too_after_a_stop(data: fr.Splits) -> None:
    whole = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=20), out="whole", final_seeds=0)
    parts = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=1), out="parts", final_seeds=0)
    for trials in (3, 11, 12, 20):
        fr.resume_study("parts", data=data, trust_code=True, trials=trials, final_seeds=0)
    assert outcome(parts) == outcome(whole)
    assert "PED-ANOVA" in Path("parts/report.html").read_text(encoding="utf-8")


def test_loss_is_an_objective_too_and_lower_is_better(data: fr.Splits) -> None:
    plan = Plan(trials=3, objective="loss", pruner="hyperband")
    study = fr.tune_recipe(data, recipe(), SPACE, plan=plan, out="study")
    values = [trial.value for trial in study.trials() if trial.state == "finished" and trial.value is not None]
    assert study.result["best"]["value"] == min(values)
    assert "Validation loss" in Path("study/best.toml").read_text(encoding="utf-8")


def test_after_the_time_no_trial_is_begun(data: fr.Splits) -> None:
    study = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=1), out="study", final_seeds=0)
    fr.resume_study("study", data=data, trust_code=True, trials=50, seconds=0, final_seeds=0)
    assert len(study.trials()) == 1


def test_each_trial_that_ends_is_told(data: fr.Splits) -> None:
    seen: list[Event] = []
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=2), out="study", observe=seen.append)
    told = {event.job: event.outcome for event in seen if isinstance(event, JobDone)}
    assert list(told) == ["trial 0", "trial 1", "seed-1", "seed-2", "seed-3"]
    assert told["trial 0"].startswith("finished   validation accuracy ")


# What it comes to.


def test_the_final_figure_is_that_of_seeds_that_no_trial_had(study: Study) -> None:
    final = study.result["final"]
    members = fr.open_run(study.path / final["run"]).members
    assert [member.recipe.seed for member in members] == final["seeds"] == [1, 2, 3]
    assert {fr.Run(study.folder(trial.number)).recipe.seed for trial in study.trials()} == {0}
    accuracies = [member.result["validation"]["accuracy"] for member in members]
    assert (final["mean"], final["sd"], tuple(final["interval_of_mean"])) == mean_interval(accuracies)
    best = apply(study.recipe, study.result["best"]["values"])
    for member in members:
        assert replace(member.recipe, seed=0, name=best.name) == best


def test_the_best_recipe_is_toml_that_train_takes_and_gives_the_first_fresh_seed(study: Study, data: fr.Splits) -> None:
    recipe = fr.load_recipe(study.path / "best.toml", overrides=[LINEAR])  # code of one's own is named by its user
    run = fr.train(data, recipe, out="run")
    first = fr.open_run(study.path / study.result["final"]["run"]).members[0]
    assert (run.path / "model.safetensors").read_bytes() == (first.path / "model.safetensors").read_bytes()
    head = (study.path / "best.toml").read_text(encoding="utf-8")
    assert f"{study.result['final']['mean']:.2%}" in head
    assert "3 seeds that no trial had" in head


def test_the_page_shows_every_trial_and_calls_the_searchs_best_optimistic(study: Study) -> None:
    page = (study.path / "report.html").read_text(encoding="utf-8")
    for trial in study.trials():
        assert f"trial {trial.number}, {trial.state}" in page
    assert f"{study.result['final']['mean']:.2%}" in page
    assert "and so optimistic" in page
    assert "The test set was never opened" in page
    assert "http://" not in page
    assert "https://" not in page


class Untouchable(fr.Dataset):
    """A test set that nothing may look into."""

    def __init__(self) -> None: ...

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"the test set's {name} was looked at")


def test_the_test_set_is_never_opened(data: fr.Splits) -> None:
    splits = fr.Splits(data.train)
    object.__setattr__(splits, "test", Untouchable())
    study = fr.tune_recipe(splits, recipe(), SPACE, plan=Plan(trials=2), out="runs/study")
    fr.resume_study("runs/study", data=splits, trust_code=True, trials=3)
    assert not list(Path().rglob("predictions.parquet"))
    assert not list(Path().rglob("test-looks.jsonl"))
    assert all(fr.Run(study.folder(i)).result["test"] is None for i in range(2))


def test_a_look_with_a_trial_goes_to_the_ledger_of_all_runs(study: Study, data: fr.Splits) -> None:
    sample = fr.open_dataset("sample").test
    assert sample is not None
    number = study.result["best"]["trial"]
    fr.Run(study.folder(number)).evaluate(sample, trust_code=True)
    fr.open_run(study.path / study.result["final"]["run"]).members[0].evaluate(sample, trust_code=True)
    ledger = study.path.parent / "test-looks.jsonl"
    looks = [json.loads(line)["run"] for line in ledger.read_text(encoding="utf-8").splitlines()]
    assert looks == [f"study/trial-{number:04d}", f"study/final-{number:04d}-3/seed-1"]
    assert runs_folder(study.folder(0)) == study.path.parent.resolve()


# What is refused.


def test_a_recipe_without_validation_images_is_refused(data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match="holds none out: give it validation = 2000"):
        fr.tune_recipe(data, recipe("validation=0"), SPACE, out="study")
    assert not Path("study").exists()


def test_a_single_final_seed_is_refused(data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match="2 or more expected, or 0 for none, 1 found"):
        fr.tune_recipe(data, recipe(), SPACE, out="study", final_seeds=1)


def test_a_study_goes_on_only_with_its_own_data(study: Study, data: fr.Splits) -> None:
    with pytest.raises(fr.DataError, match="its train set has changed since"):
        fr.resume_study(study.path, data=fr.Splits(data.train.subset(np.arange(399))))
    with pytest.raises(fr.DataError, match="its data was given in memory; give it again"):
        fr.resume_study(study.path)


def test_what_is_no_study_is_refused(data: fr.Splits, study: Study) -> None:
    with pytest.raises(fr.ArtifactError, match=r"the folder of a study expected"):
        fr.resume_study("nowhere")
    with pytest.raises(
        fr.ArtifactError, match=r"there is a study already; to go on with it: fittingroom tune --resume"
    ):
        fr.tune_recipe(data, recipe(), SPACE, out=study.path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "--storage nonsense: a database expected"),
        ("sqlite:////nowhere/at/all.db", "it can't be opened: "),
        (
            "postgresql+psycopg2://me:secret@127.0.0.1/x",
            "--storage postgresql+psycopg2://me:***@127.0.0.1/x: its driver",
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
    assert len(fr.resume_study("a/study", data=data, trust_code=True, trials=2, final_seeds=0).trials()) == 2


@pytest.fixture(autouse=True, scope="module")
def _storages_closed() -> Iterator[None]:
    """SQLAlchemy keeps connections open for as long as the process lives."""
    from fittingroom.tune.storage import open_storage

    yield
    open_storage.cache_clear()
