"""A request that is not carried out, and why, in words for whoever sent it."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """Answered with ``status`` and ``{"error": message}``. The message never has a path or a traceback in it."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
