"""The loss curve in the hand-drawn style of the tutorial notebook, by matplotlib."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import IO, Any

from fittingroom.report.curves import QUIET, TRAIN, VALIDATION, loss_limit

OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "Hiragino Sans GB",
    "Arial Unicode MS",
)  # fmt: skip


def draw_by_hand(events: Sequence[dict[str, Any]], stage_epochs: Sequence[int], label: str, file: IO[bytes]) -> None:
    """Draw the loss by step and by epoch, as a PNG of 960×540 pixels.

    Args:
        events: of ``metrics.jsonl``, with a start and a step at least.
        stage_epochs: epochs of each stage; borders between stages are marked.
        label: of the upward axis.
        file: where the picture is written.
    """
    from matplotlib import pyplot

    # The style is pyplot's own, global otherwise: it is entered for this drawing alone.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # its comic fonts are rarely installed
    with pyplot.xkcd(), warnings.catch_warnings():
        # A name in another script than Latin's is drawn in what the system has for it, or as boxes.
        if not label.isascii():
            pyplot.rcParams["font.family"] = [*pyplot.rcParams["font.family"], "DejaVu Sans", *OTHER_SCRIPTS]
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        _figure(events, stage_epochs, label).savefig(file, format="png", dpi=120)


def _figure(events: Sequence[dict[str, Any]], stage_epochs: Sequence[int], label: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    start = next(event for event in events if event["event"] == "start")
    steps_per_epoch = start["steps_per_epoch"]

    # Drawn without pyplot, whose figures are global: nothing of a user's own drawings is touched.
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()

    losses = [step["loss"] for step in steps]
    axes.plot([step["step"] for step in steps], losses, color=TRAIN, alpha=0.3, linewidth=0.7)
    training = [epoch["train_loss"] for epoch in epochs]
    axes.plot([epoch["step"] for epoch in epochs], training, "o-", color=TRAIN, ms=3, label="train")
    validated = [epoch for epoch in epochs if epoch["validation_loss"] is not None]
    validation = [epoch["validation_loss"] for epoch in validated]
    if validated:
        axes.plot([epoch["step"] for epoch in validated], validation, "s-", color=VALIDATION, ms=3, label="validation")

    # A first batch, or a rare bad one, would press all the rest to the floor: it is counted instead.
    high = loss_limit(losses, training + validation)
    outside = [loss for loss in losses if loss > high]
    if outside:
        note = f"{len(outside):,} of {len(losses):,} steps lie above, up to {max(outside):.3g}"
        axes.text(0.5, 0.98, note, transform=axes.transAxes, ha="center", va="top", color=QUIET)

    border = 0
    for length in stage_epochs[:-1]:
        border += length
        axes.axvline(border * steps_per_epoch, color=QUIET, linewidth=0.8, linestyle="--")

    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.set_ylim(0, high)
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    above = axes.secondary_xaxis("top", functions=(lambda x: x / steps_per_epoch, lambda x: x * steps_per_epoch))
    above.set_xlabel("epoch")
    return figure
