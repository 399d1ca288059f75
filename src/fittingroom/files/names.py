"""Names of files as text: what is written down, printed and read again has to be UTF-8."""

from __future__ import annotations

import os

from fittingroom.errors import FittingRoomError


def refuse_undecodable(name: str | os.PathLike[str]) -> None:
    """Raise FittingRoomError for a name whose bytes aren't UTF-8, such as of a ZIP file that was packed elsewhere.

    A run's files name its folder, so that a training would fail at its end, after all the work.

    Example:
        >>> refuse_undecodable("photos/caf\\udce9")
        Traceback (most recent call last):
        fittingroom.errors.FittingRoomError: 'photos/caf\\xe9': a name in UTF-8 expected, its bytes are not; rename it
    """
    text = os.fspath(name)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="backslashreplace").decode().replace("\\udc", "\\x")
        raise FittingRoomError(f"'{shown}': a name in UTF-8 expected, its bytes are not; rename it") from None
