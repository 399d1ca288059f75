"""A run trained again: what its folder says of the training, and what the new one says of its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.beside_recipe import beside_the_recipe
from fittingroom.data.splits import Splits
from fittingroom.environment import describe_machine, git_revision, versions
from fittingroom.errors import Interrupted
from fittingroom.events import EpochDone, Event, Hooks, JobEvent, Observer, StepDone
from fittingroom.own_code.name import OwnCode
from fittingroom.parallel.process_group import ALONE
from fittingroom.recipes.own_names import code_names, with_kept_code
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.metrics_log import read_metrics
from fittingroom.runs.recorded import recorded_code, recorded_start
from fittingroom.runs.run import Run
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.fit import Fitted, fit
from fittingroom.training.precision import refuse_without_bf16
from fittingroom.training.start_weights import StartWeights


@dataclass
class Trace:
    """What a training said of its steps, gathered by an observer or read from ``metrics.jsonl``."""

    losses: dict[int, float] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take what is compared."""
        if isinstance(event, StepDone):
            self.losses[event.step] = event.loss
        elif isinstance(event, EpochDone):
            self.states[event.epoch] = event.state_sha256

    @classmethod
    def read(cls, file: Path) -> Trace:
        """The trace of a recorded training; empty where nothing is recorded. The losses come back bit for bit."""
        events = read_metrics(file) if file.exists() else []
        losses = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
        epochs = [event for event in events if event["event"] == "epoch"]
        return cls(losses, {event["epoch"]: event.get("state_sha256", "") for event in epochs})


@dataclass(frozen=True)
class Again:
    """How a run is trained again: all that its folder says, on the device and with the threads that are here."""

    splits: Splits
    environment: Environment
    codes: Mapping[str, OwnCode]
    bundles: NDArray[np.int64] | None
    start: StartWeights | None
    device: str
    observe: Observer
    trust_code: bool

    @classmethod
    def of(
        cls,
        run: Run,
        environment: Environment,
        trust_code: bool,
        device: str | None,
        threads: int | None,
        observe: Observer | None,
    ) -> Again:
        """Settle everything, and refuse what can't be the same training."""
        device = pick_device(device or environment.machine.device)
        refuse_without_bf16(environment.precision, environment.bf16_emulated, device, str(run.path))
        prepare_torch(threads or environment.machine.threads, environment.options.deterministic)
        first = (run.members or [run])[0]  # a run of several seeds keeps the source with each of them
        recipe = recorded_code(first, first.recipe, ALONE, trust_code=trust_code)
        splits = run.open_data()
        bundles = bundles_of(environment, splits)
        start = recorded_start(first, environment, ALONE)
        codes = {str(name): name.code for name in code_names(recipe)}
        return cls(splits, environment, codes, bundles, start, device, observe or (lambda _event: None), trust_code)

    def with_code(self, recipe: Recipe) -> Recipe:
        """A recipe of the run, with the code that its names mean."""
        return with_kept_code(recipe, self.codes, Path("the run"))

    def train(self, recipe: Recipe, name: str, trace: Trace, stop_after: int | None = None) -> Fitted | None:
        """Train by a recipe; None where it was to stop before its end."""

        def observe(event: Event) -> None:
            trace.observe(event)
            self.observe(JobEvent(job=name, event=event))

        stops = Hooks(
            observe=observe, should_stop=lambda: stop_after is not None and len(trace.losses) + 1 >= stop_after
        )
        try:
            return fit(
                self.splits,
                self.with_code(recipe),
                device=self.device,
                precision=self.environment.precision,
                group_N=self.bundles,
                start=self.start,
                hooks=stops,
            )
        except Interrupted:
            return None

    def differences(self) -> list[str]:
        """What is otherwise now than when the run was trained."""
        now = dataclasses.replace(
            self.environment,
            processes=1,
            machine=describe_machine(self.device),
            versions=versions(*(package for package in ("timm",) if package in self.environment.versions)),
            revision=git_revision(),
        )
        return beside_the_recipe("the run", self.environment, "this training", now)
