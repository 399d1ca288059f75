"""A run of one seed or of several, once its plan is written: train it, judge it on the test set, report it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from shlex import quote

from fittingroom.errors import Interrupted, PeerLost
from fittingroom.events import Hooks, JobDone, Working
from fittingroom.parallel.jobs import Job, run_jobs
from fittingroom.parallel.process_group import ProcessGroup, launcher
from fittingroom.parallel.ray_engine import RayEngine
from fittingroom.pipeline.extras import by_itself, report_run
from fittingroom.pipeline.one_seed import finish
from fittingroom.pipeline.other_work import telling_of_other_work
from fittingroom.runs.create import write_start
from fittingroom.runs.environment_record import holds_run
from fittingroom.runs.going_on import going_on_by
from fittingroom.runs.recorded import code_files, recorded_code, recorded_environment, recorded_recipe
from fittingroom.runs.run import Run
from fittingroom.runs.several_seeds import summarize_members
from fittingroom.runs.starting_point import copy_start
from fittingroom.watch.beside_training import watched


def complete(
    run: Run,
    look_at_test: bool,
    engine: RayEngine | None,
    hooks: Hooks,
    group: ProcessGroup,
    *,
    trust_code: bool,
    watch: bool,
) -> None:
    """Do all that a run lacks. Each of the processes that train together calls this; the main one judges.

    Args:
        run: written, finished or not.
        look_at_test: evaluate on the test set what was not yet.
        engine: where several seeds are trained side by side; None for one after another in this process.
        hooks: follow the training, and may end it.
        group: the processes that train together.
        trust_code: permits executing the user's own code that the run keeps.
        watch: show the training in a browser of this machine.

    Raises:
        Interrupted, TrainingDiverged, PeerLost, StorageFailed: the training ended early; what was saved is kept.
    """
    command = partial(_resume_command, run)
    beside = watched(run.path, hooks) if watch and group.is_main else nullcontext()
    with going_on_by(run.path, "training", command), beside:
        _carry_out(run, engine, hooks, group, trust_code=trust_code, watch=watch)
        if group.is_main:
            _judge_and_report(run, look_at_test, hooks, trust_code=trust_code)


def _carry_out(
    run: Run, engine: RayEngine | None, hooks: Hooks, group: ProcessGroup, *, trust_code: bool, watch: bool
) -> None:
    """Train what is left of a run of one seed or of several."""
    environment = recorded_environment(run, group)
    if engine is None and group.size == 1:
        hooks = telling_of_other_work(hooks, environment.machine.threads, run.recipe.batch_parts)

    # Whatever ends the training early leaves a state to resume from: its message says by which command.
    try:
        if environment.seeds is None:
            finish(run, hooks, group=group, trust_code=trust_code, watch=watch)
            return

        gpus = int(environment.machine.device.startswith("cuda"))
        jobs = _members(run, group, elsewhere=engine is not None, trust_code=trust_code, watch=watch)
        for job, _ in run_jobs(jobs, engine, threads=environment.machine.threads, gpus=gpus, hooks=hooks):
            hooks.observe(JobDone(job=job.name, outcome=""))
    except Interrupted as stop:
        raise Interrupted(str(stop), _resume_command(run)) from None
    except PeerLost as lost:
        raise PeerLost(
            f"{lost}.\nThe state of the last checkpoint is kept. torchrun goes on from there by itself as often as "
            f"--max-restarts says; otherwise this does:\n  {_resume_command(run)}"
        ) from lost
    if group.is_main:
        summarize_members(run.path, run.members)


def _resume_command(run: Run) -> str:
    """What resumes a run, by as many processes as train it now."""
    trust = " --trust-code" if code_files(run) else ""
    return f"{launcher()}fittingroom train --resume {quote(str(run.path))}{trust}"


def _members(run: Run, group: ProcessGroup, *, elsewhere: bool, trust_code: bool, watch: bool) -> Iterator[Job[None]]:
    """A job for each seed of a run; ``elsewhere`` in another process, which opens the data itself if it can."""
    recipe, environment = recorded_recipe(run, group), recorded_environment(run, group)
    recipe = recorded_code(run, recipe, group, trust_code=trust_code)
    splits = None if elsewhere and environment.data.source else run.splits
    for seed in environment.seeds or ():
        member = Run(run.path / f"seed-{seed}", splits)
        if group.is_main and not holds_run(member.path):
            seeded = dataclasses.replace(recipe, seed=seed)
            member.path.mkdir(exist_ok=True)
            record = dataclasses.replace(environment, seeds=None, recipe=seeded.as_dict())
            copy_start(run.path, member.path)
            write_start(member.path, seeded, record)
        yield Job(member.path.name, partial(finish, member, group=group, trust_code=trust_code, watch=watch))


def _judge_and_report(run: Run, look_at_test: bool, hooks: Hooks, *, trust_code: bool) -> None:
    """Evaluate on the test set what was not yet, if asked to; then report. No failure here loses the finished run."""
    failures: dict[str, str] = {}
    with by_itself("test", failures):
        if look_at_test and _has_own_test_set(run):
            hooks.observe(Working(what="judging on the test set"))
            for member in run.members or [run]:
                if member.result["test"] is None:
                    member.evaluate(trust_code=trust_code)
            if run.members:
                summarize_members(run.path, run.members)

    # The run is complete without it, and the page says what it has.
    if failures:
        warnings.warn(
            f"{run.path}: the run is complete, but was not judged on its test set: {failures['test']}; "
            f"fittingroom evaluate {quote(str(run.path))} does it",
            stacklevel=4,
        )

    hooks.observe(Working(what="writing the report"))
    report_run(run)


def _has_own_test_set(run: Run) -> bool:
    """Whether the run was started with a test set, and with one that can judge."""
    test = run.open_data().test
    if test is None or run.environment.data.test is None:
        return False
    if test.labels is None:
        warnings.warn(f"{test.name}: it has no labels, so nothing is judged on it", stacklevel=5)
    return test.labels is not None
