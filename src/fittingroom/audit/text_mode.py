"""Traces that text mode leaves in binary data: line ends changed, bytes replaced or encoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fittingroom.audit.file_bytes import REPLACED

CR, LF = 0x0D, 0x0A
MIN_NEIGHBOURS = 50  # of a byte that is missing: where so many are expected, chance leaves none once in e^50
MIN_EXPECTED_PAIRS = 14  # fewer than a sixth of these: p < 10^-4, of a file that is too short besides


@dataclass(frozen=True, eq=False)
class Trace:
    """What text mode did.

    Attributes:
        message: what was seen, with figures.
        figures: the message's numbers, for programs.
        repaired: the bytes as they were, where they can be known.
        fix: what ``repaired`` undid; "" where nothing could be.
    """

    message: str
    figures: dict[str, Any] = field(default_factory=dict)
    repaired: bytes | None = None
    fix: str = ""


def repairable_damage(data: bytes) -> list[Trace]:
    """The ways in which the data can be what text mode made of others: CRLF for LF, Latin-1 as UTF-8.

    Whether one of them is what happened, the size tells: what was repaired must have the size its header claims.
    """
    traces = []

    # text mode changes every LF: a single one without CR before it clears it of having done so
    inserted = data.count(b"\r\n")
    if inserted and inserted == data.count(b"\n"):
        traces.append(
            Trace(
                f"each of its {inserted:,} LF bytes (0A) has a CR (0D) before it; without these the size is right",
                {"inserted": inserted},
                data.replace(b"\r\n", b"\n"),
                f"took out {inserted:,} CR bytes that stood before LF",
            )
        )

    # pure ASCII is the same in both encodings, and U+FFFD stands where a byte is lost for good
    if not data.isascii() and REPLACED not in data:
        try:
            repaired = data.decode("utf-8").encode("latin-1")
        except UnicodeError:
            return traces

        added = len(data) - len(repaired)
        traces.append(
            Trace(
                f"{added:,} bytes of 80 or more were written as two, as UTF-8 does with Latin-1; taken together "
                "again they give the right size",
                {"encoded": added},
                repaired,
                f"put {added:,} pairs of UTF-8 bytes together again",
            )
        )
    return traces


def lost_bytes(data: bytes, *, is_short: bool) -> Trace | None:
    """Tell by what is missing from the data that text mode changed them, so that what was there is lost.

    Args:
        data: the bytes after the header.
        is_short: whether the file is shorter than it should be, as it is when CR LF became one LF.
    """
    return _replaced(data) or _line_ends_changed(data) or (_line_ends_merged(data) if is_short else None)


def _replaced(data: bytes) -> Trace | None:
    """Bytes that are no UTF-8 became U+FFFD; so what is left is valid UTF-8, which images hardly ever are."""
    replaced = data.count(REPLACED)
    if not replaced or not _is_utf8(data):
        return None
    return Trace(
        f"{replaced:,} times EF BF BD, and no other byte of 80 or more that isn't UTF-8: the file was decoded "
        "as text, and bytes were replaced",
        {"replaced": replaced},
    )


def _line_ends_changed(data: bytes) -> Trace | None:
    """Every CR became LF, or every LF CR: the one is gone, and the other has the place of both."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    for gone, into, change in ((CR, LF, "CR (0D) → LF (0A)"), (LF, CR, "LF (0A) → CR (0D)")):
        # pixel values next to each other are about as frequent: the neighbours say how many there should be
        between, fewest = counts[[0x0B, 0x0C]].mean(), counts[[0x09, 0x0B, 0x0C, 0x0E]].min()
        if counts[gone] == 0 and fewest >= MIN_NEIGHBOURS and counts[into] > 1.4 * between:
            return Trace(
                f"no byte {gone:02X} in {len(data):,}, where its neighbours 0B and 0C stand {between:,.0f} times "
                f"on average, and {counts[into]:,} times {into:02X}: line ends were changed, {change}",
                {"missing_byte": gone, "expected": float(between), "merged_into": int(counts[into])},
            )
    return None


def _line_ends_merged(data: bytes) -> Trace | None:
    """Each CR LF became LF: the pair is far rarer than chance makes it."""
    # as often as the pairs next to it: 0C 0A, 0E 0A, 0D 09, 0D 0B; CR CR LF leaves one behind
    by_chance = sum(data.count(pair) for pair in (b"\x0c\n", b"\x0e\n", b"\r\t", b"\r\x0b")) / 4
    left = data.count(b"\r\n")
    if by_chance < MIN_EXPECTED_PAIRS or 6 * left >= by_chance:
        return None
    return Trace(
        f"{left:,} times CR LF (0D 0A), while pairs next to it, as 0C 0A and 0D 0B, stand there {by_chance:,.0f} "
        "times on average: each CR LF was made one LF",
        {"expected_pairs": by_chance, "pairs": left},
    )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
