"""The loss curve as a picture: steps below, epochs above, stages marked, train and validation."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fittingroom.files.atomic import atomic_write
from fittingroom.report.curves import loss_limit
from fittingroom.runs.metrics_log import read_metrics

TRAIN, VALIDATION, QUIET = "#4059ad", "#c53b4e", "#8d99ae"  # told apart by colour-blind readers and in grey print


def plot_loss(run: Path, *, xkcd: bool = False, stage_epochs: list[int] | None = None, loss: str | None = None) -> Path:
    """Draw ``loss.png`` of a run from its ``metrics.jsonl``.

    Args:
        run: the run's folder.
        xkcd: in the hand-drawn style of the tutorial notebook.
        stage_epochs: epochs of each stage; borders between stages are marked.
        loss: name of the user's own one that was trained with; None for cross-entropy.

    Returns:
        The picture's path.
    """
    from matplotlib import rc_context

    events = read_metrics(run / "metrics.jsonl")

    # The style is pyplot's own, global otherwise: it is entered for this drawing alone.
    style: Any = nullcontext()
    if xkcd:
        from matplotlib import pyplot

        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # its comic fonts are rarely installed
        style = pyplot.xkcd()
    plain: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}

    path = run / "loss.png"
    with rc_context({} if xkcd else plain), style:
        figure = _draw(events, stage_epochs or [], loss)
        with atomic_write(path, follow_links=False) as file:
            figure.savefig(file, format="png", dpi=120)
    return path


def _draw(events: list[dict[str, Any]], stage_epochs: list[int], loss: str | None) -> Any:
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
    axes.set_ylabel("loss (cross-entropy, nats)" if loss is None else f"loss (train: {loss})")
    axes.set_ylim(0, high)
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    above = axes.secondary_xaxis("top", functions=(lambda x: x / steps_per_epoch, lambda x: x * steps_per_epoch))
    above.set_xlabel("epoch")
    return figure
