"""What lets a frame in where a key is asked for: a frame can't say the key, and the key belongs into no address."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

SECONDS = 60  # for which a ticket opens its address


class Tickets:
    """Tickets of one server; those of another one, or of before it was started anew, open nothing."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def make(self, path: str) -> str:
        """What opens this path, and no other, for a minute."""
        until = f"{int(time.monotonic()) + SECONDS:x}"
        return f"{until}.{self._sign(until, path)}"

    def opens(self, path: str, ticket: str) -> bool:
        """Whether it was made for this path, and its minute isn't over."""
        until, _, signature = ticket.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(until, path).encode()):
            return False
        return time.monotonic() < int(until, 16)

    def _sign(self, until: str, path: str) -> str:
        return hmac.new(self._secret, f"{until} {path}".encode(), hashlib.sha256).hexdigest()
