"""A finding: what is wrong with data, how that is seen, what it does to a result, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fittingroom.data.dataset import Dataset
    from fittingroom.rendering.contact_sheet import Row

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

MAX_IMAGES_SHOWN = 12  # in one row of a finding's examples
MAX_VALUES_LISTED = 5  # rows or labels that a message names before "…"

NAMES = (
    "size-mismatch", "wrong-magic", "text-mode-damage", "truncated", "double-gzip", "web-page", "little-endian",
    "shifted", "transposed", "mirrored", "inverted", "wrong-width", "scaled-range", "colour", "sixteen-bit",
    "images-as-labels", "labels-as-images", "label-offset", "wrong-dataset", "resplit", "old-release", "subset",
    "duplicates", "overlap", "near-duplicates", "label-range", "missing-class", "imbalance", "split-shift",
    "constant-image", "leaky-pixel", "label-noise", "mixed-sizes", "unreadable",
    "left-out-files", "groups-split",
)  # fmt: skip
"""Every name that a finding may have; programs rely on them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        name: one of ``NAMES``.
        severity: ``error`` (a result would be false), ``warning`` (it may be), ``note`` (good to know).
        where: the file or the part of the data.
        message: what was seen, with figures.
        effect: what it does to a result.
        advice: what to do.
        figures: the message's numbers, for programs; under ``files`` the files of the images in question, where the
            data were read from picture files.
        fix: what ``--fix`` does about it; "" where it can't be undone without guessing.
        examples: rows of images to look at.
    """

    name: str
    severity: Severity
    where: str
    message: str
    effect: str
    advice: str
    figures: dict[str, Any] = field(default_factory=dict)
    fix: str = ""
    examples: tuple[Row, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"{self.name}: not a finding's name")

    def as_json(self) -> dict[str, Any]:
        """Everything but the examples."""
        return {
            "name": self.name,
            "severity": self.severity,
            "where": self.where,
            "message": self.message,
            "figures": self.figures,
            "files": self.figures.get("files", []),
            "effect": self.effect,
            "advice": self.advice,
            "fix": self.fix or None,
        }


def place_text(dataset: Dataset, row: int) -> str:
    """What a message calls an image: its file where it has one, else its row."""
    return f"{row:,}" if dataset.files is None else dataset.files[row]


def row_text(dataset: Dataset, row: int) -> str:
    """:func:`place_text` for a sentence that says nothing of rows by itself: ``row 12``, or the file."""
    return f"row {row:,}" if dataset.files is None else dataset.files[row]


def kind_of_place(dataset: Dataset, number: int) -> str:
    """What the places of a list of so many are: ``rows`` or ``files``, or one of them."""
    return ("row" if dataset.files is None else "file") + "s" * (number != 1)


def file_figures(dataset: Dataset, rows: Iterable[int]) -> dict[str, list[str]]:
    """``files`` for a finding's figures: those of the images at these rows; nothing where the data have none."""
    return {} if dataset.files is None else {"files": [dataset.files[int(row)] for row in rows]}
