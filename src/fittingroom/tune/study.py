"""A search on disk: Optuna's storage, and a folder for each trial, which is a run like any other.

    runs/swift-tune-1/
      study.json        what is searched, by what, for what; see :mod:`fittingroom.tune.record`
      study.db          Optuna's storage, unless another was named
      trial-0000/ …     the runs; a pruned one has its last checkpoint and no model
      final-0012-3/     the best trial's recipe with 3 fresh seeds
      best.toml  result.json  report.html

Several processes may work on one study. They draw trials under a lock, and hold another for each that they carry out:
a trial that runs by Optuna's word while nobody holds its lock was left by a process that died, and is resumed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shlex import join
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, RecipeError
from fittingroom.events import Hooks, JobDone
from fittingroom.files.json_file import read_json
from fittingroom.files.lock import exclusive, exclusive_if_free
from fittingroom.own_code.kept import KeptCodes
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.code_keys import own_names
from fittingroom.recipes.own_names import options_for_code
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import start_anew
from fittingroom.runs.environment_record import Options, holds_run
from fittingroom.runs.kept_code import executed_files, with_study_code
from fittingroom.runs.run import Run
from fittingroom.training.device import pick_device
from fittingroom.training.hold_out import learned_from_count
from fittingroom.tune.objective import OBJECTIVES, Objective
from fittingroom.tune.sampler_pruner import distributions, make_pruner, sampler_of_trial
from fittingroom.tune.space import Choices, SearchSpace, apply, label, names_in_study
from fittingroom.tune.storage import open_storage
from fittingroom.tune.trial import Outcome, Plan, Trial, open_trial, run_trial

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
STATES["diverged"] = TrialState.PRUNED  # as a value that the search learns to keep away from; a failure it ignores


@dataclass(frozen=True)
class Study:
    """A study that was started.

    Attributes:
        path: its folder.
        plan: objective, pruner, seed and number of trials.
        recipe: the baseline, of which the search changes some keys.
        space: what is searched, by the keys' paths.
        options: of every training.
        storage: the URL of Optuna's storage.
        splits: without a test set: nothing that belongs to the search is ever handed one.
        code: the user's own code, as the study keeps it, by the names in recipe and space.
        trust_code: permits executing it.
        known_as: its name in the storage, where that isn't the folder's: a folder may be copied or renamed.
    """

    path: Path
    plan: Plan
    recipe: Recipe
    space: SearchSpace
    options: Options
    storage: str
    splits: Splits = field(repr=False)
    code: KeptCodes = field(default_factory=dict)
    trust_code: bool = False
    known_as: str | None = None

    @property
    def name(self) -> str:
        """Its name in Optuna's storage: that of the folder when the study was begun."""
        return self.known_as or self.path.resolve().name

    @property
    def objective(self) -> Objective:
        """What the plan tunes for."""
        return OBJECTIVES[self.plan.objective]

    def as_optuna(self) -> optuna.Study:
        """The study as Optuna has it. Raises :class:`ArtifactError` where its storage doesn't know it."""
        try:
            epochs = settled(self.recipe, learned_from_count(self.splits, self.recipe)).epochs
            pruner = make_pruner(self.plan.pruner, epochs)
            return optuna.load_study(study_name=self.name, storage=open_storage(self.storage), pruner=pruner)
        except KeyError:
            raise ArtifactError(
                f"{self.path}: its storage has no study {self.name!r}: what it knew of the trials is gone; begin it "
                "again, or put its database back"
            ) from None

    # What is known of it

    def trials(self) -> list[Trial]:
        """Every trial that was begun, by number."""
        trials = self.as_optuna().get_trials(deepcopy=False)
        return [self._as_trial(trial) for trial in trials if trial.state != TrialState.WAITING]

    def best(self) -> Trial | None:
        """The finished trial of the best objective; the earlier one of two that are alike."""
        finished = [trial for trial in self.trials() if trial.state == "finished" and trial.value is not None]
        return min(finished, key=lambda trial: self.objective.rank(cast("float", trial.value)), default=None)

    def folder(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.path / f"trial-{number:04d}"

    @property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says, once the study has come to one."""
        return read_json(self.path / "result.json")

    def train_command(self, best: Mapping[str, Any]) -> str:
        """What trains the recipe of these best values on the study's data; code of one's own is named by its copy."""
        named = own_names(apply(self.recipe, best))
        words = ["fittingroom", "train", self.splits.source or "DATA", "--recipe", str(self.path / "best.toml")]
        return join([*words, *options_for_code(named, self.path, self.code)])

    # Code of the user's own

    @property
    def runs_code(self) -> bool:
        """Whether resuming it executes code that is not of this package."""
        return bool(self.code_files)

    @property
    def code_files(self) -> list[str]:
        """The files that resuming it executes."""
        return executed_files(self.path, names_in_study(self.recipe, self.space), self.code)

    def with_code(self, recipe: Recipe) -> Recipe:
        """A recipe of the study with its code. Raises as :func:`fittingroom.runs.kept_code.with_study_code`."""
        return with_study_code(recipe, self.path, self.code, trusted=self.trust_code)

    # The search

    def search(
        self,
        trials: int,
        seconds: float | None,
        engine: RayEngine | None,
        hooks: Hooks,
    ) -> None:
        """Carry out trials until the study has so many; after so many seconds none is begun.

        Raises:
            Interrupted: on request; the trials' states are saved, and the next search resumes them.
        """
        study = self.as_optuna()
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        held: dict[str, tuple[int, ExitStack]] = {}

        jobs = self._jobs(study, trials, deadline, held, elsewhere=engine is not None)
        threads, gpus = self.options.threads or 1, int(pick_device(self.options.device) == "cuda")
        ended = run_jobs(jobs, engine, threads=threads, gpus=gpus, hooks=hooks)

        try:
            with closing(ended):
                for job, outcome in ended:
                    number, lock = held.pop(job.name)
                    self._record_outcome(study, number, outcome)
                    lock.close()
                    hooks.observe(JobDone(job=job.name, outcome=self._progress_text(number)))
        finally:
            # Trials that were stopped stay "running" for Optuna; without their locks any process may resume them.
            for _, lock in held.values():
                lock.close()

    def _jobs(
        self, study: optuna.Study, trials: int, deadline: float, held: dict[str, tuple[int, ExitStack]], elsewhere: bool
    ) -> Iterator[Job[Outcome]]:
        """A job for each trial that is left to do, drawn only when there is room for it.

        Args:
            study: as Optuna has it.
            trials: at which the study is complete.
            deadline: of ``time.monotonic()``, after which none is begun.
            held: receives number and lock of each trial by its job's name; whoever ends the job releases the lock.
            elsewhere: whether jobs run in other processes, which open the data themselves if they can.
        """
        while time.monotonic() < deadline and (drawn := self._next_trial(study, trials)) is not None:
            trial, lock = drawn
            try:
                run = self._begin(trial)
            except RecipeError as error:  # keys that don't go together
                self._record_outcome(study, trial.number, Outcome("failed", None, str(error)))
                lock.close()
                continue

            name = f"trial {trial.number}"
            held[name] = trial.number, lock
            run = Run(run.path, None if elsewhere and self.splits.source else self.splits)
            yield Job(name, partial(run_trial, run, self.storage, self.name, trial.number, self.plan, self.trust_code))

    def _next_trial(self, study: optuna.Study, trials: int) -> tuple[FrozenTrial, ExitStack] | None:
        """A trial that was left by a process that died, or a new one, with its lock held; None if there are enough."""
        with exclusive(self.path / ".locks" / "draw", waiting=lambda: None):
            begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
            running = [trial.number for trial in begun if trial.state == TrialState.RUNNING]
            for number in running:
                if left := self._left_behind(study, number):
                    return left
            if len(begun) >= trials:
                return None

            study.sampler = sampler_of_trial(self.plan.seed, len(begun))
            number = study.ask(distributions(self.space)).number

            # Its lock is taken before that of drawing is released: no other process may take it for left behind.
            lock = ExitStack()
            lock.enter_context(exclusive(self._lock(number), waiting=lambda: None))
            return study.get_trials(deepcopy=False)[number], lock

    def _left_behind(self, study: optuna.Study, number: int) -> tuple[FrozenTrial, ExitStack] | None:
        """A running trial with its lock, if no process holds that; None where one does, or nothing is to resume."""
        lock = ExitStack()
        free = lock.enter_context(exclusive_if_free(self._lock(number)))
        trial = study.get_trials(deepcopy=False)[number]  # its process may have ended it since
        if free and trial.state == TrialState.RUNNING:
            if trial.params.keys() >= self.space.keys():
                return trial, lock
            self._record_outcome(study, number, Outcome("failed", None, "its process died while it was drawn"))
        lock.close()
        return None

    def _begin(self, trial: FrozenTrial) -> Run:
        """The run of a trial, from its first second on: what is left to do is in the folder."""
        run = Run(self.folder(trial.number), self.splits)
        if not holds_run(run.path):
            recipe = dataclasses.replace(apply(self.recipe, self._values(trial)), seed=self.plan.seed)
            run = start_anew(self.splits, self.with_code(recipe), run.path, options=self.options)
        return run

    def _record_outcome(self, study: optuna.Study, number: int, outcome: Outcome) -> None:
        """Write down in Optuna's storage how a trial ended."""
        trial = open_trial(study, number)
        trial.set_user_attr("state", outcome.state)
        if outcome.message:
            trial.set_user_attr("message", outcome.message)
        study.tell(number, outcome.value if outcome.state == "finished" else None, STATES[outcome.state])

    def _progress_text(self, number: int) -> str:
        """What the progress says of a trial that has ended."""
        trial, best = self.trials()[number], self.best()
        text = f"{trial.state}{trial.message and ': '}{trial.message}"
        if trial.value is not None:
            after = f" after epoch {trial.curve[-1][0]}" if trial.state == "pruned" else ""
            text += f"{after}   validation {self.objective.word} {self.objective.text(trial.value)}"
        if best is not None:
            others = f"trial {best.number} with {self.objective.text(best.value)}"
            text += f"   best so far: {'this one' if best.number == number else others}"
        return text

    def _as_trial(self, trial: FrozenTrial) -> Trial:
        """What Optuna knows of a trial, in our words."""
        state = trial.user_attrs.get("state", "running") if trial.state in ENDED else "running"
        seconds = None
        if trial.datetime_start and trial.datetime_complete:
            seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
            seconds = seconds if seconds >= 0 else None  # the clock was put back, in autumn say: Optuna has local time

        # What isn't finite can be neither ranked nor drawn.
        curve = sorted((epoch, value) for epoch, value in trial.intermediate_values.items() if math.isfinite(value))
        value = trial.value if trial.value is not None and math.isfinite(trial.value) else None
        message = trial.user_attrs.get("message", "")
        return Trial(trial.number, state, value, self._values(trial), curve, seconds, message)

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        """What the search drew, as the recipe has it; of a trial that another process is drawing, a part of it."""
        values = {}
        for path, entry in self.space.items():
            if path not in trial.params:
                continue
            drawn = trial.params[path]
            values[path] = next(v for v in entry.values if label(v) == drawn) if isinstance(entry, Choices) else drawn
        return values

    # Other processes

    def running_elsewhere(self) -> int:
        """Trials that other processes are carrying out."""
        count = 0
        for trial in self.trials():
            if trial.state == "running":
                with exclusive_if_free(self._lock(trial.number)) as free:
                    count += not free
        return count

    def is_concluded_elsewhere(self) -> bool:
        """Whether another process is training the best recipe right now."""
        with exclusive_if_free(self.conclusion_lock) as free:
            return not free

    @property
    def conclusion_lock(self) -> Path:
        """Held by the process that trains the best recipe."""
        return self.path / ".locks" / "conclusion"

    def _lock(self, number: int) -> Path:
        """Held by the process that carries out a trial."""
        return self.path / ".locks" / f"trial-{number:04d}"
