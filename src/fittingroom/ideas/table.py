"""The result of a study as a table: for the terminal, as CSV, as LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from fittingroom.compare.comparison import confidence_text, p_text
from fittingroom.compare.comparison import points as compared_points
from fittingroom.rendering.share import share_text

COLUMNS = (
    "idea",
    "mean",
    "sd",
    "pairs",
    "difference",
    "low",
    "high",
    "confidence",
    "p",
    "verdict",
    "reason",
    "seconds",
)


def cells(result: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The baseline, then each idea, as texts; accuracies in percent, differences in points."""
    baseline = result["baseline"]
    yield _row("baseline", baseline) | {"pairs": f"{baseline['seeds']}"}
    for idea in result["ideas"]:
        yield _row(idea["name"], idea)


def as_csv(result: Mapping[str, Any]) -> str:
    """Numbers as they are: shares of 0–1, seconds. A name that a spreadsheet would compute gets an apostrophe."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for idea in [{"name": "baseline", **result["baseline"], "pairs": result["baseline"]["seeds"]}, *result["ideas"]]:
        # The baseline has no difference, and an idea that no look has judged no figures: their cells are empty.
        interval = idea.get("interval") or (None, None)
        name = f"'{idea['name']}" if idea["name"][:1] in "=+-@\t\r" else idea["name"]

        numbers = (idea["mean"], idea["sd"], idea["pairs"], idea.get("difference"), *interval)
        rest = (
            idea.get("confidence"),
            idea.get("p_value"),
            idea.get("verdict"),
            idea.get("reason"),
            idea.get("seconds"),
        )
        out.writerow(["" if value is None else value for value in (name, *numbers, *rest)])
    return text.getvalue()


def as_latex(result: Mapping[str, Any]) -> str:
    r"""A table of LaTeX's package ``booktabs``."""
    from fittingroom.runs.listing import escaped_for_latex

    heads = ("idea", r"accuracy, \%", "sd", "pairs", "difference, points", "interval", "$p$", "verdict")
    lines = [r"\begin{tabular}{lrrrrlrl}", r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    for row in cells(result):
        interval = f"{row['interval']} ({row['confidence']})" if row["interval"] else ""
        texts = (
            row["idea"],
            row["mean"],
            row["sd"],
            row["pairs"],
            row["difference"],
            interval,
            row["p"],
            row["verdict"],
        )

        # Not every LaTeX knows Unicode's minus.
        lines.append(" & ".join(escaped_for_latex(text.replace("−", "-")) for text in texts) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(name: str, side: Mapping[str, Any]) -> dict[str, str]:
    row = dict.fromkeys(("sd", "difference", "interval", "confidence", "p", "verdict"), "")
    row |= {"idea": name, "mean": "–", "pairs": f"{side.get('pairs', '')}"}
    if side["mean"] is not None:
        row |= {"mean": share_text(side["mean"]), "sd": f"{100 * side['sd']:.2f}"}
    if side.get("difference") is not None:
        low, high = side["interval"]
        row["difference"] = points(side["difference"])
        row["interval"] = f"{points(low)} to {points(high)}"
        row["confidence"] = confidence_text(side["confidence"])
        row["p"] = p_text(side["p_value"])
    if side.get("verdict"):
        row["verdict"] = f"{side['verdict']} {side['reason']}".rstrip()
    return row


def points(share: float | None, *, signed: bool = True) -> str:
    """0.0042 → ``+0.42``; what isn't known is a dash."""
    return "–" if share is None else compared_points(share, signed=signed)
