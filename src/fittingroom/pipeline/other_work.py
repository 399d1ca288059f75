"""Other programs on the processors that a training computes on: said once, as they make it slower.

Nothing is changed for it: the number of threads decides how sums are rounded, so it is a function of the machine alone.
"""

from __future__ import annotations

import dataclasses
import time

from fittingroom.environment import cores, cpu_quota, used_processor_seconds
from fittingroom.events import Event, Hooks, JobEvent, ProcessorsTaken, StepDone, TrainingStarted

WATCHED_SECONDS = 2.0  # of steps; the system counts a processor's time in hundredths of a second
ROOM = 0.5  # processors that may be missing: less than that is what every system does beside


def telling_of_other_work(hooks: Hooks, threads: int, batch_parts: int) -> Hooks:
    """Hooks that are also told, once, where other programs leave too few processors for the threads of a training.

    Args:
        hooks: of a training in this process alone, on the CPU.
        threads: that it computes on.
        batch_parts: of its recipe; the threads are shared out among them.
    """
    # One thread waits for none, and the time of a control group's processors is not in the system's count.
    if threads == 1 or cpu_quota() < cores():
        return hooks
    return dataclasses.replace(hooks, observe=_Watch(hooks, threads, share_layers=threads > batch_parts))


class _Watch:
    """An observer that passes every event on, and looks once at what others use of the processors."""

    def __init__(self, hooks: Hooks, threads: int, *, share_layers: bool):
        self.hooks, self.threads, self.share_layers = hooks, threads, share_layers
        self.since: tuple[float, float] | None = None  # the clock, and what others had used by then
        self.is_done = False

    def __call__(self, event: Event) -> None:
        """Pass it on."""
        self.hooks.observe(event)
        inner = event.event if isinstance(event, JobEvent) else event
        if isinstance(inner, TrainingStarted):
            others = used_by_others()
            self.since = None if others is None or inner.device != "cpu" else (time.perf_counter(), others)
        elif isinstance(inner, StepDone) and self.since is not None and not self.is_done:
            self._look(event, *self.since)

    def _look(self, event: Event, started: float, used_before: float) -> None:
        elapsed = time.perf_counter() - started
        if elapsed < WATCHED_SECONDS:
            return
        self.is_done = True
        used = used_by_others()
        taken = 0.0 if used is None else (used - used_before) / elapsed
        if cores() - taken < self.threads - ROOM:
            found = ProcessorsTaken(
                taken=min(taken, float(cores())),
                processors=cores(),
                threads=self.threads,
                share_layers=self.share_layers,
            )
            self.hooks.observe(dataclasses.replace(event, event=found) if isinstance(event, JobEvent) else found)


def used_by_others() -> float | None:
    """Processor seconds that all other programs have used; None where the system doesn't say."""
    used = used_processor_seconds()
    return None if used is None else used - time.process_time()
