"""Runs in the trackers that people already use: TensorBoard, and MLflow on its embedded SQLite store or any server.

A tracker is an observer: it receives the events of a training and can't change it. When a run has been judged, it is
given the scores and the files. The run's folder stays the only thing that Fitting Room itself reads.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies

from fittingroom.errors import FittingRoomError, RecipeError, how_to_install
from fittingroom.events import EpochDone, Event, StepDone, TrainingStarted
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.records import read_record
from fittingroom.files.sqlite_url import sqlite_url, without_password
from fittingroom.runs.run import Run, runs_folder

MLFLOW_STATE = "mlflow.json"  # in the run's folder: which run of MLflow it is, so that a resumed training goes on there
FORMAT = 1  # of that file
# By MLflow's own numbers a server that is away holds a training up for minutes.
FEW_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
PORTS = {"http": 80, "https": 443}
DATABASES = ("postgresql", "mysql", "sqlite", "mssql")  # that MLflow takes
PATIENCE = 10.0  # seconds, until a server is taken for away
MAX_REASON = 300  # characters
BATCH = 500  # metrics that go to MLflow at once; it takes 1,000 at most


class _State(TypedDict):
    """Which run of MLflow a run of ours is."""

    uri: str
    run_id: str


def _read_state(file: Path) -> _State:
    return read_record(_State, read_json(file, format_number=FORMAT), str(file))


class Tracker(Protocol):
    """What receives a training. Opened again for the same run, it goes on where it was."""

    def __call__(self, event: Event) -> None:
        """Record an event, as every observer does."""

    def finish(self, run: Run) -> None:
        """Record a finished run: its scores with their intervals, and its files with the report."""

    def close(self) -> None:
        """Write what is still in memory."""


def open_tracker(name: str, run: Run) -> Tracker:
    """A tracker for a run of one seed whose folder has its recipe.

    Args:
        name: ``tensorboard`` writes into the run's folder ``tensorboard/``. ``mlflow`` writes to ``mlflow.db`` beside
            the runs, or to where ``MLFLOW_TRACKING_URI`` says, in the experiment ``MLFLOW_EXPERIMENT_NAME`` or
            ``fittingroom``.
        run: started or finished.

    Raises:
        RecipeError: there is no such tracker.
        FittingRoomError: its package is not installed, or its store can't be written to.
    """
    _refuse_unknown(name)
    return TRACKERS[name](run)


def refuse_unusable(names: Sequence[str]) -> None:
    """Refuse trackers that a training could not be told to, before there is a folder of it.

    Raises:
        RecipeError, FittingRoomError: as for :func:`open_tracker`.
    """
    for name in names:
        _refuse_unknown(name)
    if "mlflow" in names and (uri := os.environ.get("MLFLOW_TRACKING_URI")):
        with _naming_the_store(uri):
            _client_of(uri)


def _refuse_unknown(name: str) -> None:
    if name not in TRACKERS:
        raise RecipeError(f"track: {' or '.join(TRACKERS)} expected, {name!r} found")
    if find_spec(name) is None:
        raise FittingRoomError(f"{name}: its package is not installed; {how_to_install(name)}")


class TensorBoardTracker:
    """Scalars by step, the recipe as text, and as hyper-parameters with the final scores."""

    def __init__(self, run: Run):
        from torch.utils.tensorboard import SummaryWriter

        self.folder = run.path / "tensorboard"
        self.open_writer = SummaryWriter
        self.writer: Any = None
        self.recipe = run.recipe

    def __call__(self, event: Event) -> None:
        """Steps and epochs become scalars; after a resume, those beyond the checkpoint are withdrawn first."""
        if isinstance(event, TrainingStarted):
            self.writer = self.open_writer(
                str(self.folder), purge_step=event.steps_done + 1 if event.steps_done else None
            )
            text = "\n".join("    " + line for line in self.recipe.to_toml().splitlines())
            self.writer.add_text("recipe", text, event.steps_done)

        for name, value, step in _scalars(event):
            self.writer.add_scalar(name, value, step)

    def finish(self, run: Run) -> None:
        """Add the scores, the parameters, and the model card, which names the files."""
        from torch.utils.tensorboard.summary import hparams

        self.writer = self.writer or self.open_writer(str(self.folder))
        scores = dict(_outcome(run))
        for summary in hparams(_parameters(run), scores):
            self.writer.file_writer.add_summary(summary)

        for name, value in scores.items():
            self.writer.add_scalar(name, value, 0)
        for file in (run.path / "README.md", run.path / "report.html"):
            if file.exists():
                text = file.read_text(encoding="utf-8") if file.suffix == ".md" else str(file.resolve())
                self.writer.add_text(file.name, text)

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None:
            self.writer.close()


class MlflowTracker:
    """A run of MLflow with the recipe as parameters, metrics by step, and the run's files as artifacts."""

    def __init__(self, run: Run):
        mlflow = _quiet_mlflow()

        # Kept, so that the package is loaded only where it tracks.
        self.metric, self.failure = mlflow.entities.Metric, mlflow.exceptions.MlflowException
        self.waiting: list[Any] = []
        self.last_step = 0

        # One store for all runs of a folder, in which they can be compared.
        folder = runs_folder(run.path)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(folder / "mlflow.db")
        state, kept_uri = run.path / MLFLOW_STATE, without_password(uri)
        known = _read_state(state) if state.exists() else None
        with _naming_the_store(uri):
            self.client = _client_of(uri)

            # A resumed training goes on in MLflow's run, if that is where it was begun.
            if known and without_password(known["uri"]) == kept_uri:
                self.run_id = known["run_id"]
                return
            experiment = self._experiment(folder / "mlflow-artifacts")
            name = str(run.path.resolve().relative_to(folder.resolve()))
            created = self.client.create_run(
                experiment, run_name=name, tags={"fittingroom.run": str(run.path.resolve())}
            )
            self.run_id = created.info.run_id
            self.client.log_batch(
                self.run_id, params=[mlflow.entities.Param(key, str(value)) for key, value in _parameters(run).items()]
            )
        write_json(state, {"format": FORMAT, "uri": kept_uri, "run_id": self.run_id})

    def _experiment(self, artifacts: Path) -> str:
        name = _experiment_name()
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)

        # A server decides by itself where artifacts go.
        is_server = "MLFLOW_TRACKING_URI" in os.environ
        location = None if is_server else artifacts.resolve().as_uri()
        return str(self.client.create_experiment(name, artifact_location=location))

    def __call__(self, event: Event) -> None:
        """Steps and epochs become metrics; after a resume, those that are there already are not repeated."""
        if isinstance(event, TrainingStarted):
            self.client.update_run(self.run_id, status="RUNNING")
            if event.steps_done:
                logged = self.client.get_metric_history(self.run_id, "lr")
                self.last_step = max((metric.step for metric in logged), default=0)
        for name, value, step in _scalars(event):
            if step > self.last_step:
                self.waiting.append(self.metric(name, value, _milliseconds(), step))
        if len(self.waiting) >= BATCH or isinstance(event, EpochDone):
            self._send()

    def finish(self, run: Run) -> None:
        """Add the scores and every file of the run's folder, and end the run."""
        self.waiting += [self.metric(name, value, _milliseconds(), 0) for name, value in _outcome(run)]
        self._send()
        for file in sorted(run.path.iterdir()):
            if file.is_file() and file.name != MLFLOW_STATE:
                self.client.log_artifact(self.run_id, str(file))
        self.client.set_terminated(self.run_id)

    def close(self) -> None:
        """Send what is still in memory."""
        self._send()

    def _send(self) -> None:
        """Send what waits; if that fails, say so and keep it: a tracker that is away must not end a training."""
        while self.waiting:
            try:
                self.client.log_batch(self.run_id, metrics=self.waiting[:BATCH])
            except self.failure as error:
                warnings.warn(f"MLflow does not take the metrics, which are kept for now: {error}", stacklevel=2)
                return
            del self.waiting[:BATCH]


def _quiet_mlflow() -> Any:
    """The package, which tells nobody that a training runs, and doesn't lose that one's lines between its own."""
    for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", **FEW_RETRIES}.items():
        os.environ.setdefault(name, value)
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    import mlflow
    import mlflow.entities
    import mlflow.exceptions

    return mlflow


def _client_of(uri: str) -> Any:
    """MLflow's client of a store that is known to answer."""
    _refuse_unreachable(uri)
    client = _quiet_mlflow().MlflowClient(uri)
    client.get_experiment_by_name(_experiment_name())
    return client


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fittingroom"


@contextmanager
def _naming_the_store(uri: str) -> Iterator[None]:
    """Have whatever the block fails by be one message that names where MLflow was to write, without a password."""
    try:
        yield
    except Exception as error:  # MLflow, SQLAlchemy and the drivers of databases each have errors of their own
        reason = " ".join(without_password(str(error)).split())[:MAX_REASON] or type(error).__name__
        password = re.search(r"://[^:/@]*:([^/]+)@", uri)
        where = "$MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "its own file"
        raise FittingRoomError(
            f"`track` mlflow: {where} {without_password(uri)}: a server of MLflow or a database expected that can be "
            f"written to, but {reason.replace(password[1], '***') if password else reason}. Set it right, or begin "
            "without `track`; a training that was begun goes on by `fittingroom train --resume`"
        ) from error


def _refuse_unreachable(uri: str) -> None:
    """Try once what MLflow tries for minutes. Raises whatever keeps the store from being reached."""
    parsed = urlsplit(uri)
    scheme = parsed.scheme.partition("+")[0]
    if scheme in PORTS and parsed.hostname and scheme not in getproxies():
        socket.create_connection((parsed.hostname, parsed.port or PORTS[scheme]), PATIENCE).close()
    elif scheme in DATABASES:
        from sqlalchemy import create_engine

        engine = create_engine(uri)
        engine.connect().close()
        engine.dispose()


TRACKERS: dict[str, Callable[[Run], Tracker]] = {"tensorboard": TensorBoardTracker, "mlflow": MlflowTracker}


def _milliseconds() -> int:
    """Since 1970, as MLflow dates its metrics."""
    return int(1000 * time.time())


def _scalars(event: Event) -> Iterator[tuple[str, float, int]]:
    """What an event measured: name, value, step of all epochs."""
    if isinstance(event, StepDone):
        yield "loss", event.loss, event.step
        yield "lr", event.lr, event.step
    elif isinstance(event, EpochDone):
        yield "epoch", event.epoch + 1, event.step
        yield "train/loss", event.train_loss, event.step
        yield "train/accuracy", event.train_accuracy, event.step
        if event.validation_loss is not None and event.validation_accuracy is not None:
            yield "validation/loss", event.validation_loss, event.step
            yield "validation/accuracy", event.validation_accuracy, event.step
        yield "seconds", event.seconds, event.step


def _outcome(run: Run) -> Iterator[tuple[str, float]]:
    """The scores of the finished model, in float32 as it ships."""
    result = run.result
    yield "parameters", result["parameters"]
    for split in ("validation", "test"):
        if scores := result[split]:
            yield f"final/{split}/accuracy", scores["accuracy"]
            yield f"final/{split}/accuracy_low", scores["interval"][0]
            yield f"final/{split}/accuracy_high", scores["interval"][1]
            yield f"final/{split}/loss", scores["loss"]


def _parameters(run: Run) -> dict[str, Any]:
    """The recipe's keys, those of stages as ``stages.0.lr``, and what the run adds: data, device, precision."""
    environment = run.environment
    flat: dict[str, Any] = {}
    for key, value in run.recipe.as_dict().items():
        if key == "stages":
            flat |= {f"stages.{i}.{name}": x for i, stage in enumerate(value) for name, x in stage.items()}
        else:
            flat[key] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)

    return flat | {
        "data": environment.data.source or environment.data.train.name,
        "data.train": environment.data.train.content,
        "device": environment.machine.device,
        "trained_in": environment.precision,
    }
