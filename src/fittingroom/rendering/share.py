"""Shares as percentages that don't say all, or nothing, where it isn't so, and counts of things."""

from __future__ import annotations


def share_text(share: float, digits: int = 2) -> str:
    """Write a share of 0–1 of which one counts: rounded, but for what is nearly all or hardly anything.

    Example:
        >>> [share_text(share) for share in (0.9204, 1.0, 59_999 / 60_000, 0.0, 1 / 60_000)]
        ['92.04%', '100.00%', '99.99%', '0.00%', '< 0.01%']
    """
    text, step = f"{share:.{digits}%}", 10 ** -(digits + 2)
    if share < 1 and text == f"{1:.{digits}%}":
        return f"{1 - step:.{digits}%}"
    if share > 0 and text == f"{0:.{digits}%}":
        return f"< {step:.{digits}%}"
    return text


def counted(number: int, thing: str = "image") -> str:
    """A number of things: ``1 image``, ``1,234 images``.

    Example:
        >>> counted(1), counted(0), counted(1_234, "test image")
        ('1 image', '0 images', '1,234 test images')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"
