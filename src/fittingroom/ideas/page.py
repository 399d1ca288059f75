"""``report.html`` of a study of ideas: everything that it shows is decided here, and drawn by ``ideas.html``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.compare.comparison import confidence_text, p_text
from fittingroom.evaluation.intervals import in_groups
from fittingroom.files.atomic import atomic_write
from fittingroom.ideas.decide import LOOKS
from fittingroom.ideas.study import Study
from fittingroom.ideas.table import points
from fittingroom.rendering.axes import Scale, Tick, ticks
from fittingroom.rendering.languages import page_in_two_languages

TEMPLATE = Path(__file__).with_name("ideas.html")
CAVEAT_OF_FOLDS = (
    "The models of the folds learned from largely the same images, which the intervals allow for: the images count "
    "for less than half as many, by Nadeau and Bengio’s factor. Each pair of trainings has a cut into folds of its own."
)
WIDTH, LEFT, RIGHT, TOP, ROW = 920.0, 12.0, 12.0, 28.0, 44.0  # of the drawing, in units of the page


@dataclass(frozen=True)
class Whisker:
    """An idea in the drawing: its difference with the interval."""

    name: str
    y: float
    x: float
    low: float
    high: float
    verdict: str
    title: str


def write_page(study: Study, result: Mapping[str, Any]) -> None:
    """Write the page of a study that has come to a result."""
    content = {
        "study": study,
        "result": result,
        "headline": headline(result),
        "judged_on": judged_on(result) if result["n"] else "",
        "caveat": CAVEAT_OF_FOLDS,
        "first_look": LOOKS[0],
        "drawing": _drawing(result),
        "points": points,
        "confidence_text": confidence_text,
        "p_text": p_text,
    }
    with atomic_write(study.path / "report.html", follow_links=False) as file:
        file.write(page_in_two_languages(TEMPLATE, content, "ideas").encode())


def headline(result: Mapping[str, Any]) -> str:
    """What a study comes to, in a few words; what could not be told is not said to be nothing."""
    by_verdict = Counter(idea["verdict"] for idea in result["ideas"])
    total, untold = len(result["ideas"]), by_verdict["cannot tell"]
    if by_verdict["better"]:
        better = [idea["name"] for idea in result["ideas"] if idea["verdict"] == "better"]
        return f"{better[0]} helps" if len(better) == 1 else f"{len(better)} of {total} ideas help"
    if untold == total:
        return "It can’t be told" if result["n"] else "It can’t be told yet"
    if untold:
        return f"No idea is shown to help; of {untold} of {total} it can’t be told"
    return f"No idea helps by {points(result['effect'], signed=False)} points"


def judged_on(result: Mapping[str, Any]) -> str:
    """What it was judged by, and how those images were kept from the trainings."""
    groups = f" in {in_groups(result['groups'])}" if result.get("groups") else ""
    if result["folds"]:
        folds = result["folds"]
        return (
            f"Each of {result['n']:,} images{groups} was judged by models that had not learned from it ({folds} folds)."
        )
    return f"Judged on {result['n']:,} validation images{groups} that no training of this study learned from."


def _drawing(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ideas' differences on one axis, the baseline at 0 and the effect on both sides of it."""
    judged = [idea for idea in result["ideas"] if idea["difference"] is not None]
    if not judged:
        return None

    # The effect is on the axis even where no interval reaches it: against it all is judged.
    effect = result["effect"]
    ends = [0.0, effect, -effect, *(bound for idea in judged for bound in idea["interval"])]
    room = 0.05 * (max(ends) - min(ends))
    x = Scale(min(ends) - room, max(ends) + room, LEFT, WIDTH - RIGHT)

    bottom = TOP + ROW * len(judged)
    return {
        "width": WIDTH,
        "height": bottom + 40,
        "top": TOP,
        "bottom": bottom,
        "zero": x(0.0),
        "effect": (x(-effect), x(effect)),
        "ticks": [Tick(x(value), points(value)) for value in ticks(x.low, x.high, 8)],
        "whiskers": [
            Whisker(
                name=idea["name"],
                y=TOP + ROW * (row + 0.62),
                x=x(idea["difference"]),
                low=x(idea["interval"][0]),
                high=x(idea["interval"][1]),
                verdict=idea["verdict"],
                title=f"{points(idea['difference'])} points, {' to '.join(map(points, idea['interval']))}",
            )
            for row, idea in enumerate(judged)
        ],
    }
