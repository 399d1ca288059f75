"""A report to look at: one self-contained page, or one contact sheet with the examples of all findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.rendering.contact_sheet import Row, contact_sheet, png_uri
from fittingroom.rendering.html_page import STYLE_SHEET

if TYPE_CHECKING:
    from PIL import Image

    from fittingroom.audit.check import Report
    from fittingroom.audit.findings import Finding

MOST_ROWS = 40  # of one sheet
SIDE = 56  # pixels of the page for one image, or what is nearest among whole multiples

STYLE = """
h1 { font-size: var(--heading); }
.page { padding-top: 3rem; }
article { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 2rem; }
.error { color: var(--other); } .warning { color: var(--ink); } .note { color: var(--accent); }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .4rem 1.5rem; margin: 1rem 0 0; }
dt { color: var(--muted); } dd { margin: 0; max-width: 42rem; overflow-wrap: anywhere; }
figure { margin-top: 1.25rem; } .strip { overflow-x: auto; margin-top: .35rem; padding: 1px; }
.wall { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: 0 .9rem; }
.wall .tile { width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; }
.wall figcaption { margin-top: .4rem; line-height: 1.3; } .wall s { color: var(--other); }
"""


def as_sheet(findings: Sequence[Finding], title: str) -> Image.Image | None:
    """Lay out the examples of all findings that have some, a row each at least; None when none has any.

    Images of one size only fit one sheet: those of the first example's size.
    """
    rows: list[Row] = []
    for finding in findings:
        for index, row in enumerate(finding.examples):
            label = f"{finding.name}: {row.label}" if index == 0 else row.label
            rows.append(replace(row, label=label, note=row.note or (finding.where if index == 0 else "")))
    if not rows:
        return None
    fitting = [row for row in rows if row.images.shape[1:] == rows[0].images.shape[1:]]
    shown = f", the first {MOST_ROWS} rows" if len(fitting) > MOST_ROWS else ""
    return contact_sheet(fitting[:MOST_ROWS], title=title, subtitle=f"what data check found{shown}")


def as_html(report: Report) -> str:
    """The whole report as one page that needs nothing else."""
    counts = {kind: sum(each.severity == kind for each in report.findings) for kind in ("error", "warning", "note")}
    summary = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items())
    what = "".join(
        f"<dt>{escape(name)}</dt><dd>{len(part.hashes):,} images; {escape(identity or 'no known data set')}</dd>"
        for each in report.checked
        for (name, identity), part in zip(each.identity.items(), each.parts, strict=True)
    )
    problems = "".join(f"<dt>not read</dt><dd>{escape(each.problem)}</dd>" for each in report.checked if each.problem)
    title = "Data check: " + ", ".join(each.given for each in report.checked)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE_SHEET.read_text('utf-8')}{STYLE}</style></head><body>"
        f'<main class="page"><h1>{escape(title)}</h1>'
        f'<p class="small">{summary}, in {report.seconds:.1f} s</p><dl>{what}{problems}</dl>'
        + "".join(map(_article, report.findings))
        + "</main></body></html>\n"
    )


def _article(finding: Finding) -> str:
    rows = [("where", finding.where), ("seen", finding.message)]
    rows += [("effect", finding.effect), ("what to do", finding.advice)]
    if finding.fix:
        rows.append(("--fix", finding.fix))
    return (
        f'<article><h2><span class="{finding.severity}">{finding.severity}</span> {finding.name}</h2><dl>'
        + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
        + "</dl>"
        + "".join(_strip(row) for row in finding.examples if not row.captions)
        + _wall([row for row in finding.examples if row.captions])
        + "</article>"
    )


def _wall(rows: Sequence[Row]) -> str:
    """The images of rows one by one, each with its captions: what it is called, struck out, and what it may be."""
    figures = "".join(
        f'<figure><img class="tile" src="{png_uri(image_HW, 64)}" alt="{escape(given)}, perhaps {escape(other)}">'
        f"<figcaption><s>{escape(given)}</s><br>{escape(other)}</figcaption></figure>"
        for row in rows
        for image_HW, (given, other) in zip(row.images, row.captions, strict=True)
    )
    key = '<p class="small">Worst first; what the label says is struck out, what the models say is below.</p>'
    return f'{key}<div class="wall">{figures}</div>' if figures else ""


def _strip(row: Row) -> str:
    """The images of a row side by side as one PNG."""
    height, width = row.images.shape[1:]
    padded = np.pad(row.images, ((0, 0), (0, 0), (0, 2)), constant_values=127)
    side_by_side = np.ascontiguousarray(padded.transpose(1, 0, 2).reshape(height, -1)[:, :-2])
    scale = max(1, round(SIDE / max(height, width)))
    caption = " · ".join(escape(text) for text in (row.label, row.note) if text)
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="strip">'
        f'<img class="tile" alt="{caption}" width="{side_by_side.shape[1] * scale}" height="{height * scale}" '
        f'src="{png_uri(side_by_side)}"></div></figure>'
    )
