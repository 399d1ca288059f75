"""The page's address, which only who starts the page knows: beside a training or by itself, it is made the same way."""

from __future__ import annotations

import secrets


def new_token() -> str:
    """What is in the address, so that no other user of this machine guesses it: 128 random bits."""
    return secrets.token_urlsafe(16)


def address_of(port: int, token: str) -> str:
    """The address of the page, on a port of this machine."""
    return f"http://127.0.0.1:{port}/{token}/"
