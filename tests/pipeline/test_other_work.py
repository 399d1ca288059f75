"""Other programs on the processors of a training are told of once, and change nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fittingroom.environment import used_processor_seconds
from fittingroom.events import Event, Hooks, JobEvent, ProcessorsTaken, StepDone, TrainingStarted
from fittingroom.pipeline import other_work
from fittingroom.pipeline.other_work import telling_of_other_work, used_by_others
from fittingroom.rendering import progress

STEP = StepDone(step=1, epoch=0, loss=1.0, lr=0.1, examples=8)
START = TrainingStarted(
    epochs=1, steps_per_epoch=4, steps_done=0, parameters=1, device="cpu", precision="float32", images=8
)


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_work, "cores", lambda: 2)
    monkeypatch.setattr(other_work, "cpu_quota", lambda: float("inf"))


def told(
    monkeypatch: pytest.MonkeyPatch, *, taken: float, threads: int = 2, job: str = "", parts: int = 1
) -> list[Event]:
    """What an observer is told of a training of ten seconds beside which others take so many processors."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(other_work, "used_by_others", lambda: taken * now[0])
    events: list[Event] = []
    hooks = telling_of_other_work(Hooks(observe=events.append), threads, parts)
    training: list[TrainingStarted | StepDone] = [START, *[STEP] * 10]
    for event in training:
        hooks.observe(JobEvent(job=job, event=event) if job else event)
        now[0] += 1
    return [event for event in events if not isinstance(getattr(event, "event", event), StepDone | TrainingStarted)]


def test_a_processor_that_others_keep_busy_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ProcessorsTaken(taken=1.0, processors=2, threads=2)
    assert told(monkeypatch, taken=1.0) == [taken]
    assert told(monkeypatch, taken=1.0, job="seed-1") == [JobEvent(job="seed-1", event=taken)]
    apart = ProcessorsTaken(taken=1.0, processors=2, threads=2, share_layers=False)
    assert told(monkeypatch, taken=1.0, parts=2) == [apart]


def test_nothing_is_told_of_processors_that_are_free_or_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, taken=0.2) == []
    assert told(monkeypatch, taken=2.0, threads=1) == []
    monkeypatch.setattr(other_work, "cpu_quota", lambda: 1.5)  # the machine's processors aren't those of the group
    assert told(monkeypatch, taken=2.0) == []


def test_the_line_says_what_helps() -> None:
    lines: list[str] = []
    progress._Lines(lines.append, speeds=False)(ProcessorsTaken(taken=1.04, processors=2, threads=2))
    assert lines[0].startswith("other programs keep 1.0 of 2 processors busy")
    assert "with one thread" in lines[0]
    apart = ProcessorsTaken(taken=1.04, processors=2, threads=2, share_layers=False)
    progress._Lines(lines.append, speeds=False)(apart)
    assert lines[1].endswith("so this training takes longer than on a quiet machine")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/stat")
def test_a_busy_loop_is_counted_as_the_work_of_others() -> None:
    before = used_by_others()
    assert before is not None
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1.5)
    finally:
        loop.kill()
        loop.wait()
    after = used_by_others()
    assert after is not None
    assert after - before > 0.2


def test_what_the_system_does_not_say_is_not_known(tmp_path: Path) -> None:
    assert used_processor_seconds(tmp_path / "missing") is None
    (tmp_path / "stat").write_text("".join(f"cpu{number} 1 2 3\n" for number in range(999)), encoding="ascii")
    assert used_processor_seconds(tmp_path / "stat") is None
