"""A search on disk: Optuna's storage, and a folder for each trial, which is a run like any other.

    runs/swift-tune-1/
      study.json        what is searched, by what, for what; `"format": 1`
      study.db          Optuna's storage, unless another was named
      trial-0000/ …     the runs; a pruned one has its last checkpoint and no model
      final-0012-3/     the best trial's recipe with 3 fresh seeds
      best.toml  result.json  report.html

Several processes may work on one study. They draw trials under a lock, and hold another for each that they carry out:
a trial that runs by Optuna's word while nobody holds its lock was left by a process that died, and is gone on with.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import join
from typing import Any, Literal, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from fittingroom.artifact.artifact import SOURCE, read_trusted_code
from fittingroom.data.dataset import Splits
from fittingroom.data.open import open_dataset
from fittingroom.environment import versions
from fittingroom.errors import ArtifactError, DataError, RecipeError
from fittingroom.events import JobDone, Observer
from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.lock import exclusive, exclusive_if_free
from fittingroom.models import MODELS, ModelSource, build_model, find_model, model_from_code, package_model
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.recipes.recipe import Recipe, recipe_from_dict
from fittingroom.runs.create import Options, new_folder, start
from fittingroom.runs.run import FORMAT, Run, command_line
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.hold_out import hold_out
from fittingroom.training.seeds import derive_seed
from fittingroom.tune.space import Choices, SearchSpace, apply, label, own_values, parse_space, read_space
from fittingroom.tune.storage import open_storage, sqlite_in, without_password
from fittingroom.tune.trial import Outcome, Plan, Trial, carry_out, make_pruner, open_trial

STUDY = "study.json"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
STATES["diverged"] = TrialState.PRUNED  # as a value that the search learns to keep away from; a failure it ignores


@dataclass(frozen=True)
class KeptCode:
    """The source of a network of the user's own, as a study keeps it."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Study:
    """A study that was started. ``splits`` has no test set: nothing that belongs to the search is ever handed one.

    ``code`` has, for each network of the user's own, the name of its kept source and that one's SHA-256; it is executed
    only where ``trust_code`` says so.
    """

    path: Path
    plan: Plan
    recipe: Recipe
    space: SearchSpace
    options: Options
    storage: str
    splits: Splits = field(repr=False)
    code: Mapping[str, KeptCode] = field(default_factory=dict)
    trust_code: bool = False

    @property
    def name(self) -> str:
        """In Optuna's storage."""
        return self.path.resolve().name

    def trials(self) -> list[Trial]:
        """Every trial that was begun, by number."""
        trials = self.as_optuna().get_trials(deepcopy=False)
        return [self._described(trial) for trial in trials if trial.state != TrialState.WAITING]

    def as_optuna(self) -> optuna.Study:
        """The study as Optuna has it. Raises :class:`ArtifactError` where its storage doesn't know it."""
        try:
            pruner = make_pruner(self.plan.pruner, self.recipe.epochs)
            return optuna.load_study(study_name=self.name, storage=open_storage(self.storage), pruner=pruner)
        except KeyError:
            raise ArtifactError(
                f"{self.path}: its storage has no study {self.name!r}; a study's folder keeps its first name"
            ) from None

    def best(self) -> Trial | None:
        """The finished trial of the best objective; the earlier one of two that are alike."""
        finished = [trial for trial in self.trials() if trial.state == "finished" and trial.value is not None]
        sign = -1 if self.plan.objective == "accuracy" else 1
        return min(finished, key=lambda trial: sign * cast("float", trial.value), default=None)

    def folder(self, number: int) -> Path:
        """Of a trial's run."""
        return self.path / f"trial-{number:04d}"

    def search(
        self,
        trials: int,
        seconds: float | None,
        engine: RayEngine | None,
        observe: Observer,
        should_stop: Callable[[], bool],
    ) -> None:
        """Carry out trials until the study has so many; after so many seconds none is begun.

        Raises:
            Interrupted: on request; the trials' states are saved, and the next search goes on with them.
        """
        study = self.as_optuna()
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        held: dict[str, tuple[int, ExitStack]] = {}

        def jobs() -> Iterator[Job[Outcome]]:
            while time.monotonic() < deadline and (drawn := self._draw(study, trials)) is not None:
                trial, lock = drawn
                try:
                    run = self._started(trial)
                except RecipeError as error:  # keys that don't go together
                    self._tell(study, trial.number, Outcome("failed", None, str(error)))
                    lock.close()
                    continue
                held[f"trial {trial.number}"] = trial.number, lock
                elsewhere = engine is not None and self.splits.source
                run = Run(run.path, None if elsewhere else self.splits)
                work = partial(carry_out, run, self.storage, self.name, trial.number, self.plan, self.trust_code)
                yield Job(f"trial {trial.number}", work)

        threads, gpus = self.options.threads or 1, int(pick_device(self.options.device) == "cuda")
        ended = run_jobs(jobs(), engine, threads=threads, gpus=gpus, observe=observe, should_stop=should_stop)
        try:
            with closing(ended):
                for job, outcome in ended:
                    number, lock = held.pop(job.name)
                    self._tell(study, number, outcome)
                    lock.close()
                    observe(JobDone(job=job.name, outcome=self._sentence(number)))
        finally:
            for _, lock in held.values():
                lock.close()

    @property
    def runs_code(self) -> bool:
        """Whether going on with it executes a network's source that is not of this package."""
        return bool(self.code_files)

    @property
    def code_files(self) -> list[str]:
        """The files that going on with it executes: its own copies, and what a study of 0.1 names instead."""
        named = [name for name in models_named(self.recipe, self.space) if name not in MODELS and name not in self.code]
        kept = [str(self.path / kept.file) for kept in self.code.values()]
        return [*kept, *named, *map(str, sorted(self.path.rglob(SOURCE)))]

    def train_command(self, best: Mapping[str, Any]) -> str:
        """What trains the recipe of these best values on the study's data; code of one's own is named by its copy."""
        model = str(best.get("model", self.recipe.model))
        words = ["fittingroom", "train", self.splits.source or "DATA", "--recipe", str(self.path / "best.toml")]
        if kept := self.code.get(model):
            words += ["--model", f"{self.path / kept.file}:{model.rpartition(':')[2]}"]
        return join(words)

    def source_of(self, model: str) -> ModelSource:
        """The constructor of a model that the study names.

        Raises:
            ArtifactError: code that isn't trusted, or was changed.
            RecipeError: the file has no such name or fails.
        """
        if kept := self.code.get(model):
            code = read_trusted_code(self.path, kept.sha256, trusted=self.trust_code, file=kept.file)
            return model_from_code(model, code, model.rpartition(":")[2], str(self.path / kept.file))
        # A study of 0.1 kept no code: its user was shown the path before saying that it is trusted.
        return find_model(model) if self.trust_code else package_model(model)

    def is_concluded_elsewhere(self) -> bool:
        """Whether another process is training the best recipe right now."""
        with exclusive_if_free(self.conclusion_lock) as free:
            return not free

    @property
    def conclusion_lock(self) -> Path:
        """Held by the process that trains the best recipe."""
        return self.path / ".locks" / "conclusion"

    def running_elsewhere(self) -> int:
        """Trials that other processes are carrying out."""
        count = 0
        for trial in self.trials():
            if trial.state == "running":
                with exclusive_if_free(self._lock(trial.number)) as free:
                    count += not free
        return count

    def _draw(self, study: optuna.Study, trials: int) -> tuple[FrozenTrial, ExitStack] | None:
        """A trial that was left by a process that died, or a new one, with its lock held; None if there are enough."""
        with exclusive(self.path / ".locks" / "draw", waiting=lambda: None):
            begun = [each for each in study.get_trials(deepcopy=False) if each.state != TrialState.WAITING]
            for number in [trial.number for trial in begun if trial.state == TrialState.RUNNING]:
                lock = ExitStack()
                free = lock.enter_context(exclusive_if_free(self._lock(number)))
                trial = study.get_trials(deepcopy=False)[number]  # its process may have ended it since
                if free and trial.state == TrialState.RUNNING:
                    if trial.params.keys() >= self.space.keys():
                        return trial, lock
                    self._tell(study, number, Outcome("failed", None, "its process died while it was drawn"))
                lock.close()
            if len(begun) >= trials:
                return None
            # A fresh sampler for each trial: what it draws depends on the trials before it, not on this process's past,
            # so that a study that was stopped goes on as it would have gone on.
            study.sampler = optuna.samplers.TPESampler(seed=derive_seed(self.plan.seed, "trial", len(begun)) % 2**32)
            number = study.ask(_distributions(self.space)).number
            lock = ExitStack()
            lock.enter_context(exclusive(self._lock(number), waiting=lambda: None))
            return study.get_trials(deepcopy=False)[number], lock

    def _started(self, trial: FrozenTrial) -> Run:
        """The run of a trial, from its first second on: what is left to do is in the folder."""
        run = Run(self.folder(trial.number), self.splits)
        if not (run.path / "environment.json").exists():
            shutil.rmtree(run.path, ignore_errors=True)  # what a process left that died while it wrote it
            recipe = dataclasses.replace(apply(self.recipe, self._values(trial)), seed=self.plan.seed)
            source = self.source_of(recipe.model)
            run = start(self.splits, recipe, out=run.path, options=self.options, source=source)
        return run

    def _tell(self, study: optuna.Study, number: int, outcome: Outcome) -> None:
        """Write down how a trial ended."""
        trial = open_trial(study, number)
        trial.set_user_attr("state", outcome.state)
        if outcome.message:
            trial.set_user_attr("message", outcome.message)
        study.tell(number, outcome.value if outcome.state == "finished" else None, STATES[outcome.state])

    def _sentence(self, number: int) -> str:
        """What the progress says of a trial that has ended."""
        trial, best = self.trials()[number], self.best()
        text = f"{trial.state}{trial.message and ': '}{trial.message}"
        if trial.value is not None:
            after = f" after epoch {trial.curve[-1][0]}" if trial.state == "pruned" else ""
            text += f"{after}   validation {self.plan.objective} {self.say(trial.value)}"
        if best is not None:
            others = f"trial {best.number} with {self.say(best.value)}"
            text += f"   best so far: {'this one' if best.number == number else others}"
        return text

    def say(self, value: float | None) -> str:
        """An objective in words."""
        if value is None:
            return "–"
        return f"{value:.2%}" if self.plan.objective == "accuracy" else f"{value:.4f}"

    def say_mean(self, fresh: Mapping[str, Any]) -> str:
        """The mean of several seeds with its sd and 95 % interval, in words."""
        low, high = fresh["interval_of_mean"]
        sd = f"{100 * fresh['sd']:.2f} points" if self.plan.objective == "accuracy" else f"{fresh['sd']:.4f}"
        return f"{self.say(fresh['mean'])}, sd {sd}, 95 % of the mean {self.say(low)} to {self.say(high)}"

    @property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says, once the study has come to one."""
        return read_json(self.path / "result.json")

    def _described(self, trial: FrozenTrial) -> Trial:
        state = trial.user_attrs.get("state", "running") if trial.state in ENDED else "running"
        seconds = None
        if trial.datetime_start and trial.datetime_complete:
            seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
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

    def _lock(self, number: int) -> Path:
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
    """Write a new study's folder and make it known to Optuna. Its first trial is to be the recipe as it is.

    Args:
        splits: with labels; a test set is put aside.
        recipe: has to hold out validation images.
        space: TOML text, or the path of a file with it; see :mod:`fittingroom.tune.space`.
        out: new or empty; by default the next free ``runs/<recipe>-tune-<number>``.
        storage: a URL of Optuna's; by default an SQLite file in the folder.

    Raises:
        RecipeError: every problem of the space; no validation images.
        ArtifactError: the folder is taken, or the name of the study in the storage is.
        FittingRoomError: the storage can't be reached.
    """
    options = options or Options()
    pick_device(options.device)
    prepare_torch(options.threads, options.deterministic)
    splits = dataclasses.replace(splits, test=None)
    if hold_out(splits, recipe)[1] is None:
        raise RecipeError("tune chooses by validation images, and the recipe holds none out; say --set validation=2000")
    source, classes, size = find_model(recipe.model), splits.train.num_classes, splits.train.image_size

    def try_model(changed: Recipe) -> None:
        tried = source if changed.model == recipe.model else find_model(changed.model)
        build_model(tried, num_classes=classes, image_size=size, model_args=changed.model_args)

    where = space.name if isinstance(space, Path) else "space"
    space = read_space(space) if isinstance(space, Path) else space
    entries = parse_space(space, recipe, try_model, where=where)
    if storage is not None:
        open_storage(storage)  # before a folder is made
    if out is not None and (out / STUDY).exists():
        raise ArtifactError(f"{out}: there is a study already; to go on with it: fittingroom tune --resume {out}")
    folder = new_folder(out, f"{recipe.name or 'run'}-tune")
    code = _keep_code(folder, {name: find_model(name) for name in models_named(recipe, entries)})
    study = Study(folder, plan, recipe, entries, options, storage or sqlite_in(folder), splits, code)
    direction: Literal["maximize", "minimize"] = "maximize" if plan.objective == "accuracy" else "minimize"
    try:
        known = optuna.create_study(study_name=study.name, storage=open_storage(study.storage), direction=direction)
    except optuna.exceptions.DuplicatedStudyError:
        shutil.rmtree(folder)
        raise ArtifactError(
            f"{study.name}: the storage has a study of this name already; name the folder otherwise by --out, or "
            "go on with that one: fittingroom tune --resume STUDY"
        ) from None
    if (own := own_values(recipe, entries)) is not None:
        known.enqueue_trial({path: label(value) for path, value in own.items()})
    about = {
        "format": FORMAT,
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": asdict(plan),
        "recipe": recipe.as_dict(),
        "space": space,
        "code": {name: asdict(kept) for name, kept in code.items()},
        "storage": storage and without_password(storage),
        "options": asdict(study.options),
        "data": {"source": splits.source, **_fingerprints(splits)},
        "versions": versions() | {"optuna": optuna.__version__},
    }
    write_json(folder / STUDY, about)
    return study


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
        raise ArtifactError(f"{path}: the folder of a study expected, with a {STUDY}; `fittingroom tune` makes one")
    about = read_json(path / STUDY)
    if splits is None:
        if not about["data"]["source"]:
            raise DataError(f"{path}: its data was given in memory; give it again")
        splits = open_dataset(about["data"]["source"], cache=about["options"]["cache"])
    splits = dataclasses.replace(splits, test=None)
    for part, now in _fingerprints(splits).items():
        if about["data"][part] != now:
            raise DataError(f"{path}: a study goes on only with its own data; its {part} set has changed since")
    kept = about["storage"]
    if storage is None and kept and kept != without_password(kept, mask=""):
        raise ArtifactError(f"{path}: its storage {kept} has a password, which is not kept: give --storage URL again")
    recipe = recipe_from_dict(about["recipe"], where=str(path / STUDY))
    options = Options(**about["options"] | {"track": tuple(about["options"]["track"])})
    space = parse_space(about["space"], recipe, where=str(path / STUDY))
    code = {name: KeptCode(Path(known["file"]).name, known["sha256"]) for name, known in about.get("code", {}).items()}
    return Study(path, Plan(**about["plan"]), recipe, space, options, storage or kept or sqlite_in(path), splits, code)


def models_named(recipe: Recipe, space: SearchSpace) -> list[str]:
    """The models that a study's recipe and its space name, each once."""
    models = space.get("model")
    return list(dict.fromkeys([recipe.model, *(map(str, models.values) if isinstance(models, Choices) else ())]))


def _keep_code(folder: Path, sources: Mapping[str, ModelSource]) -> dict[str, KeptCode]:
    """Copy the user's own networks into the study's folder, each text once."""
    kept = {}
    for name, source in sources.items():
        if source.code is not None and source.sha256 is not None:
            kept[name] = KeptCode(f"model_source-{source.sha256[:12]}.py", source.sha256)
            with atomic_write(folder / kept[name].file) as file:
                file.write(source.code.encode())
    return kept


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    for path, entry in space.items():
        if isinstance(entry, Choices):
            found[path] = CategoricalDistribution([label(value) for value in entry.values])
        elif entry.whole:
            found[path] = IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
        else:
            found[path] = FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
    return found


def _fingerprints(splits: Splits) -> dict[str, str | None]:
    """Of what is trained and judged on, in file order."""
    return {
        "train": splits.train.fingerprint.order,
        "validation": splits.validation.fingerprint.order if splits.validation is not None else None,
    }
