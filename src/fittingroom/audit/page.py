"""A report to look at: one self-contained page (``--html``), or one contact sheet of all examples (``--sheet``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.audit.findings import SEVERITIES
from fittingroom.rendering.contact_sheet import Row, contact_sheet, png_uri
from fittingroom.rendering.languages import page_in_two_languages

if TYPE_CHECKING:
    from PIL import Image

    from fittingroom.audit.check import Report
    from fittingroom.audit.findings import Finding

TEMPLATE = Path(__file__).with_name("page.html")
MAX_ROWS_SHOWN = 40  # on one sheet
SIDE = 56  # pixels of the page for one image, or what is nearest among whole multiples


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

    fitting = [row for row in rows if row.images.shape[1:3] == rows[0].images.shape[1:3]]
    shown = f", the first {MAX_ROWS_SHOWN} rows" if len(fitting) > MAX_ROWS_SHOWN else ""
    return contact_sheet(fitting[:MAX_ROWS_SHOWN], title=title, subtitle=f"what data check found{shown}")


def as_html(report: Report) -> str:
    """The whole report as one page that needs nothing else."""
    # every severity is counted, those without a finding too: "0 errors" is the news
    counts = {kind: sum(finding.severity == kind for finding in report.findings) for kind in SEVERITIES}

    found = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items()]

    # what could not be read may hide anything: "0 errors" alone would be a promise
    problems = [checked.problem for checked in report.checked if checked.problem]
    found += [f"{len(problems)} not read"] * bool(problems)

    # captions are for labels, which are judged one image at a time; other examples speak as a row
    content = {
        "title": "Data check: " + ", ".join(checked.given for checked in report.checked),
        "found": ", ".join(found),
        "seconds": report.seconds,
        "checked": [
            (name, len(part.hashes), identity)
            for checked in report.checked
            for (name, identity), part in zip(checked.identity.items(), checked.parts, strict=True)
        ],
        "notes": [note for checked in report.checked for note in checked.notes],
        "problems": problems,
        "findings": [
            (
                finding,
                [_strip(row) for row in finding.examples if not row.captions],
                [tile for row in finding.examples if row.captions for tile in _tiles(row)],
            )
            for finding in report.findings
        ],
    }

    return page_in_two_languages(TEMPLATE, content, "check")


def _tiles(row: Row) -> list[tuple[str, str, str]]:
    """The images of a row one by one: each as a data URI, what it is called, and what it may be."""
    return [(png_uri(image, 64), *captions) for image, captions in zip(row.images, row.captions, strict=True)]


def _strip(row: Row) -> dict[str, Any]:
    """The images of a row side by side as one PNG, with its caption and its size on the page."""
    _, height, width, *channels = row.images.shape
    # a line of grey between the images, and none after the last
    padded = np.pad(row.images, ((0, 0), (0, 0), (0, 2), *((0, 0) for _ in channels)), constant_values=127)
    side_by_side = np.ascontiguousarray(padded.swapaxes(0, 1).reshape(height, -1, *channels)[:, :-2])

    scale = max(1, round(SIDE / max(height, width)))
    return {
        "source": png_uri(side_by_side),
        "width": side_by_side.shape[1] * scale,
        "height": height * scale,
        "caption": " · ".join(text for text in (row.label, row.note) if text),
    }
