"""uvicorn's HTTP, with limits on heads of requests, on answers that nobody reads, and on connections.

A head may be so long and so large, and of one meaning; an answer may lie for so long; a connection beyond the most that
there may be is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY = b'{"error": "busy: too many connections; try again"}'


class LimitedProtocol(HttpToolsProtocol):
    """A connection. uvicorn itself would wait for the rest of a head for ever, and take one of any size.

    Attributes:
        head_seconds: for the head of a request, from the connection's beginning or the request's; and for what is left
            of one that was refused before all of it came.
        head_bytes: that a head may have.
        unread_seconds: that an answer may wait for its reader.
        unread_bytes: of answers that all connections together may have lying.
        most: connections that are answered.
    """

    head_seconds = 10.0
    head_bytes = 32 << 10
    unread_seconds = 30.0
    unread_bytes = 256 << 20
    most = 1_000

    def connection_made(self, transport: Any) -> None:
        """Start the head's clock: a connection that says nothing is closed, too."""
        self._head, self._unread, self._rest = (_Clock(self.loop) for _ in range(3))
        super().connection_made(transport)
        self._count()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for clock in (self._head, self._unread, self._rest):
            clock.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        self._count()
        if self._head.is_running:
            self._head_bytes += len(data)
        super().data_received(data)

        # uvicorn has read it by now; if the head is still not complete, what came belongs to it.
        if self._head.is_running and self._head_bytes > self.head_bytes and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self._close()

    def on_message_begin(self) -> None:
        """A head begins, on a connection that was kept, too."""
        super().on_message_begin()
        self.scope["extensions"] = {"fittingroom": {"abort": self._abort}}
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the guard's limits count."""
        self._head.stop()
        self.app = _busy if len(self.connections) > self.most else self.config.loaded_app
        super().on_headers_complete()
        if getattr(self.server_state, "is_ending", False):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """All of a request is here."""
        self._rest.stop()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Much of an answer lies unread: begin to count the time."""
        super().pause_writing()
        self._unread.start(self.unread_seconds, self._abort)

    def resume_writing(self) -> None:
        """It is read."""
        self._unread.stop()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Give whoever asked a while to read the answer, if all that lies unread isn't too much by now."""
        super().on_response_complete()

        # What is left of a request that was refused before all of it came is not waited for without end.
        if self.cycle.more_body and not self.transport.is_closing():
            self._rest.start(self.head_seconds, self._close)
        size = self.transport.get_write_buffer_size()
        if size == 0:
            return
        self.loop.call_later(self.unread_seconds, self._abort_if_unread)
        if size > self.unread_bytes // self.most:
            unread = sum(connection.transport.get_write_buffer_size() for connection in self.connections)
            if unread > self.unread_bytes:
                self._abort()

    def _count(self) -> None:
        """Let a server that is to end see whether anything comes yet."""
        self.server_state.came = getattr(self.server_state, "came", 0) + 1  # type: ignore[attr-defined]

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head.start(self.head_seconds, self._close)

    def _close(self) -> None:
        self._head.stop()
        self.transport.close()

    def _abort_if_unread(self) -> None:
        if self.transport.get_write_buffer_size() > 0:
            self._abort()

    def _abort(self) -> None:
        """Hang up, whatever lies unread."""
        self.transport.abort()


class _Clock:
    """Calls something once after a while, unless it is stopped before; to start it again is to start it anew."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._timer is not None

    def start(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after so many seconds from now."""
        self.stop()
        self._timer = self._loop.call_later(seconds, call)

    def stop(self) -> None:
        """Call nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _busy(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer in the place of the application."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BUSY)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})
