"""A port of this machine, and how uvicorn answers there."""

from __future__ import annotations

import errno
import ipaddress
import socket

import uvicorn
from starlette.types import ASGIApp

from fittingroom.errors import FittingRoomError
from fittingroom.serve.connection import LimitedProtocol

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DRAIN_SECONDS = 20
IDLE_SECONDS = 15


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits at an address of this machine. Raises FittingRoomError where that can't be had."""
    if not 0 <= port < 1 << 16:
        raise FittingRoomError(f"`port`: a number 0–65535 expected, {port} found")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=LimitedProtocol.most)
    except (OSError, UnicodeError) as error:  # UnicodeError: what is no name of a host
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        advice = f"give another one, such as {port % 65535 + 1}, or 0 for any that is free" if in_use else ""
        system_text = getattr(error, "strerror", None) or error
        reason = "is in use by another program" if in_use else f"can't be listened at: {system_text}"
        raise FittingRoomError(f"port {port} of {host} {reason}; {advice or 'check `host` and `port`'}") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves the application."""
    # Nothing of the server is told to clients, and no header of theirs is trusted to name another sender.
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
