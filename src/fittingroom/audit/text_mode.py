"""Traces that text mode leaves in binary data: line ends changed, bytes replaced or encoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fittingroom.audit.file_bytes import REPLACED

CR, LF = 0x0D, 0x0A
MANY = 50  # by chance none where so many are expected: e^-50
MANY_PAIRS = 14  # fewer than a sixth of these: p < 10^-4, of a file that is too short besides


@dataclass(frozen=True, eq=False)
class Trace:
    """What text mode did; mended: the bytes as they were, where they can be known."""

    message: str
    figures: dict[str, Any] = field(default_factory=dict)
    mended: bytes | None = None
    fix: str = ""


def mendable_damage(data: bytes) -> list[Trace]:
    """Return the ways in which the data can be what text mode made of others: CRLF for LF, Latin-1 as UTF-8.

    Whether one of them is what happened, the size tells: what was mended must have the size its header claims.
    """
    traces = []
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
    if not data.isascii() and REPLACED not in data:
        try:
            mended = data.decode("utf-8").encode("latin-1")
        except UnicodeError:
            return traces
        added = len(data) - len(mended)
        traces.append(
            Trace(
                f"{added:,} bytes of 80 or more were written as two, as UTF-8 does with Latin-1; taken together "
                "again they give the right size",
                {"encoded": added},
                mended,
                f"put {added:,} pairs of UTF-8 bytes together again",
            )
        )
    return traces


def lost_bytes(data: bytes, *, is_short: bool) -> Trace | None:
    """Tell by what is missing from the data that text mode changed them, so that what was there is lost.

    is_short: whether the file is shorter than it should be, as it is when CR LF became one LF.
    """
    replaced = data.count(REPLACED)
    if replaced and _is_utf8(data):
        return Trace(
            f"{replaced:,} times EF BF BD, and no other byte of 80 or more that isn't UTF-8: the file was decoded "
            "as text, and bytes were replaced",
            {"replaced": replaced},
        )
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    for gone, into, said in ((CR, LF, "CR (0D) → LF (0A)"), (LF, CR, "LF (0A) → CR (0D)")):
        neighbours = counts[[0x0B, 0x0C]].mean(), counts[[0x09, 0x0B, 0x0C, 0x0E]].min()
        if counts[gone] == 0 and neighbours[1] >= MANY and counts[into] > 1.4 * neighbours[0]:
            return Trace(
                f"no byte {gone:02X} in {len(data):,}, where its neighbours 0B and 0C stand {neighbours[0]:,.0f} times "
                f"on average, and {counts[into]:,} times {into:02X}: line ends were changed, {said}",
                {"missing_byte": gone, "expected": float(neighbours[0]), "merged_into": int(counts[into])},
            )
    # as often as the pairs next to it: 0C 0A, 0E 0A, 0D 09, 0D 0B; CR CR LF leaves one behind
    by_chance = sum(data.count(pair) for pair in (b"\x0c\n", b"\x0e\n", b"\r\t", b"\r\x0b")) / 4
    left = data.count(b"\r\n")
    if is_short and by_chance >= MANY_PAIRS and 6 * left < by_chance:
        return Trace(
            f"{left:,} times CR LF (0D 0A), while pairs next to it, as 0C 0A and 0D 0B, stand there {by_chance:,.0f} "
            "times on average: each CR LF was made one LF",
            {"expected_pairs": by_chance, "pairs": left},
        )
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
