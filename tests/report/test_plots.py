"""``loss.png``: its marks lie where the report's curves have theirs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

import fittingroom as fr
from fittingroom.report.curves import LEFT, TRAIN, VALIDATION, WIDTH, history_of, loss_panel
from fittingroom.report.plots import BOTTOM, LINES, SIZE, TOP, plot_loss
from fittingroom.runs.metrics_log import read_metrics

LOSSES = [2.3, 900.0, *(2.0 - step / 40 for step in range(38))]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of four epochs of ten steps, with one bad batch."""
    start = {"event": "start", "epochs": 4, "steps_per_epoch": 10, "steps_done": 0}
    events: list[dict[str, object]] = [{"event": "format", "format": 1}, start]
    for step, loss in enumerate(LOSSES, start=1):
        epoch = {"step": step, "epoch": (step - 1) // 10}
        events.append({"event": "step", "loss": loss, "lr": 0.1, "examples": 32} | epoch)
        if step % 10 == 0:
            losses = {"train_loss": loss + 0.1, "validation_loss": loss / 2}
            accuracies = {"train_accuracy": 0.5, "validation_accuracy": 0.6}
            events.append({"event": "epoch", "seconds": 1.0} | epoch | losses | accuracies)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return tmp_path


def test_each_dot_of_the_loss_curve_lies_at_its_loss(run: Path) -> None:
    picture = Image.open(plot_loss(run, stage_epochs=[2, 2])).convert("RGB")
    history = history_of(read_metrics(run / "metrics.jsonl"))
    assert history is not None
    panel = loss_panel([history], [2, 2], TOP, BOTTOM)

    scale = SIZE[0] / WIDTH
    colours = {"train": TRAIN, "validation": VALIDATION}
    dots = [(line.kind, x, y) for line in panel.lines for x, y, _ in line.dots]
    assert len(dots) == 8
    for kind, x, y in dots:
        assert picture.getpixel((round(x * scale), round(y * scale))) == ImageColor.getrgb(colours[kind]), kind

    # Where a stage ends, a column of the frame is dashed: half of it is ink.
    (border,) = panel.borders
    column = round(border * scale)
    frame = np.asarray(picture)[round(TOP * scale) : round(BOTTOM * scale), column - 1 : column + 2]
    assert 0.4 < (frame.min(axis=(1, 2)) < 220).mean() < 0.65


def test_a_bad_batch_is_counted_above_the_frame_and_not_drawn_over_what_stands_there(run: Path) -> None:
    pixels = np.asarray(Image.open(plot_loss(run, stage_epochs=[4])).convert("RGB"))
    of_steps = (pixels == ImageColor.getrgb(LINES["step"][0])).all(axis=2)
    assert of_steps.any()
    assert not of_steps[: round(TOP * SIZE[0] / WIDTH) - 1].any()


def test_a_run_without_a_step_on_record_has_no_curve(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(fr.ArtifactError, match="a step at least expected"):
        plot_loss(tmp_path)
    assert not (tmp_path / "loss.png").exists()


def test_no_words_stand_where_a_curve_may_run(run: Path) -> None:
    pixels = np.asarray(Image.open(plot_loss(run, stage_epochs=[4])).convert("RGB")).astype(int)
    scale = SIZE[0] / WIDTH
    frame = pixels[round(TOP * scale) + 1 : round(BOTTOM * scale) - 1, round(LEFT * scale) + 2 :]

    # Inside the frame is paper, or one of the curves' colours thinned by it, and nothing of ink or grey.
    greys = (np.ptp(frame, axis=2) < 4) & (frame.max(axis=2) < 240)
    assert not greys.any()
    assert (pixels[: round(TOP * scale)] == ImageColor.getrgb(VALIDATION)).all(axis=2).any()  # the legend is above


def test_a_loss_named_in_another_script_is_drawn_without_a_word(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for xkcd in (False, True):
            with Image.open(plot_loss(run, loss="我的.py:损失", xkcd=xkcd)) as picture:
                assert picture.size == SIZE
