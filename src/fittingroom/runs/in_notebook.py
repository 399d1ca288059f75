"""What a notebook shows of a run: what it was trained on and by, what it reached, and its curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fittingroom.rendering.in_notebook import Curve, curve_of, notebook_view
from fittingroom.rendering.share import share_text

if TYPE_CHECKING:
    from fittingroom.runs.environment_record import Environment


def view_of_run(
    path: str, environment: Environment, result: dict[str, Any] | None, events: list[dict[str, Any]]
) -> str:
    """The HTML of a run.

    Args:
        path: of its folder.
        environment: its record.
        result: its scores; None while it isn't finished.
        events: of ``metrics.jsonl``; empty for several seeds.
    """
    data = environment.data
    rows = [
        ["data", f"{data.source or data.train.name}: {data.train.n:,} training images"],
        ["recipe", f"{environment.recipe_name or 'of your own'}, model {environment.recipe.get('model', '')}"],
    ]

    if result is None:
        rows.append(["state", "not finished"])
    elif "members" in result:
        rows += [[f"seed {member['seed']}", _accuracy(member[result["on"]])] for member in result["members"]]
        if result["mean"] is not None:
            mean = f"{share_text(result['mean'])}, sd {100 * result['sd']:.2f} points"
            rows.append([f"mean on {result['on']}", mean])
    else:
        rows += [[part, _accuracy(result[part])] for part in ("validation", "test") if result[part]]
        rows.append(["time", f"{result['train_seconds']:.1f} s training, {result['parameters']:,} parameters"])
    return notebook_view("Run", path, rows=rows, curve=_curve(events))


def _accuracy(scores: dict[str, Any] | None) -> str:
    if scores is None:
        return "not judged"
    low, high = scores["interval"]
    return f"accuracy {share_text(scores['accuracy'])} of {scores['n']:,} (95% {low:.2%} to {high:.2%})"


def _curve(events: list[dict[str, Any]]) -> Curve | None:
    """The losses of epochs: of training and, where there are, of validation."""
    epochs = [event for event in events if event["event"] == "epoch"]
    train = [(event["epoch"] + 1, event["train_loss"]) for event in epochs]
    held_out = [(event["epoch"] + 1, event["validation_loss"]) for event in epochs if event.get("validation_loss")]
    if len(train) < 2:
        return None
    names = "loss by epoch: training (blue)" + (", validation (orange)" if held_out else "")
    return curve_of(names, [train, held_out], train[-1][0])
