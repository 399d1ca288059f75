"""What the trackers hold, read back by their own readers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import fittingroom as fr
from fittingroom.errors import FittingRoomError, how_to_install
from fittingroom.events import CheckpointSaved, EpochDone, Event, StepDone, TrainingStarted
from fittingroom.runs import tracking
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.tracking import TRACKERS, MlflowTracker, Tracker, open_tracker

EVENTS = {"start": TrainingStarted, "step": StepDone, "epoch": EpochDone}
PARTS = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=3", "precision=float32"])
    run = fr.train("sample", recipe, out=tmp_path_factory.mktemp("runs") / "tracked")
    run.evaluate()
    return run


def events_of(run: fr.Run) -> list[Event]:
    """The events of the training, as its observers had them."""
    logged = [line for line in read_metrics(run.path / "metrics.jsonl") if line["event"] in EVENTS]
    return [EVENTS[line.pop("event")](**line) for line in logged]


def track_with_a_stop(name: str, run: fr.Run) -> None:
    """As a training does that was stopped in its third epoch and resumed from the end of the second."""
    events = events_of(run)
    start = events[0]
    assert isinstance(start, TrainingStarted)
    stop = 2 * start.steps_per_epoch

    tracker = open_tracker(name, run)
    replay(tracker, [*[e for e in events if getattr(e, "step", 0) <= stop + 3], CheckpointSaved(step=stop, path="")])

    again = TrainingStarted(**{**vars(start), "steps_done": stop})
    tracker = open_tracker(name, run)
    replay(tracker, [again, *[e for e in events if getattr(e, "step", 0) > stop]])

    tracker = open_tracker(name, run)
    tracker.finish(run)
    tracker.close()


def replay(tracker: Tracker, events: list[Event]) -> None:
    for event in events:
        tracker(event)
    tracker.close()


def measured(run: fr.Run) -> dict[str, list[tuple[int, float]]]:
    """Each metric as (step, value), from the run's own log."""
    steps = [event for event in events_of(run) if isinstance(event, StepDone)]
    epochs = [event for event in events_of(run) if isinstance(event, EpochDone)]
    of_steps = {name: [(e.step, getattr(e, name)) for e in steps] for name in ("loss", "lr")}
    return of_steps | {name: [(e.step, getattr(e, name.replace("/", "_"))) for e in epochs] for name in PARTS}


def final(run: fr.Run) -> dict[str, float]:
    test = run.result["test"]
    return {
        "final/test/accuracy": test["accuracy"],
        "final/test/accuracy_low": test["interval"][0],
        "final/test/accuracy_high": test["interval"][1],
        "final/validation/accuracy": run.result["validation"]["accuracy"],
    }


def test_tensorboard_reads_back_every_figure(run: fr.Run) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    track_with_a_stop("tensorboard", run)
    reader: Any = accumulator.EventAccumulator(
        str(run.path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}
    )
    reader.Reload()

    for name, values in measured(run).items():
        read = [(scalar.step, scalar.value) for scalar in reader.Scalars(name)]
        assert read == [(step, pytest.approx(value, rel=1e-6)) for step, value in values]
    for name, value in final(run).items():
        assert reader.Scalars(name)[-1].value == pytest.approx(value)

    texts = {tag: reader.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in reader.Tags()["tensors"]}
    assert f'model = "{run.recipe.model}"' in texts["recipe/text_summary"]
    assert str(run.path / "report.html") in texts["report.html/text_summary"]
    assert texts["README.md/text_summary"].startswith("---")

    # What TensorBoard shows under hyper-parameters has no reader of its own.
    content = reader.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"stages.0.lr" in content


def test_mlflow_reads_back_every_figure_from_its_sqlite_store(run: fr.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    track_with_a_stop("mlflow", run)
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    client = MlflowClient(f"sqlite:///{run.path.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fittingroom")
    assert experiment is not None

    (tracked,) = client.search_runs([experiment.experiment_id])
    assert tracked.info.run_name == "tracked"
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["stages.0.lr"] == str(run.recipe.stages[0].lr)
    assert tracked.data.params["model"] == run.recipe.model

    for name, values in measured(run).items():
        history = [(metric.step, metric.value) for metric in client.get_metric_history(tracked.info.run_id, name)]
        assert sorted(history) == values
    for name, value in final(run).items():
        assert tracked.data.metrics[name] == value

    names = {item.path for item in client.list_artifacts(tracked.info.run_id)}
    assert names >= {"report.html", "README.md", "result.json", "recipe.toml", "model.safetensors"}
    copy = Path(download_artifacts(f"{tracked.info.artifact_uri}/report.html", dst_path=str(run.path.parent)))
    assert copy.read_bytes() == (run.path / "report.html").read_bytes()


def test_mlflow_goes_where_its_own_variable_says(run: fr.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Client:
        def __init__(self, uri: str):
            asked.append(uri)
            raise ConnectionError("not today")

    monkeypatch.setattr(pytest.importorskip("mlflow"), "MlflowClient", Client)
    uri = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(FittingRoomError, match="not today"):
        open_tracker("mlflow", run)
    assert asked == [uri]


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hidden@127.0.0.1:9",  # nobody listens
        "http://127.0.0.1:99999",
        "http://[::1",
        "postgresql+nodriver://me:hidden@127.0.0.1:9/runs",
        "another://me:hid@den@host/store",
        "sqlite:////proc/nowhere/store.db",
        "file:///proc/nowhere",
    ],
)
def test_a_store_that_mlflow_cant_write_to_is_one_message_before_anything_is_trained(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: MLflow itself tries for minutes, and shows the password."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(FittingRoomError, match=r"mlflow: \$MLFLOW_TRACKING_URI .*expected") as stop:
        fr.train("sample", "plain", out=tmp_path / "run", options=fr.Options(track=("mlflow",)))
    assert "hid" not in str(stop.value)
    assert "den" not in str(stop.value)
    assert not (tmp_path / "run").exists()


def test_no_password_of_a_tracking_server_is_kept_in_the_run(
    run: fr.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("mlflow.json"))
    created: list[str] = []

    class Client:
        def get_experiment_by_name(self, _name: str) -> SimpleNamespace:
            return SimpleNamespace(experiment_id="1")

        def create_run(self, experiment: str, **_options: object) -> SimpleNamespace:
            created.append(experiment)
            return SimpleNamespace(info=SimpleNamespace(run_id="a-run"))

        def log_batch(self, run_id: str, **_options: object) -> None:
            pass

    monkeypatch.setattr(tracking, "_client_of", lambda _uri: Client())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hidden@host")
    open_tracker("mlflow", fr.Run(tmp_path / "run"))
    note = (tmp_path / "run" / "mlflow.json").read_text()
    assert "http://me:***@host" in note
    assert "hidden" not in note

    open_tracker("mlflow", fr.Run(tmp_path / "run"))  # the same store: it goes on in the run that is there
    assert created == ["1"]


def test_metrics_that_mlflow_did_not_take_are_sent_later(run: fr.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = pytest.importorskip("mlflow.exceptions")
    tracker = open_tracker("mlflow", run)
    assert isinstance(tracker, MlflowTracker)

    class Client:
        is_away = True
        taken: ClassVar[list[tuple[str, int]]] = []

        def update_run(self, run_id: str, status: str) -> None:
            pass

        def log_batch(self, run_id: str, metrics: Any) -> None:
            if self.is_away:
                raise exceptions.MlflowException("away")
            self.taken.extend((metric.key, metric.step) for metric in metrics)

    client = Client()
    monkeypatch.setattr(tracker, "client", client)
    events = events_of(run)
    halfway = len(events) // 2

    with pytest.warns(UserWarning, match="MLflow does not take the metrics"):
        replay(tracker, events[:halfway])
    assert client.taken == []

    client.is_away = False
    replay(tracker, events[halfway:])
    assert [step for key, step in client.taken if key == "loss"] == [step for step, _ in measured(run)["loss"]]


@pytest.mark.parametrize("state", [{"uri": 7, "run_id": "a"}, {"run_id": "a"}, {}])
def test_a_changed_note_of_mlflows_run_is_one_message(state: dict[str, object], run: fr.Run) -> None:
    pytest.importorskip("mlflow")
    note = run.path / "mlflow.json"
    kept = note.read_bytes() if note.exists() else None
    note.write_text(json.dumps({"format": 1} | state))
    try:
        with pytest.raises(fr.ArtifactError, match=r"mlflow\.json: uri: .*expected|mlflow\.json: uri expected"):
            open_tracker("mlflow", run)
    finally:
        note.unlink()
        if kept is not None:
            note.write_bytes(kept)


def test_an_unknown_tracker_names_the_known_ones(run: fr.Run) -> None:
    with pytest.raises(fr.RecipeError, match="tensorboard or mlflow expected, 'wandb' found"):
        open_tracker("wandb", run)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_is_not_installed_says_how_to_install_it(
    name: str, run: fr.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.runs.tracking.find_spec", lambda _: None)
    with pytest.raises(fr.FittingRoomError, match=re.escape(how_to_install(name))):
        open_tracker(name, run)
