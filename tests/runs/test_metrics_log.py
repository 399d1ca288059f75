import json
from pathlib import Path
from typing import Any

import pytest

from fittingroom.events import CheckpointSaved, EpochDone, Event, MicroBatchHalved, StepDone, TrainingStarted
from fittingroom.runs.metrics_log import MetricsLog, read_metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def started(steps_done: int = 0) -> TrainingStarted:
    return TrainingStarted(
        epochs=2,
        steps_per_epoch=3,
        steps_done=steps_done,
        parameters=39_786,
        device="cpu",
        precision="float32",
        images=700,
    )


def step(number: int, loss: float = 0.5) -> StepDone:
    return StepDone(step=number, epoch=(number - 1) // 3, loss=loss, lr=0.01, examples=256)


def epoch(number: int) -> EpochDone:
    return EpochDone(
        step=3 * (number + 1),
        epoch=number,
        train_loss=0.5,
        train_accuracy=0.8,
        validation_loss=None,
        validation_accuracy=None,
        seconds=1.5,
    )


def log(path: Path, *events: Event) -> None:
    """One training's log, closed when it is over."""
    written = MetricsLog(path)
    for event in events:
        written(event)
    written.close()


def kinds(path: Path) -> list[tuple[str, int | None]]:
    return [(line["event"], line.get("step")) for line in read_metrics(path)]


def test_a_log_opens_with_its_format_and_has_a_line_an_event(path: Path) -> None:
    log(path, started(), step(1, loss=0.25), MicroBatchHalved(epoch=0, micro_batch=128), step(2), step(3), epoch(0))

    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"event": "format", "format": 1}
    assert [line["event"] for line in lines[1:]] == ["start", "step", "micro-batch", "step", "step", "epoch"]
    assert lines[2] == {"event": "step", "step": 1, "epoch": 0, "loss": 0.25, "lr": 0.01, "examples": 256}
    assert lines[6]["validation_loss"] is None
    assert read_metrics(path) == lines


def test_checkpoints_are_no_measurement(path: Path) -> None:
    log(path, started(), step(1), CheckpointSaved(step=1, path="checkpoints/1"))
    assert kinds(path) == [("format", None), ("start", None), ("step", 1)]


def test_each_line_is_on_disk_as_soon_as_it_is_logged(path: Path) -> None:
    written = MetricsLog(path)
    written(started())
    written(step(1))
    assert kinds(path)[-1] == ("step", 1)
    written.close()


def test_a_resumed_training_is_logged_as_if_it_had_never_stopped(path: Path) -> None:
    log(path, started(), *map(step, (1, 2, 3)), epoch(0), step(4), step(5))
    log(path, started(steps_done=4), step(5), step(6), epoch(1))

    assert kinds(path) == [
        ("format", None),
        ("start", None),
        ("step", 1),
        ("step", 2),
        ("step", 3),
        ("epoch", 3),
        ("step", 4),
        ("start", None),
        ("step", 5),
        ("step", 6),
        ("epoch", 6),
    ]


def test_a_resume_from_an_epochs_last_step_keeps_the_line_of_that_epoch(path: Path) -> None:
    log(path, started(), *map(step, (1, 2, 3)), epoch(0), step(4))
    log(path, started(steps_done=3))
    assert kinds(path)[-3:] == [("step", 3), ("epoch", 3), ("start", None)]


def test_a_training_that_starts_over_leaves_nothing_of_the_first_try(path: Path) -> None:
    log(path, started(), step(1), step(2))
    log(path, started(), step(1))
    assert kinds(path) == [("format", None), ("start", None), ("step", 1)]


def test_a_resume_without_its_log_begins_a_new_one(path: Path) -> None:
    log(path, started(steps_done=4), step(5))
    assert kinds(path) == [("format", None), ("start", None), ("step", 5)]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_torn_by_a_kill_is_left_out_and_gone_after_a_resume(path: Path, cut: int) -> None:
    log(path, started(), *map(step, (1, 2, 3)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert kinds(path)[-1] == ("step", 2 if cut > 1 else 3)  # without its line break a line is still whole

    log(path, started(steps_done=2), step(3))
    assert kinds(path)[-3:] == [("step", 2), ("start", None), ("step", 3)]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_the_log_is_replaced_as_a_whole_and_leaves_no_other_file(path: Path) -> None:
    log(path, started(), step(1), step(2))
    log(path, started(steps_done=1))
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("damage", [b"\xff", b"3\n", b"[]\n", b"[" * 100_000])
def test_a_damaged_line_costs_what_comes_after_it_and_no_more(path: Path, damage: bytes) -> None:
    log(path, started(), step(1), step(2))
    path.write_bytes(path.read_bytes() + damage)
    assert kinds(path)[-1] == ("step", 2)

    log(path, started(steps_done=2), step(3))
    assert kinds(path)[-3:] == [("step", 2), ("start", None), ("step", 3)]
