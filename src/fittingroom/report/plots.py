"""The loss curve as a picture: steps below, epochs above, stages marked, train and validation.

It has the geometry of the report's curves and is drawn by Pillow: loading matplotlib and drawing with it took half a
second, a twelfth of a whole training by ``swift``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.contact_sheet import typeface
from fittingroom.report.curves import (
    LEFT,
    QUIET,
    RIGHT,
    TRAIN,
    VALIDATION,
    WIDTH,
    Line,
    Panel,
    history_of,
    loss_panel,
)
from fittingroom.runs.metrics_log import read_metrics

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageDraw import ImageDraw

SIZE = (960, 540)  # pixels of the picture
FINER = 2  # times as large it is drawn, and reduced again, so that lines are smooth
SCALE = FINER * SIZE[0] / WIDTH  # from the geometry to what is drawn
TOP, BOTTOM = 30, 214  # of the frame, in the geometry
TEXT = 16  # pixels high in the picture

INK, PAPER = "#222222", "white"
LINES = {"step": ("#b4bedf", 1), "train": (TRAIN, 3), "validation": (VALIDATION, 3)}  # colour, and width in the picture


def plot_loss(
    run: Path, *, xkcd: bool = False, stage_epochs: list[int] | None = None, loss: str = "cross_entropy"
) -> Path:
    """Draw ``loss.png`` of a run from its ``metrics.jsonl``.

    Args:
        run: the run's folder.
        xkcd: in the hand-drawn style of the tutorial notebook, by matplotlib.
        stage_epochs: epochs of each stage; borders between stages are marked.
        loss: that was trained with, as the recipe has it.

    Returns:
        The path of the picture, 960×540 pixels.

    Raises:
        ArtifactError: no step is on record.
    """
    events = read_metrics(run / "metrics.jsonl")
    label = "loss (cross-entropy, nats)" if loss == "cross_entropy" else f"loss (train: {loss})"

    path = run / "loss.png"
    with atomic_write(path, follow_links=False) as file:
        if xkcd:
            from fittingroom.report.xkcd import draw_by_hand

            draw_by_hand(events, stage_epochs or [], label, file)
        else:
            _drawn(events, stage_epochs or [], label).save(file, "PNG")
    return path


def _drawn(events: Sequence[dict[str, Any]], stage_epochs: Sequence[int], label: str) -> Image.Image:
    from PIL import Image, ImageDraw

    history = history_of(events)
    if history is None:
        raise ArtifactError("metrics.jsonl: a step at least expected, none found")
    panel = loss_panel([history], stage_epochs, TOP, BOTTOM)

    picture = Image.new("RGB", (FINER * SIZE[0], FINER * SIZE[1]), PAPER)
    draw = ImageDraw.Draw(picture)
    for border in panel.borders:
        _draw_border(draw, border)
    for line in panel.lines:
        _draw_line(draw, line)

    # What is higher than the frame is counted by a note, and not drawn.
    draw.rectangle((0, 0, FINER * SIZE[0], _at(TOP)), fill=PAPER)
    _draw_frame(draw, panel)
    _draw_legend(draw, [line.kind for line in panel.lines if line.kind != "step"])

    # The label of the upward axis is drawn lying, and turned.
    font = typeface([label])(FINER * TEXT)
    lying = Image.new("RGB", (_at(BOTTOM - TOP), FINER * (TEXT + 6)), PAPER)
    ImageDraw.Draw(lying).text((lying.width // 2, 0), label, INK, font, anchor="ma")
    picture.paste(lying.rotate(90, expand=True), (FINER * 4, _at(TOP)))
    return picture.reduce(FINER)


def _at(value: float) -> int:
    """Pixels of what is drawn, from the geometry's."""
    return round(SCALE * value)


def _draw_border(draw: ImageDraw, x: float) -> None:
    """A dashed line, which Pillow has none of."""
    dash, bottom = 6 * FINER, _at(BOTTOM)
    for y in range(_at(TOP), bottom, 2 * dash):
        draw.line([(_at(x), y), (_at(x), min(y + dash, bottom))], fill=QUIET, width=FINER)


def _draw_line(draw: ImageDraw, line: Line) -> None:
    colour, width = LINES[line.kind]
    points = [(SCALE * x, SCALE * y) for x, y in line.points]
    draw.line(points, fill=colour, width=FINER * width, joint="curve")
    for x, y, _ in line.dots:
        _draw_dot(draw, line.kind, SCALE * x, SCALE * y)


def _draw_dot(draw: ImageDraw, kind: str, x: float, y: float) -> None:
    """A disc for training and a square for validation."""
    radius = 4 * FINER
    shape = draw.ellipse if kind == "train" else draw.rectangle
    shape((x - radius, y - radius, x + radius, y + radius), fill=LINES[kind][0])


def _draw_frame(draw: ImageDraw, panel: Panel) -> None:
    font = typeface([])(FINER * TEXT)
    left, right, top, bottom = _at(LEFT), _at(WIDTH - RIGHT), _at(TOP), _at(BOTTOM)
    middle, mark, gap = (left + right) // 2, 4 * FINER, 9 * FINER

    draw.line([(left, top), (left, bottom), (right, bottom)], fill=INK, width=FINER)
    for tick in panel.y_ticks:
        y = _at(tick.position)
        draw.line([(left - mark, y), (left, y)], fill=INK, width=FINER)
        draw.text((left - gap, y), tick.label, INK, font, anchor="rm")
    for tick in panel.x_ticks:
        x = _at(tick.position)
        draw.line([(x, bottom), (x, bottom + mark)], fill=INK, width=FINER)
        draw.text((x, bottom + gap), tick.label, INK, font, anchor="ma")
    for tick in panel.epoch_ticks:
        draw.text((_at(tick.position), top - gap), tick.label, INK, font, anchor="ms")

    draw.text((middle, bottom + gap + FINER * (TEXT + 8)), "step", INK, font, anchor="ma")
    draw.text((middle, top - gap - FINER * (TEXT + 8)), "epoch", INK, font, anchor="ms")

    count, highest = panel.above
    if count:
        note = f"{count:,} {'value lies' if count == 1 else 'values lie'} above, up to {highest:.3g}"
        draw.text((left, top - gap - FINER * (TEXT + 8)), note, QUIET, font, anchor="ls")


def _draw_legend(draw: ImageDraw, kinds: Sequence[str]) -> None:
    """Draw what the colours mean, above the frame: inside, curves would run through the words."""
    font = typeface([])(FINER * TEXT)
    x, y, length = _at(WIDTH - RIGHT), _at(TOP) - FINER * (TEXT + 23), 34 * FINER
    for kind in reversed(kinds):
        draw.text((x, y), kind, INK, font, anchor="rm")
        x -= round(font.getlength(kind)) + 10 * FINER + length
        draw.line([(x, y), (x + length, y)], fill=LINES[kind][0], width=FINER * LINES[kind][1])
        _draw_dot(draw, kind, x + length / 2, y)
        x -= 24 * FINER
