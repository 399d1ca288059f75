"""Many jobs that don't need each other, such as the seeds of a recipe: one after another here, or on Ray side by side.

    jobs = [Job(f"fold-{i}", partial(judge_fold, data, i)) for i in range(5)]
    for job, answer in run_jobs(jobs, RayEngine()):
        ...

with ``def judge_fold(data, i, hooks)``. What a job gives depends on the job alone, so both ways give the
same; where floating-point sums are taken by several threads, for the same number of threads. A laptop needs no Ray.
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from fittingroom.environment import cores
from fittingroom.errors import FittingRoomError, Interrupted
from fittingroom.events import NO_HOOKS, Event, Hooks, JobEvent, StepDone
from fittingroom.parallel.ray_engine import RayEngine, connected

RETRIES = 3  # of a job whose worker process died
POLL_SECONDS = 0.2  # between two questions what the workers have reported
STEP_SECONDS = 0.2  # between two steps that a worker reports; everything else it reports at once
STOP_SECONDS = 0.5  # between two questions of a worker whether to stop

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job(Generic[Result]):
    """A piece of work.

    Attributes:
        name: as the progress calls it, such as ``seed-3``.
        work: called with the hooks of its own process; for Ray it has to be picklable, with all that it holds. When
            ``should_stop`` answers yes it saves what it has and raises :class:`Interrupted`. Begun a second time, after
            its process was killed, it goes on from what it saved. Work that saves nothing may ignore them.
    """

    name: str
    work: Callable[[Hooks], Result]


def run_jobs(
    jobs: Iterable[Job[Result]],
    engine: RayEngine | None = None,
    *,
    threads: int = 1,
    gpus: int = 0,
    hooks: Hooks = NO_HOOKS,
) -> Generator[tuple[Job[Result], Result]]:
    """Do the jobs and yield each with what its work returned, in the order in which they end.

    Args:
        jobs: the next one is drawn only when there is room for it.
        engine: None for one after another in this process.
        threads, gpus: on Ray, what each job is given; as many run at once as there is room for.
        hooks: observe each event of a job as a :class:`JobEvent`, on Ray not every step; asked to stop, all jobs end,
            each with its state saved.

    Raises:
        Interrupted: on request. What had ended by then was yielded.
        FittingRoomError: what a job raised first, when the others have saved their state and ended; Ray is not
            installed or can't be reached; a worker died more than ``RETRIES`` times.
    """
    if engine is not None:
        yield from _on_ray(jobs, engine, threads, gpus, hooks)
        return
    for job in jobs:
        yield job, job.work(replace(hooks, observe=partial(_report, hooks, job.name)))


def _report(hooks: Hooks, job: str, event: Event) -> None:
    hooks.observe(JobEvent(job=job, event=event))


# On Ray: what follows up to the next comment runs in the process that wants the jobs done.


def _on_ray(
    jobs: Iterable[Job[Result]],
    engine: RayEngine,
    threads: int,
    gpus: int,
    hooks: Hooks,
) -> Generator[tuple[Job[Result], Result]]:
    """Do jobs in worker processes, and pass on what they report; arguments as for :func:`run_jobs`."""
    with connected(engine) as ray:
        threads = min(threads, cores()) if engine.address is None else threads
        board = ray.remote(_Board).options(num_cpus=0).remote()
        begin = ray.remote(_work_on_ray).options(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)
        waiting = iter(jobs)
        running: dict[Any, Job[Result]] = {}
        failure: BaseException | None = None

        # The first failure is what is raised in the end; until then, the other jobs save their state and stop.
        def stop_all(reason: BaseException) -> None:
            nonlocal failure
            failure = failure or reason
            board.stop.remote()

        while True:
            # The cluster may grow or shrink meanwhile, so its capacity is asked each time. Ray would queue what it has
            # no room for, but jobs are drawn late: a search proposes the better, the more trials have ended.
            free = 0 if failure else _capacity(ray.cluster_resources(), threads, gpus) - len(running)
            for _ in range(free):
                if (job := next(waiting, None)) is None:
                    break
                running[begin.remote(job, board, str(Path.cwd()))] = job
            if not running:
                break

            # Events before results: whoever observes hears of a job's last epoch before its end.
            ended, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL_SECONDS)
            for event in _ask(ray, board.take):
                hooks.observe(event)
            if failure is None and hooks.should_stop():
                stop_all(Interrupted("stopped"))

            for reference in ended:
                job = running.pop(reference)
                answer = _answer(ray, job, reference)
                if isinstance(answer, BaseException):
                    stop_all(answer)
                else:
                    yield job, answer
        if failure is not None:
            raise failure


def _capacity(resources: dict[str, float], threads: int, gpus: int) -> int:
    """How many jobs a cluster can do at once, ≥ 1.

    Raises:
        FittingRoomError: jobs need a GPU and it has none.
    """
    by_cores = max(1, int(resources.get("CPU", 1) // threads))
    if gpus and resources.get("GPU", 0) < gpus:
        raise FittingRoomError("a GPU for each job expected, the cluster of Ray has none: the device cpu does without")
    return min(by_cores, int(resources["GPU"] // gpus)) if gpus else by_cores


def _answer(ray: Any, job: Job[Result], reference: Any) -> Result | BaseException:
    """Fetch what a job returned or raised. Its warnings are given once more, as those of a worker are not seen."""
    try:
        answer, warned = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # a mistake of ours in the work; its text has the worker's traceback
        return cast("BaseException", error)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        return FittingRoomError(
            f"{job.name}: its Ray worker died {RETRIES + 1} times, the last time so: {reason}\n"
            "Is the memory enough for as many jobs at once? What it had saved is kept"
        )
    for category, text in warned:
        warnings.warn(f"{job.name}: {text}", category, stacklevel=2)
    return cast("Result", answer)


def _ask(ray: Any, method: Any) -> Any:
    """Call a method of an actor and wait for its answer."""
    try:
        return ray.get(method.remote())
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise FittingRoomError(f"Ray is gone: {reason}\nwhat the jobs had saved is kept") from None


class _Board:
    """An actor between jobs and driver: it holds what was reported and not yet taken, and the wish to stop."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self.stopping = False

    def report(self, event: JobEvent) -> None:
        self.events.append(event)

    def take(self) -> list[JobEvent]:
        taken, self.events = self.events, []
        return taken

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping


# On Ray: what follows runs in the worker processes.


def _work_on_ray(job: Job[Result], board: Any, folder: str) -> tuple[Result | BaseException, list[tuple[Any, str]]]:
    """Do a job, in the folder in which it was given. What it raises on purpose is returned, and so are its warnings."""
    import ray

    reported_at = asked_at = 0.0
    stopping = False

    # Both are called in each step, of which there may be hundreds a second; a message takes as long as some of them.
    def observe(event: Event) -> None:
        nonlocal reported_at
        now = time.monotonic()
        if not isinstance(event, StepDone) or now - reported_at > STEP_SECONDS:
            reported_at = now
            board.report.remote(JobEvent(job=job.name, event=event))

    def should_stop() -> bool:
        nonlocal asked_at, stopping
        now = time.monotonic()
        if now - asked_at > STOP_SECONDS:
            asked_at, stopping = now, ray.get(board.is_stopping.remote())
        return stopping

    # What is raised on purpose travels as a value: Ray would wrap an exception in one of its own, with a traceback.
    answer: Any
    with warnings.catch_warnings(record=True) as caught:
        try:
            if not Path(folder).is_dir():
                raise FittingRoomError(
                    f"{folder}: this folder expected on {platform.node()} too, where a worker of Ray runs; the hosts "
                    "of a cluster have to see the same files under the same paths"
                )
            os.chdir(folder)
            answer = job.work(Hooks(observe=observe, should_stop=should_stop))
        except (FittingRoomError, OSError) as error:
            answer = error
    ray.get(board.is_stopping.remote())  # what was reported before has arrived when this is answered
    return answer, [(warning.category, str(warning.message)) for warning in caught]
