"""``compare.html``: a comparison as one self-contained page. Everything that it shows is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fittingroom.compare import Compared
from fittingroom.compare.answers import Answers
from fittingroom.compare.comparison import Comparison, confidence_text, p_text, points
from fittingroom.compare.disagreements import Disagreements, DiscordantImage
from fittingroom.compare.matrix import difference_matrix
from fittingroom.compare.sides import side_of
from fittingroom.files.atomic import atomic_write
from fittingroom.rendering.axes import Scale, Tick, ticks
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.rendering.languages import page_in_two_languages

PICTURE_SIDE = 64  # pixels; larger images are reduced to it
MAX_PICTURES = 42  # of each side
WIDTH, MARGIN = 440.0, 12.0  # of the drawings, in units of the page
TEMPLATE = Path(__file__).with_name("compare.html")


def write_page(path: Path, compared: Compared) -> None:
    """Write the page over ``path``."""
    with atomic_write(path) as file:
        file.write(page_of(compared).encode())


def page_of(compared: Compared) -> str:
    """The page, with the pictures of the discordant images where their data can be opened."""
    comparisons = zip(compared.comparisons, compared.disagreements, strict=True)
    content = {
        "title": f"{compared.baseline} against {', '.join(comparison.run for comparison in compared.comparisons)}",
        "baseline": compared.baseline,
        "sides": compared.sides if len(compared.comparisons) > 1 else [],
        "comparisons": compared.comparisons,
        "parts": [_content(comparison, disagreements) for comparison, disagreements in comparisons],
        "width": WIDTH,
        "points": points,
        "p_text": p_text,
        "confidence_text": confidence_text,
        "interval_names": compared.interval_names,
    }
    return page_in_two_languages(TEMPLATE, content, "compare")


def _content(comparison: Comparison, disagreements: Disagreements) -> dict[str, Any]:
    first, second = disagreements.first, disagreements.second
    scale = _scale(*comparison.overall.interval)

    # The verdict is set large, and what could have been detected below it.
    headline, _, power_statement = comparison.sentence.partition("; ")
    return {
        "comparison": comparison,
        "headline": headline.replace("can't", "Can't", 1) if power_statement else headline,
        "power_statement": power_statement,
        "sides": [side_of(first, first), side_of(second, first)],
        "scale": scale,
        "ticks": [Tick(scale(share), _points_label(share)) for share in ticks(scale.low, scale.high, 6)],
        "differs": side_of(second, first).differs,
        "has_pixels": first.has_pixels,
        "missing": disagreements.missing,
        "matrix": difference_matrix(disagreements),
        "walls": [
            _wall(disagreements, second, first, won_by_second=True),
            _wall(disagreements, first, second, won_by_second=False),
        ],
    }


def _scale(low: float, high: float) -> Scale:
    """Holds 0 and the interval, with a little room."""
    low, high = min(0.0, low), max(0.0, high)
    room = 0.12 * (high - low) or 0.001
    return Scale(max(-1.0, low - room), min(1.0, high + room), MARGIN, WIDTH - MARGIN)


def _points_label(share: float) -> str:
    return f"{100 * share:+.4g}".replace("-", "−") if share else "0"


def _wall(disagreements: Disagreements, right: Answers, wrong: Answers, *, won_by_second: bool) -> dict[str, Any]:
    """The images that only one side gets right, and some of their pictures."""
    images = [image for image in disagreements.images if image.won_by_second == won_by_second]
    pixels = disagreements.pixels
    shown = _one_of_each_mistake_first(images)[:MAX_PICTURES] if pixels else []
    return {
        "heading": f"{right.name} is right, {wrong.name} is wrong",
        "loser": wrong.name,
        "count": len(images),
        "pictures": [(png_uri(pixels[image.image], PICTURE_SIDE), image) for image in shown],
    }


def _one_of_each_mistake_first(images: Sequence[DiscordantImage]) -> list[DiscordantImage]:
    """The first of each mistake, then the second of each, and so on, so that the shown ones differ."""
    counts: dict[tuple[str, str], int] = {}
    rounds = []
    for image in images:
        mistake = image.truth, image.predicted
        counts[mistake] = counts.get(mistake, 0) + 1
        rounds.append((counts[mistake], image))
    return [image for _, image in sorted(rounds, key=lambda pair: pair[0])]
