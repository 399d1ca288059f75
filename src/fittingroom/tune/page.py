"""``report.html`` of a study: everything that it shows is decided here, and drawn by ``tune.html``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.axes import Scale, Tick, svg_path, ticks
from fittingroom.rendering.languages import page_in_two_languages
from fittingroom.rendering.share import share_text
from fittingroom.tune.objective import ObjectiveAxis
from fittingroom.tune.space import Choices, Range
from fittingroom.tune.study import Study
from fittingroom.tune.trial import Trial

TEMPLATE = Path(__file__).with_name("tune.html")
FEW = 10  # finished trials, below which importances are mere chance
WIDE, NARROW, HEIGHT = 920.0, 288.0, 220.0  # of the drawings, in units of the page
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 26.0  # room around their frames


@dataclass(frozen=True)
class Dot:
    """A trial in a drawing. ``kind``: its state, or ``best``; ``title``: what is shown when it is pointed at."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """A frame with its axes, dots and lines (kind and ``d`` of a path)."""

    width: float
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    dots: Sequence[Dot] = ()
    lines: Sequence[tuple[str, str]] = ()
    title: str = ""


def write_page(study: Study, result: Mapping[str, Any]) -> None:
    """Write the page of a study that has come to a result."""
    trials = study.trials()
    best = trials[result["best"]["trial"]]

    # One axis for all drawings of finished trials, so that the eye may go from one to the other.
    y = _objective_axis(study, trials, result)
    content = {
        "study": study,
        "result": result,
        "trials": sorted(trials, key=lambda trial: _rank(study, trial)),
        "best": best,
        "headline": _headline(study, best, result),
        "train_command": study.train_command(best.values),
        "below": sum(trial.value is not None and not y.holds(trial.value) for trial in trials),
        "history": _history(study, trials, best, y),
        "levels": _levels(study, result, y),
        "curves": _curves(study, trials, best),
        "importances": _importances(study),
        "few": FEW,
        "slices": [_slice(study, trials, best, path, y) for path in study.space],
        "recipe": (study.path / "best.toml").read_text(encoding="utf-8"),
        "frame": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM, "height": HEIGHT},
    }

    texts = {"text": study.objective.text, "text_of_mean": study.objective.text_of_mean, "value_text": value_text}
    texts |= {"share_text": share_text}
    page = page_in_two_languages(TEMPLATE, content | texts, "tune")

    with atomic_write(study.path / "report.html", follow_links=False) as file:
        file.write(page.encode())


def _headline(study: Study, best: Trial, result: Mapping[str, Any]) -> str:
    """What came out: the figure of the fresh seeds where there are some, and whether anything beat the baseline."""
    if best.number == 0 and result["as_it_is"] is not None:
        return f"Nothing beat {study.recipe.name or 'the baseline'}"
    if fresh := result["final"]:
        return f"{study.objective.text(fresh['mean'])} {study.objective.word} with fresh seeds"
    return f"Trial {best.number} was the best: {study.objective.text(best.value)}"


def value_text(value: Any) -> str:
    """A value of a searched key, short: ``0.0231``, ``[16, 32]``, ``random``."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


def _objective_axis(study: Study, trials: Sequence[Trial], result: Mapping[str, Any]) -> ObjectiveAxis:
    """Holds the better three quarters of all values, and the figures that they are set against, if those are near."""
    values = [trial.value for trial in trials if trial.value is not None]
    worst = study.objective.quantile(values, 0.25)
    best, fresh = result["best"]["value"], result["final"]

    # An interval of few seeds may be so wide that it would press everything else together.
    against = [result["as_it_is"], *((fresh and study.objective.interval_of_mean(fresh)) or ())]
    near = [value for value in against if value is not None and abs(value - best) < 3 * abs(best - worst)]
    return _axis_of(study, [worst, best, *near])


def _axis_of(study: Study, values: Sequence[float]) -> ObjectiveAxis:
    """Upright in a frame, so that better is higher."""
    return study.objective.axis(values, worst=HEIGHT - BOTTOM, best=TOP)


def _history(study: Study, trials: Sequence[Trial], best: Trial, y: ObjectiveAxis) -> Drawing:
    """The objective of each trial in turn, and the best so far."""
    x = Scale(-0.5, max(1, len(trials)) - 0.5, LEFT, WIDE - RIGHT)

    # A stair: across at the record so far, then up to the new one.
    record: float | None = None
    steps: list[tuple[float, float]] = []
    for trial in trials:
        if trial.state == "finished" and trial.value is not None:
            record = trial.value if record is None else min(record, trial.value, key=study.objective.rank)
        if record is not None:
            before = steps[-1][1] if steps else y(record)
            steps += [(x(trial.number), before), (x(trial.number), y(record))]

    return Drawing(
        width=WIDE,
        x_ticks=[Tick(x(number), f"{number:.0f}") for number in ticks(0, x.high - 0.5, 10, least=1)],
        y_ticks=y.marks,
        dots=[_dot(study, trial, best, x(trial.number), y) for trial in trials],
        lines=[("record", svg_path(steps))],
    )


def _dot(study: Study, trial: Trial, best: Trial, x: float, y: ObjectiveAxis) -> Dot:
    values = ", ".join(f"{path} {value_text(value)}" for path, value in trial.values.items())
    kind = "best" if trial.number == best.number else trial.state
    bottom = HEIGHT - BOTTOM
    return Dot(
        x,
        bottom if trial.value is None else y(trial.value),
        kind,
        f"trial {trial.number}, {trial.state}: {study.objective.text(trial.value)}; {values}",
    )


def _levels(study: Study, result: Mapping[str, Any], y: ObjectiveAxis) -> dict[str, Any]:
    """What the search's own best is set against: the baseline, and the mean of the fresh seeds."""
    fresh = result["final"]
    interval = fresh and (study.objective.interval_of_mean(fresh) or (fresh["mean"], fresh["mean"]))
    return {
        "baseline": None if result["as_it_is"] is None else y(result["as_it_is"]),
        "fresh": fresh and (y(fresh["mean"]), sorted(y(bound) for bound in interval)),
    }


def _curves(study: Study, trials: Sequence[Trial], best: Trial) -> Drawing:
    """The objective after each epoch, of every trial; the best one last, so that it lies on top."""
    last = max((trial.curve[-1][0] for trial in trials if trial.curve), default=1)
    values = [value for trial in trials for _, value in trial.curve]

    # The first epochs of bad trials would press everything else together.
    objective = study.objective
    bounds = [objective.quantile(values, 0.05), objective.quantile(values, 1)] if values else [0.0, 1.0]
    x, y = Scale(1, max(2, last), LEFT, WIDE - RIGHT), _axis_of(study, bounds)

    # What is drawn later lies on top.
    order = sorted(trials, key=lambda trial: (trial.number == best.number, trial.state == "finished"))
    return Drawing(
        width=WIDE,
        x_ticks=[Tick(x(epoch), f"{epoch:.0f}") for epoch in ticks(1, max(2, last), 10, least=1)],
        y_ticks=y.marks,
        lines=[
            ("best" if trial.number == best.number else trial.state, svg_path([(x(e), y(v)) for e, v in trial.curve]))
            for trial in order
            if len(trial.curve) > 1
        ],
        dots=[
            Dot(x(trial.curve[-1][0]), y(trial.curve[-1][1]), trial.state, f"trial {trial.number}, {trial.state}")
            for trial in order
            if trial.curve and trial.state != "finished"
        ],
    )


def _importances(study: Study) -> list[tuple[str, float]]:
    """How much each key told the best tenth from the rest: PED-ANOVA (Watanabe, Bansal, Hutter 2023). They add to 1."""
    known = study.as_optuna()
    finished = [trial for trial in known.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(finished) < FEW or len(study.space) < 2:
        return []
    importances = optuna.importance.get_param_importances(known)
    return sorted(importances.items(), key=lambda pair: -pair[1])


def _slice(study: Study, trials: Sequence[Trial], best: Trial, path: str, y: ObjectiveAxis) -> Drawing:
    """The objective against one key."""
    entry = study.space[path]
    across, marks = _places(entry) if isinstance(entry, Choices) else _axis(entry)
    order = sorted(trials, key=lambda trial: trial.number == best.number)
    dots = [_dot(study, trial, best, across(trial.values[path]), y) for trial in order if path in trial.values]
    return Drawing(width=NARROW, x_ticks=marks, y_ticks=y.marks, dots=dots, title=path)


def _axis(entry: Range) -> tuple[Callable[[Any], float], list[Tick]]:
    """Where a value of a range lies, and the marks below."""
    low, high = (math.log10(entry.low), math.log10(entry.high)) if entry.log else (entry.low, entry.high)
    scale = Scale(low, high, LEFT + 8, NARROW - RIGHT - 8)
    if entry.log:
        powers = [base * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for base in (1, 2, 5)]
        labelled = [value for value in powers if entry.low * 0.999 <= value <= entry.high * 1.001]
        if len(labelled) > 5:
            labelled = [value for value in labelled if f"{value:e}"[0] == "1"]  # whole powers of ten alone
        marks = [Tick(scale(math.log10(value)), f"{value:g}") for value in labelled]
        return lambda value: scale(math.log10(value)), marks

    round_values = ticks(low, high, 4, least=1 if entry.whole else 0)
    return scale, [Tick(scale(value), f"{value:.4g}") for value in round_values]


def _places(entry: Choices) -> tuple[Callable[[Any], float], list[Tick]]:
    """A place for each choice; long names are cut."""
    scale = Scale(-0.5, len(entry.values) - 0.5, LEFT, NARROW - RIGHT)
    room = max(3, int((NARROW - LEFT - RIGHT) / len(entry.values) / 6.5))
    names = [value_text(value) for value in entry.values]
    marks = [Tick(scale(i), name if len(name) <= room else name[: room - 1] + "…") for i, name in enumerate(names)]
    return lambda value: scale(names.index(value_text(value))), marks


def _rank(study: Study, trial: Trial) -> tuple[bool, float, int]:
    """A key to sort the table by: finished trials first, the best one on top."""
    return trial.state != "finished", study.objective.rank(trial.value or 0), trial.number
