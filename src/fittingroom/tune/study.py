"""A search on disk: Optuna's storage, and a folder for each trial, which is a run like any other.

    runs/swift-tune-1/
      study.json        what is searched, by what, for what; `"format": 1`
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
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import join
from typing import Any, NotRequired, TypedDict, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from fittingroom.data.dataset import Splits
from fittingroom.data.open import open_dataset
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.events import Hooks, JobDone
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.lock import exclusive, exclusive_if_free
from fittingroom.files.records import LongText, brief, read_record
from fittingroom.models import build_model, find_model
from fittingroom.own_code.kept import FOLDER as CODE
from fittingroom.own_code.kept import KeptCode, KeptCodes
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.recipes.by_data import settled
from fittingroom.recipes.code_keys import own_names
from fittingroom.recipes.own_names import options_for_code
from fittingroom.recipes.reading import recipe_from_dict
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import as_given, claimed_folder, start_anew
from fittingroom.runs.environment_record import Options, holds_run
from fittingroom.runs.kept_code import executed_files, keep_study_code, with_study_code
from fittingroom.runs.one_writer import BEGIN_AGAIN, BEGUN, beginning, was_stopped_at_once
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.runs.run import FORMAT, Run, command_line
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.hold_out import held_out_count, learned_from_count
from fittingroom.tune.objective import OBJECTIVES, Objective
from fittingroom.tune.sampler_pruner import distributions, make_pruner, sampler_of_trial
from fittingroom.tune.space import (
    Choices,
    SearchSpace,
    apply,
    baseline_values,
    label,
    names_in_study,
    parse_space,
    read_space,
)
from fittingroom.tune.storage import DATABASE, open_storage, sqlite_in, without_password
from fittingroom.tune.trial import Outcome, Plan, Trial, open_trial, run_trial

STUDY = "study.json"
FIRST_FILES = (CODE, DATABASE, f"{DATABASE}-journal", STUDY)  # that a study has before its first trial; its record last
DAMAGED = "the file was damaged or changed: put a copy of it back, or start a new study"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
STATES["diverged"] = TrialState.PRUNED  # as a value that the search learns to keep away from; a failure it ignores


class StudyData(TypedDict):
    """What ``study.json`` says of its data: where it is, and the fingerprints of what is trained and judged on."""

    source: str
    train: str
    validation: str | None


class StudyRecord(TypedDict):
    """What ``study.json`` says; plan, options and recipe are read by their own records."""

    plan: dict[str, Any]
    recipe: dict[str, Any]
    space: LongText
    code: NotRequired[dict[str, KeptCode]]
    storage: str | None
    options: dict[str, Any]
    data: StudyData


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

    @property
    def name(self) -> str:
        """In Optuna's storage."""
        return self.path.resolve().name

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
                f"{self.path}: its storage has no study {self.name!r}; a study's folder keeps its first name"
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
        """Of a trial's run."""
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
        """Whether going on with it executes code that is not of this package."""
        return bool(self.code_files)

    @property
    def code_files(self) -> list[str]:
        """The files that going on with it executes."""
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
            text += f"{after}   validation {self.objective.name} {self.objective.text(trial.value)}"
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
        curve = sorted(trial.intermediate_values.items())
        message = trial.user_attrs.get("message", "")
        return Trial(trial.number, state, trial.value, self._values(trial), curve, seconds, message)

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


def start_study(
    splits: Splits,
    recipe: Recipe,
    space: str | Path,
    plan: Plan,
    *,
    out: Path | None = None,
    options: Options | None = None,
    storage: str | None = None,
) -> Study:
    """Write a new study's folder and make it known to Optuna. Its first trial is to be the baseline, the recipe itself.

    Args:
        splits: with labels; a test set is put aside.
        recipe: has to hold out validation images.
        space: TOML text, or the path of a file with it; see :mod:`fittingroom.tune.space`.
        plan: objective, pruner, seed and number of trials.
        out: new or empty; by default the next free ``runs/<recipe>-tune-<number>``.
        options: device, threads and the like, of every training.
        storage: a URL of Optuna's; by default an SQLite file in the folder.

    Raises:
        RecipeError: every problem of the space; no validation images.
        ArtifactError: the folder is taken, or the name of the study in the storage is.
        FittingRoomError: the storage can't be reached.
    """
    # Whatever no trial could run with is refused here, before there is a folder.
    options = options or Options()
    pick_device(options.device)
    prepare_torch(options.threads, options.deterministic)
    splits = dataclasses.replace(splits, test=None)
    if held_out_count(splits, recipe) == 0:
        raise RecipeError(
            "tune chooses by validation images, and the recipe holds none out: give it validation = 2000, say"
        )

    text = read_space(space) if isinstance(space, Path) else space
    entries = _parsed(text, recipe, splits, where=space.name if isinstance(space, Path) else "space")

    if storage is not None:
        open_storage(storage)
    if out is not None and (as_given(out) / STUDY).exists():
        raise ArtifactError(f"{out}: there is a study already; to go on with it: fittingroom tune --resume {out}")

    # Sources are kept now: a trial that is drawn tomorrow trains the network that was tried today.
    with ExitStack() as held:
        folder = claimed_folder(out, f"{recipe.name or 'run'}-tune", held, FIRST_FILES)
        with beginning(folder, FIRST_FILES):
            code = keep_study_code(folder, names_in_study(recipe, entries))
            study = Study(folder, plan, recipe, entries, options, storage or sqlite_in(folder), splits, code)
            _enter_into_storage(study)

            # Last: a folder with this file is a study.
            record = {
                "format": FORMAT,
                "command": command_line(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "plan": asdict(plan),
                "recipe": recipe.as_dict(),
                "space": text,
                "code": {name: asdict(kept) for name, kept in code.items()},
                "storage": storage and without_password(storage),
                "options": asdict(study.options),
                "data": {"source": splits.source, **_fingerprints(splits)},
                "versions": versions() | {"optuna": optuna.__version__},
            }
            write_json(folder / STUDY, record)
    return study


def _parsed(text: str, recipe: Recipe, splits: Splits, *, where: str) -> SearchSpace:
    """The space of a new study, each of its models built once. Raises RecipeError with every problem."""
    source = find_model(recipe.model)
    classes, size = splits.train.num_classes, splits.train.image_size

    def try_model(changed: Recipe) -> None:
        tried = source if changed.model == recipe.model else find_model(changed.model)
        build_model(
            tried,
            num_classes=classes,
            image_size=size,
            channels=splits.train.channels,
            model_args=changed.model_args,
        )

    return parse_space(text, recipe, try_model, where=where)


def _enter_into_storage(study: Study) -> None:
    """Make a new study known to Optuna, its baseline the first trial to be drawn where the space has it.

    Raises:
        ArtifactError: the storage has a study of this name; the new folder is removed.
    """
    storage, direction = open_storage(study.storage), study.objective.direction
    try:
        known = optuna.create_study(study_name=study.name, storage=storage, direction=direction)
    except optuna.exceptions.DuplicatedStudyError:
        shutil.rmtree(study.path)
        raise ArtifactError(
            f"{study.name}: the storage has a study of this name already; give another `out`, or "
            "go on with that one: fittingroom tune --resume STUDY"
        ) from None
    if (baseline := baseline_values(study.recipe, study.space)) is not None:
        known.enqueue_trial({path: label(value) for path, value in baseline.items()})


def open_study(path: Path, *, splits: Splits | None = None, storage: str | None = None) -> Study:
    """A study that was started.

    Args:
        path: its folder.
        splits: needed where it was given its data in memory.
        storage: its URL, needed where that has a password, which is not kept.

    Raises:
        ArtifactError: no study there, or a damaged one; a password is missing.
        DataError: the data is not what the study was started with.
    """
    if not (path / STUDY).exists():
        way = BEGIN_AGAIN if was_stopped_at_once(path, STUDY) else "`fittingroom tune` makes one"
        raise ArtifactError(f"{path}: the folder of a study expected, with a {STUDY}; {way}")
    with suppress(OSError):
        (path / BEGUN).unlink(missing_ok=True)  # of a process that was killed right after the record was whole
    record, file = read_json(path / STUDY), str(path / STUDY)
    read_record(StudyRecord, record, file, advice=DAMAGED)
    options = read_record(Options, record["options"], f"{file}: options", advice=DAMAGED)

    # A study goes on with the images that it was begun with, or its trials could not be compared.
    recipe = recipe_from_dict(record["recipe"], where=str(path / STUDY))
    if splits is None:
        if not record["data"]["source"]:
            raise DataError(f"{path}: its data was given in memory; give it again")
        splits = open_dataset(record["data"]["source"], cache=options.cache, preprocessing=preprocessing_of(recipe))
    splits = dataclasses.replace(splits, test=None)
    for part, fingerprint in _fingerprints(splits).items():
        if record["data"][part] != fingerprint:
            raise DataError(f"{path}: a study goes on only with its own data; its {part} set has changed since")

    # The study may have come from a stranger: which database is opened beside its own file is for its user to say. And
    # a password is not kept.
    kept = record["storage"]
    if storage is None and kept and kept != without_password(kept, mask=""):
        raise ArtifactError(
            f"{path}: its storage {brief(kept)} has a password, which is not kept: give `storage` with it again"
        )
    if storage is None and kept:
        raise ArtifactError(
            f"{path}: it was begun with the storage {brief(kept)}, which is opened only where you name it: give "
            "`storage` again"
        )

    plan = read_record(Plan, record["plan"], f"{file}: plan", advice=DAMAGED)
    space = parse_space(record["space"], recipe, where=file)
    code = read_record(dict[str, KeptCode], record.get("code", {}), f"{file}: code", advice=DAMAGED)
    return Study(path, plan, recipe, space, options, storage or sqlite_in(path), splits, code)


def _fingerprints(splits: Splits) -> dict[str, str | None]:
    """Of what is trained and judged on, in file order."""
    return {
        "train": splits.train.fingerprint.order,
        "validation": splits.validation.fingerprint.order if splits.validation is not None else None,
    }
