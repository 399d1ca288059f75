"""The one function that makes a whole run: train → export → evaluate → report.

The test set never reaches the training: only :meth:`fittingroom.run.Run.evaluate` is given it, and only on request.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from fittingroom.artifact import SOURCE, Artifact, save_artifact
from fittingroom.atomic import atomic_write
from fittingroom.data.cache import cache_dir
from fittingroom.data.dataset import Dataset, Splits, stratified_split
from fittingroom.data.normalization import Normalization, normalization_of
from fittingroom.data.open import open_dataset
from fittingroom.device import pick_device, resolve_precision
from fittingroom.distributed import Group, is_own_job, joined, launcher, processes, torchrun_job
from fittingroom.environment import describe_machine, git_revision, versions
from fittingroom.errors import ArtifactError, DataError, Interrupted, ProcessLost, RecipeError
from fittingroom.evaluate import predict_dataset
from fittingroom.events import Event, JobDone, Observer
from fittingroom.export import ExportError, export_onnx
from fittingroom.jobs import Job, run_jobs
from fittingroom.json_file import write_json
from fittingroom.metrics_log import MetricsLog
from fittingroom.models import ModelSource, find_model, model_from_code
from fittingroom.models.summary import count_parameters
from fittingroom.ray_engine import RayEngine, check_engine
from fittingroom.recipe import Recipe, differences, load_recipe, parse_recipe
from fittingroom.report.model_card import write_model_card
from fittingroom.report.page import write_report
from fittingroom.report.plots import plot_loss
from fittingroom.run import FORMAT, Run, command_line, open_recorded_data, summarize_members
from fittingroom.tracking import open_tracker
from fittingroom.training import Setting
from fittingroom.training import train as train_model

HOLD_OUT = 5_000  # validation images where the recipe says nothing, if that is not more than a tenth
LARGEST_SHARE = 5  # a recipe's number of validation images is cut to a fifth of a training set that is small


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out, beside its recipe. Kept in ``environment.json``; a resumed run takes them from there.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU; None for PyTorch's choice.
        keep: checkpoints that stay on disk, ≥ 1.
        deterministic: ask CUDA for the same result each time, at some cost in speed. The CPU always gives it.
        test: path of a test set that lies elsewhere.
        cache: whether data sets are read through the cache.
        xkcd: draw curves in the hand-drawn style of the tutorial notebook.
        track: trackers to tell of the run as well, see :mod:`fittingroom.tracking`.

    Example:
        >>> import fittingroom as fr
        >>> fr.Options(device="cpu", threads=1).keep
        2
    """

    device: str = "auto"
    threads: int | None = None
    keep: int = 2
    deterministic: bool = False
    test: str | None = None
    cache: bool = True
    xkcd: bool = False
    track: tuple[str, ...] = ()


def train(
    data: Splits | Dataset | str | Path,
    recipe: Recipe | str | Path = "swift",
    *,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
    look_at_test: bool = False,
    engine: RayEngine | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Train a model and write the run's folder.

    Started by torchrun, the processes train one model together. The one of rank 0 writes the folder; the others return
    when the training is done, and may find the folder unfinished, or none on their host. A run that torchrun had to
    restart goes on from its newest checkpoint.

    Args:
        data: an open data set, a name such as ``fashion-mnist``, or a path.
        recipe: a recipe, the name of one of the package's, or the path of a TOML file.
        seed: in place of the recipe's.
        seeds: train once for each: a number N for N seeds from the recipe's on, or a list of them.
        out: the run's folder, new or empty; by default the next free ``runs/<recipe>-<number>``.
        options: device, threads and the like.
        look_at_test: judge the finished model on the test set, once, before the report is written.
        engine: where several seeds are trained side by side; each gets the options' threads, by default one. None
            trains them one after another in this process. The result is the same for the same number of threads.
        observe: receives the events of :mod:`fittingroom.events`; of several seeds each event with its seed's name.
        should_stop: asked after each step; true saves the state and ends with :class:`Interrupted`.

    Raises:
        RecipeError, DataError: what the user gave doesn't work, and why.
        Interrupted: stopped on request; :func:`resume` goes on.
        TrainingDiverged: an infinite or NaN loss.
        ProcessLost, AnotherFailed: in a training on several processes, see :mod:`fittingroom.distributed`.
        FittingRoomError: Ray isn't installed, or failed.

    Example:
        >>> import fittingroom as fr
        >>> recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1"])
        >>> run = fr.train("sample", recipe, seed=1, out="runs/first", options=fr.Options(threads=1))
        >>> run.result["validation"]["n"], run.result["test"]  # test was not asked for
        (200, None)
    """
    options = options or Options()
    if engine is not None:
        _check_engine(engine, seeds is not None)
        options = dataclasses.replace(options, threads=options.threads or 1)
    with joined():
        run = start(data, recipe, seed=seed, seeds=seeds, out=out, options=options)
        return _judge_and_report(_carry_out(run, engine, observe, should_stop), look_at_test)


def start(
    data: Splits | Dataset | str | Path,
    recipe: Recipe | str | Path = "swift",
    *,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
) -> Run:
    """Write the folder of a run with all that decides what it will be. :func:`finish` or :func:`resume` trains it.

    Arguments and errors are those of :func:`train`.
    """
    options = options or Options()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    recipe = recipe if seed is None else dataclasses.replace(recipe, seed=seed)
    with joined() as group:
        group.check_batch(recipe.batch_size)
        with group.one_of_each_host_first():
            splits = _as_splits(data, options)
        source = find_model(recipe.model)
        _prepare_torch(options.threads, options.deterministic)

        def make_folder() -> str:
            """The new folder of the run, or the one that it had before torchrun restarted it."""
            folder = _own_folder(out, recipe.name or "run")
            if folder is None:
                environment = _describe(splits, recipe, source, options, _seed_list(recipe, seeds), group)
                folder = new_folder(out, recipe.name or "run")
                _write_start(folder, recipe, source, environment)
            return str(folder)

        run = Run(Path(group.from_writer(make_folder)), splits)
        _refuse_changes(run, _environment(run), recipe, group)
        return run


def resume(
    path: str | Path,
    *,
    data: Splits | None = None,
    trust_code: bool = False,
    look_at_test: bool = False,
    engine: RayEngine | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Go on with a run that was stopped, from its newest checkpoint, with its own recipe, data and options.

    With the same kind of processor, versions and threads the result is the same, bit for bit, as without the stop.

    Args:
        path: the run's folder.
        data: needed where the run was given its data in memory.
        trust_code: permits executing the source that the user's own network came with.
        look_at_test, engine, observe, should_stop: as for :func:`train`.

    Raises:
        ArtifactError: no such run, a recipe that was changed (the difference is shown), code that isn't trusted.
        DataError: the data is not what the run was started with.

    Example:
        >>> import fittingroom as fr
        >>> fr.resume("runs/plain-1").is_finished  # nothing was left to do
        True
    """
    with joined() as group:
        run = Run(Path(path), data)
        environment, recipe = _environment(run), _recipe(run)
        if engine is not None:
            _check_engine(engine, environment["seeds"] is not None)
        group.check_batch(recipe.batch_size)
        _prepare_torch(environment["machine"]["threads"], environment["options"]["deterministic"])
        with group.one_of_each_host_first():
            run = Run(run.path, data or open_recorded_data(run.path, environment))
        _refuse_changes(run, environment, recipe, group)
        if (run.path / SOURCE).exists() and not trust_code:
            raise ArtifactError(
                f"{run.path}: its model is the code in {SOURCE}; going on executes that file. "
                "Read it, then say --trust-code (trust_code=True)"
            )
        return _judge_and_report(_carry_out(run, engine, observe, should_stop), look_at_test)


def _refuse_changes(run: Run, environment: dict[str, Any], recipe: Recipe, group: Group) -> None:
    """Hold every process, and whoever resumes a run, to the recipe and the data that it was started with."""
    if changes := differences(environment["recipe"], recipe.as_dict()):
        raise ArtifactError(
            f"{run.path / 'recipe.toml'}: a run goes on only with the recipe that it was started with; these keys "
            "were changed:\n  " + "\n  ".join(changes) + "\nput them back, or start a new run with --recipe FILE"
        )
    for split in ("train", "validation"):
        before, now = environment["data"][split], _identity_of(getattr(run.open_data(), split))
        if before != now:
            raise DataError(
                f"{run.path}: a run goes on only on the data that it was started with; its {split} set was "
                f"{before and before['order'][:16]} and is now {now and now['order'][:16]} (fingerprints in file order)"
            )
    before = environment.get("processes", 1)  # the first runs of format 1 don't say
    if group.is_writer and before != group.size:
        warnings.warn(
            f"{run.path}: its number of processes was {before} and is now {group.size}: sums are rounded otherwise, "
            "batch norm sees parts of another size, and dropout draws anew",
            stacklevel=3,
        )


def _carry_out(
    run: Run, engine: RayEngine | None, observe: Observer | None, should_stop: Callable[[], bool] | None
) -> Run:
    """Train what is left of a run of one seed or of several. Its code, if it has any, was given or trusted before."""
    environment = _environment(run)
    observe, should_stop = observe or (lambda _event: None), should_stop or (lambda: False)
    try:
        if environment["seeds"] is None:
            finish(run, observe, should_stop)
            return run
        on_cuda = environment["machine"]["device"].startswith("cuda")
        threads = environment["machine"]["threads"]
        jobs = _members(run, elsewhere=engine is not None)
        ended = run_jobs(jobs, engine, threads=threads, gpus=int(on_cuda), observe=observe, should_stop=should_stop)
        for job, _ in ended:
            observe(JobDone(job=job.name, outcome=""))
    except Interrupted as stop:
        raise Interrupted(str(stop), _resume_command(run)) from None
    except ProcessLost as lost:
        raise ProcessLost(
            f"{lost}.\nThe state of the last checkpoint is kept. torchrun goes on from there by itself as often as "
            f"--max-restarts says; otherwise this does:\n  {_resume_command(run)}"
        ) from lost
    with joined() as group:
        if group.is_writer:
            summarize_members(run)
    return run


def _resume_command(run: Run) -> str:
    trust = " --trust-code" if (run.path / SOURCE).exists() else ""
    return f"{launcher()}fittingroom train --resume {quote(str(run.path))}{trust}"


def _members(run: Run, *, elsewhere: bool) -> Iterator[Job[None]]:
    """A job for each seed of a run; ``elsewhere`` in another process, which opens the data itself if it can."""
    recipe, environment = _recipe(run), _environment(run)
    source = _stored_source(run, recipe)
    splits = None if elsewhere and environment["data"]["source"] else run.splits
    for seed in environment["seeds"]:
        member = Run(run.path / f"seed-{seed}", splits)
        with joined() as group:
            if group.is_writer and not (member.path / "environment.json").exists():
                own_recipe = dataclasses.replace(recipe, seed=seed)
                member.path.mkdir(exist_ok=True)
                own = environment | {"seeds": None, "recipe": own_recipe.as_dict()}
                _write_start(member.path, own_recipe, source, own)
        yield Job(member.path.name, partial(finish, member))


def finish(run: Run, observe: Observer, should_stop: Callable[[], bool]) -> None:
    """Train what is left of a run of one seed, in whichever process, and write its artifact and validation scores.

    A model of the user's own is executed. Nothing to do where that is done; the report is not written.

    Raises:
        Interrupted, TrainingDiverged: as for :func:`train`.
    """
    with joined() as group:
        recipe, environment = _recipe(run), _environment(run)
        _prepare_torch(environment["machine"]["threads"], environment["options"]["deterministic"])
        source = _stored_source(run, recipe)
        _train_one(run, recipe, source, environment, observe, should_stop, group)


def _train_one(
    run: Run,
    recipe: Recipe,
    source: ModelSource,
    environment: dict[str, Any],
    observe: Observer,
    should_stop: Callable[[], bool],
    group: Group,
) -> None:
    """Train one model and write its artifact, its validation scores and its curve. Nothing to do where that is done."""
    if group.from_writer(lambda: run.is_finished):
        return
    started = time.perf_counter()
    splits, options = run.open_data(), environment["options"]
    train_set, validation_set = hold_out(splits, recipe)
    normalization = normalization_of(recipe.normalize, train_set)
    setting = Setting(
        device=pick_device(options["device"]),
        precision=environment["precision"],
        data=environment["data"]["train"]["order"],
        keep_checkpoints=options["keep"],
        should_stop=should_stop,
        group=group,
    )
    if not group.is_writer:
        train_model(train_set, validation_set, recipe, source, normalization, setting)
        return
    log = MetricsLog(run.path / "metrics.jsonl")
    trackers = [open_tracker(name, run) for name in options["track"]]
    observers: list[Observer] = [log, *trackers, observe]

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    setting = dataclasses.replace(setting, checkpoints=run.path / "checkpoints", observe=tell)
    try:
        trainee = train_model(train_set, validation_set, recipe, source, normalization, setting)
    finally:
        log.close()
        for tracker in trackers:
            tracker.close()
    weights = trainee.shipped.state_dict()
    parameters = count_parameters(trainee.model)
    artifact = _artifact(run, recipe, source, splits, normalization, parameters, environment)
    save_artifact(artifact, weights, source.code)
    try:
        export_onnx(artifact, trainee.shipped, train_set, validation_set)
    except ExportError as error:
        warnings.warn(f"{error}\nthe run is complete without it; only predict and serve would be faster", stacklevel=2)
    validation = None
    if validation_set is not None:
        device = torch.device(setting.device)
        predictions = predict_dataset(trainee.shipped, validation_set, normalization, device=device)
        predictions.save(run.path / "predictions-validation.parquet")
        validation = predictions.scores()
    plot_loss(run.path, xkcd=options["xkcd"], stage_epochs=[stage.epochs for stage in recipe.stages])
    result = {
        "format": FORMAT,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "parameters": parameters,
        "train_seconds": trainee.progress.seconds,
        "total_seconds": time.perf_counter() - started,
        "test": None,
        "validation": validation,
        "test_looks": [],
    }
    write_json(run.path / "result.json", result)  # last: a folder with a result is finished


def _judge_and_report(run: Run, look_at_test: bool) -> Run:
    """Look at test with every member that was not judged yet, if asked to; then write the report and the model card."""
    with joined() as group:
        if not group.is_writer:
            return run
    if look_at_test and run.open_data().test is not None:
        for member in run.members or [run]:
            if member.result["test"] is None:
                member.evaluate(trust_code=True)  # it was given, or trusted, when the training began
        if run.members:
            summarize_members(run)
    options = run.environment["options"]
    write_report(run, xkcd=options["xkcd"])
    write_model_card(run)
    for member in run.members or [run]:
        for name in options["track"]:
            tracker = open_tracker(name, member)
            tracker.finish(member)
            tracker.close()
    return run


def hold_out(splits: Splits, recipe: Recipe) -> tuple[Dataset, Dataset | None]:
    """The training set, and the validation set: the data's own if it has one, else a stratified cut of train."""
    if splits.validation is not None:
        return splits.train, splits.validation
    size = len(splits.train)
    n = min(HOLD_OUT, size // 10) if recipe.validation is None else min(recipe.validation, size // LARGEST_SHARE)
    return stratified_split(splits.train, n, recipe.split_seed) if n else (splits.train, None)


# What is decided and written down before the first step.


def _as_splits(data: Splits | Dataset | str | Path, options: Options) -> Splits:
    if isinstance(data, Dataset):
        data = Splits(data)
    if isinstance(data, Splits):
        return data
    return open_dataset(data, test=options.test, cache=options.cache)


def _check_engine(engine: RayEngine, has_seeds: bool) -> None:
    if processes() > 1:
        raise RecipeError("--engine ray starts its own processes; start it without torchrun, or leave it out")
    check_engine(engine)
    if not has_seeds:
        raise RecipeError("--engine ray trains several seeds side by side; give --seeds N, or leave it out")


def _seed_list(recipe: Recipe, seeds: int | Sequence[int] | None) -> list[int] | None:
    if seeds is None:
        return None
    chosen = [recipe.seed + i for i in range(seeds)] if isinstance(seeds, int) else list(seeds)
    if len(set(chosen)) < max(2, len(chosen)):
        raise RecipeError(f"seeds: at least two that differ expected, {chosen} found; for a single one give --seed")
    return chosen


def _prepare_torch(threads: int | None, deterministic: bool) -> None:
    """Threads and determinism are settings of the whole process in PyTorch."""
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic:
        torch.use_deterministic_algorithms(True)


def _environment(run: Run) -> dict[str, Any]:
    """``environment.json``, which the writer alone reads: other hosts need not see the folder."""
    with joined() as group:
        environment: dict[str, Any] = group.from_writer(lambda: run.environment)
        return environment


def _recipe(run: Run) -> Recipe:
    """``recipe.toml``, in the same way."""
    with joined() as group:
        return parse_recipe(group.from_writer(lambda: run.recipe.to_toml()))


def _describe(
    splits: Splits, recipe: Recipe, source: ModelSource, options: Options, seeds: list[int] | None, group: Group
) -> dict[str, Any]:
    """``environment.json``: everything beside the recipe that decides what the run will be."""
    if splits.train.labels is None:
        raise DataError(f"{splits.train.name}: labels expected, none found: training needs them")
    device = pick_device(options.device)
    cache = cache_dir() / "precision"
    precision = resolve_precision(
        recipe, source, splits.train.num_classes, splits.train.image_size, device, cache if options.cache else None
    )
    return {
        "format": FORMAT,
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": seeds,
        "processes": group.size,
        "torchrun": torchrun_job(),
        "precision": precision,
        "options": asdict(options),
        "data": {
            "source": splits.source,
            "train": _identity_of(splits.train),
            "validation": _identity_of(splits.validation),
            "test": _identity_of(splits.test),
        },
        "recipe": recipe.as_dict(),
        "versions": versions(),
        "machine": describe_machine(device),
        "revision": git_revision(),
    }


def _identity_of(dataset: Dataset | None) -> dict[str, Any] | None:
    return None if dataset is None else {"name": dataset.name, "n": len(dataset)} | asdict(dataset.fingerprint)


def _own_folder(out: str | Path | None, name: str) -> Path | None:
    """The folder of the unfinished run that this torchrun job began before it had to restart, if there is one."""
    if torchrun_job() is None:
        return None
    folders = [Path(out)] if out is not None else sorted(Path("runs").glob(f"{name}-*"))
    for run in map(Run, folders):
        begun = (run.path / "environment.json").exists() and not run.is_finished
        if begun and is_own_job(run.environment.get("torchrun")):
            return run.path
    return None


def new_folder(out: str | Path | None, name: str) -> Path:
    """A new empty folder; two processes that start at once get two."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ArtifactError(
                f"{folder}: a new or empty folder expected for the run, but something is there; give another --out, or "
                f"go on with that run: fittingroom train --resume {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _write_start(folder: Path, recipe: Recipe, source: ModelSource, environment: dict[str, Any]) -> None:
    """Write what the run is to be, so that it can be resumed from its first second on."""
    if source.code is not None:
        with atomic_write(folder / SOURCE) as file:
            file.write(source.code.encode())
    with atomic_write(folder / "recipe.toml") as file:
        file.write(recipe.to_toml().encode())
    write_json(folder / "environment.json", environment)


def _stored_source(run: Run, recipe: Recipe) -> ModelSource:
    """The model's constructor; where the network is the user's, by executing the run's own copy of its source."""
    file = run.path / SOURCE
    with joined() as group:
        code = group.from_writer(lambda: file.read_text(encoding="utf-8") if file.exists() else None)
    if code is None:
        return find_model(recipe.model)
    return model_from_code(recipe.model, code, recipe.model.rpartition(":")[2], str(file))


def _artifact(
    run: Run,
    recipe: Recipe,
    source: ModelSource,
    splits: Splits,
    normalization: Normalization,
    parameters: int,
    environment: dict[str, Any],
) -> Artifact:
    return Artifact(
        path=run.path,
        model=recipe.model,
        model_args=dict(recipe.model_args),
        code_sha256=source.sha256,
        classes=splits.train.classes,
        channels=splits.train.channels,
        image_size=splits.train.image_size,
        normalization=normalization,
        parameters=parameters,
        versions=environment["versions"],
        data=environment["data"],
    )
