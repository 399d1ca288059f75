"""A search chooses on validation images alone, and is the same for the same seed, stopped in between or not."""

from __future__ import annotations

import dataclasses
import resource
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import fittingroom as fr
from fittingroom.errors import ArtifactError, Interrupted, StorageFailed
from fittingroom.events import Event, Hooks, JobDone, JobEvent, StepDone
from fittingroom.tune import Plan, Study
from fittingroom.tune.record import open_study
from fittingroom.tune.space import apply
from tests.support.picture_folders import write_folder
from tests.tune.conftest import LINEAR, SPACE, recipe


def test_the_first_trial_is_the_baseline(study: Study) -> None:
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


def test_a_trial_during_which_the_clock_was_put_back_took_no_time_that_is_known(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back = study.as_optuna().get_trials()
    assert put_back[1].datetime_start is not None
    put_back[1].datetime_complete = put_back[1].datetime_start - timedelta(minutes=59)  # in autumn
    monkeypatch.setattr(optuna.Study, "get_trials", lambda *_, **_options: put_back)

    seconds = [trial.seconds for trial in study.trials()]
    assert seconds[1] is None
    assert all(value is not None and value >= 0 for value in [seconds[0], *seconds[2:]])


def outcome(study: Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.value, dict(t.values), list(t.curve)) for t in study.trials()]


def test_a_study_that_is_stopped_at_any_point_goes_on_as_if_it_had_not_been(study: Study, data: fr.Splits) -> None:
    asked = 0

    def now_and_then() -> bool:
        nonlocal asked
        asked += 1
        return asked % 11 == 0  # an epoch has 5 steps: it falls on each of them in turn

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

    # As if the process had been killed before the run's last file of its beginning was written.
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
    with pytest.raises(fr.ArtifactError, match=r"has code of one's own .*`trust_code=True`"):
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


def test_after_the_time_no_trial_is_begun(data: fr.Splits) -> None:
    study = fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=1), out="study", final_seeds=0)
    fr.resume_study("study", data=data, trust_code=True, trials=50, seconds=0, final_seeds=0)
    assert len(study.trials()) == 1


def test_each_trial_that_ends_is_reported(data: fr.Splits) -> None:
    seen: list[Event] = []
    fr.tune_recipe(data, recipe(), SPACE, plan=Plan(trials=2), out="study", observe=seen.append)
    outcomes = {event.job: event.outcome for event in seen if isinstance(event, JobDone)}
    assert list(outcomes) == ["trial 0", "trial 1", "seed-1", "seed-2", "seed-3"]
    assert outcomes["trial 0"].startswith("finished   validation accuracy ")


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


def test_the_images_of_a_search_have_the_size_that_its_recipe_asks_for_also_when_it_goes_on(tmp_path: Path) -> None:
    pictures = write_folder(tmp_path / "pictures", "jpeg", 60)
    asked = recipe("size=20", "channels=1", "batch_size=16", "validation=10")
    study = fr.tune_recipe(pictures, asked, "lr = [0.01, 0.02]", plan=Plan(trials=1), final_seeds=0)

    assert study.splits.train.images.shape[1:] == (20, 20)
    again = fr.resume_study(study.path, trials=2, final_seeds=0, trust_code=True)
    assert [trial.state for trial in again.trials()] == ["finished"] * 2


def test_a_full_disk_ends_a_search_in_one_message_with_the_line_that_goes_on(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "study")
    size = (tmp_path / "study" / "study.db").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(size, 8_000), before[1]))  # as on a disk that is full
    try:
        with pytest.raises(StorageFailed, match="the search stopped, as its storage could not be written: ") as stop:
            fr.resume_study(tmp_path / "study", data=study.splits, trials=9, trust_code=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    go_on = f"fittingroom tune --resume {tmp_path / 'study'} --trials 9 --trust-code"
    assert str(stop.value).endswith(f"once it can be, by\n  {go_on}")


def test_a_study_goes_on_in_a_folder_that_was_copied_or_renamed(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "another name")
    copied = open_study(tmp_path / "another name", splits=study.splits)
    assert copied.trials() == study.trials()


def test_the_database_of_a_study_is_the_one_in_its_folder_or_none(study: Study, tmp_path: Path) -> None:
    """A study may have come by mail: a link would lead to another study, which would be written to."""
    copied = tmp_path / "study"
    shutil.copytree(study.path, copied)
    (copied / "study.db").unlink()
    with pytest.raises(ArtifactError, match=r"study\.db: the study's own database expected, none found"):
        open_study(copied, splits=study.splits)
    assert not (copied / "study.db").exists()

    (copied / "study.db").symlink_to(study.path / "study.db")
    with pytest.raises(ArtifactError, match=r"study\.db: the study's own database expected, a link found"):
        open_study(copied, splits=study.splits)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET state = 'odd'",
        "UPDATE trials SET number = 7",
        "UPDATE trial_intermediate_values SET step = -step",
        "UPDATE trial_params SET distribution_json = 'odd'",
        """UPDATE trial_user_attributes SET value_json = '"\x1b"'""",
        "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER odd AFTER UPDATE ON trials BEGIN DELETE FROM studies; END",
    ],
)
def test_a_database_that_no_search_wrote_is_refused(study: Study, tmp_path: Path, change: str) -> None:
    copied = tmp_path / "study"
    shutil.copytree(study.path, copied)
    with closing(sqlite3.connect(copied / "study.db")) as database:
        database.execute(change)
        database.commit()
    with pytest.raises(ArtifactError, match=r"study\.db: .*; put a copy of it back, or start a new study"):
        open_study(copied, splits=study.splits)


def test_a_figure_that_is_infinite_is_none(study: Study, tmp_path: Path) -> None:
    """It can be neither ranked nor drawn."""
    copied = tmp_path / "study"
    shutil.copytree(study.path, copied)
    with closing(sqlite3.connect(copied / "study.db")) as database:
        database.execute("UPDATE trial_values SET value = 9e999")
        infinite = "intermediate_value = NULL, intermediate_value_type = 'INF_POS'"
        database.execute(f"UPDATE trial_intermediate_values SET {infinite}")
        database.commit()
    assert {(trial.value, len(trial.curve)) for trial in open_study(copied, splits=study.splits).trials()} == {
        (None, 0)
    }
