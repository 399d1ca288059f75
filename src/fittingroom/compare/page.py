"""``compare.html``: a comparison as one self-contained page. Everything that it shows is decided here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.answers import Answers
from fittingroom.compare.disagreements import Apart
from fittingroom.compare.verdict import Comparison, p_text, points
from fittingroom.evaluation.metrics import mean_interval, wilson_interval
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.rendering.html_page import render_page

PICTURE_SIDE = 64  # pixels; larger images are reduced to it
PICTURES = 42  # of each side
WIDTH = 440.0  # of the drawings, in units of the page
TEMPLATE = Path(__file__).with_name("compare.html")


@dataclass(frozen=True)
class Axis:
    """A horizontal axis of accuracy differences: shares in, units of the page out."""

    low: float
    high: float
    start: float = 12.0

    def at(self, share: float) -> float:
        """Where a share lies; what is beyond the axis lies on its end."""
        clipped = min(self.high, max(self.low, share))
        return round(self.start + (WIDTH - 2 * self.start) * (clipped - self.low) / (self.high - self.low), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Four to nine round numbers: where, and in points."""
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 8)
        first = math.ceil(self.low / step)
        shares = [step * i for i in range(first, math.floor(self.high / step) + 1)]
        labels = [f"{100 * share:+.4g}".replace("-", "−") if share else "0" for share in shares]
        return list(zip(map(self.at, shares), labels, strict=True))


def write_page(
    path: Path, parts: list[tuple[Comparison, tuple[Answers, Answers], list[Apart], dict[str, NDArray[np.uint8]], str]]
) -> None:
    """Write the page.

    Args:
        path: is written over.
        parts: for each comparison the figures, the answers, the images that tell the runs apart, their pixels by
            SHA-256, and why there are none where there are none.
    """
    content = {
        "title": f"{parts[0][0].baseline} against {', '.join(part[0].run for part in parts)}",
        "parts": [_content(*part) for part in parts],
        "width": WIDTH,
        "points": points,
        "p_text": p_text,
    }
    page = render_page(TEMPLATE, content)
    with atomic_write(path) as file:
        file.write(page.encode())


def accuracy_of(side: Answers) -> dict[str, Any]:
    """Mean accuracy and its 95 % interval: by the images for one model, by the seeds for several."""
    shares = side.right.mean(axis=1).tolist()
    mean, sd, interval = mean_interval(shares)
    if interval is None:
        interval = wilson_interval(int(side.right.sum()), len(side.images))
    return {"name": side.name, "seeds": side.seeds, "mean": mean, "sd": sd, "interval": interval, "each": shares}


def _content(
    comparison: Comparison,
    answers: tuple[Answers, Answers],
    apart: list[Apart],
    images: dict[str, NDArray[np.uint8]],
    missing: str,
) -> dict[str, Any]:
    sides = [accuracy_of(side) for side in answers]
    headline, _, outlook = comparison.sentence.partition("; ")
    wins = [each for each in apart if each.won_by_second]
    losses = [each for each in apart if not each.won_by_second]
    return {
        "comparison": comparison,
        "headline": headline.replace("can't", "Can't", 1) if outlook else headline,
        "outlook": outlook,
        "sides": sides,
        "axis": _axis(*comparison.overall.interval),
        "missing": missing,
        "pictures": [
            (f"{right.name} is right, {wrong.name} is wrong", wrong.name, len(found), _pictures(found, images))
            for right, wrong, found in ((answers[1], answers[0], wins), (answers[0], answers[1], losses))
        ],
    }


def _axis(low: float, high: float) -> Axis:
    """Holds 0 and the interval, with a little room."""
    low, high = min(0.0, low), max(0.0, high)
    room = 0.12 * (high - low) or 0.001
    return Axis(max(-1.0, low - room), min(1.0, high + room))


def _pictures(found: list[Apart], images: dict[str, NDArray[np.uint8]]) -> list[tuple[str, Apart]]:
    """The first of each mistake, then the second of each, and so on, so that the shown ones differ."""
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for each in found:
        turn = turns[each.truth, each.said] = turns.get((each.truth, each.said), 0) + 1
        ranked.append((turn, each))
    ranked.sort(key=lambda pair: pair[0])
    return [(png_uri(images[each.image], PICTURE_SIDE), each) for _, each in ranked[:PICTURES] if each.image in images]
