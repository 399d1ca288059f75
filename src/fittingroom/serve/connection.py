"""uvicorn's HTTP, with limits on heads of requests, on answers that nobody reads, and on connections.

A head may be so long and so large, and of one meaning; an answer may lie for so long; a connection beyond the most that
there may be is told so.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY = b'{"error": "busy: too many connections; try again"}'


class LimitedProtocol(HttpToolsProtocol):
    """A connection. uvicorn itself would wait for the rest of a head for ever, and take one of any size.

    Attributes:
        head_seconds: for the head of a request, from the connection's beginning or the request's.
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

    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _rest_timer: asyncio.TimerHandle | None = None
    _bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is closed, too."""
        super().connection_made(transport)
        self._count()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        self._stop_unread_clock()
        self._stop_rest_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        self._count()
        if self._timer is not None:
            self._bytes += len(data)
        super().data_received(data)

        # uvicorn has read it by now; if the head is still not complete, what came belongs to it.
        if self._timer is not None and self._bytes > self.head_bytes and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self._close()

    def on_message_begin(self) -> None:
        """A head begins, on a connection that was kept, too."""
        super().on_message_begin()
        self.scope["extensions"] = {"fittingroom": {"abort": self._abort}}
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the guard's limits count."""
        self._stop_clock()
        self.app = _busy if len(self.connections) > self.most else self.config.loaded_app
        super().on_headers_complete()
        if getattr(self.server_state, "is_ending", False):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """All of a request is here."""
        self._stop_rest_clock()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Much of an answer lies unread: begin to count the time."""
        super().pause_writing()
        self._stop_unread_clock()
        self._unread_timer = self.loop.call_later(self.unread_seconds, self._abort)

    def resume_writing(self) -> None:
        """It is read."""
        self._stop_unread_clock()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Give whoever asked a while to read the answer, if all that lies unread isn't too much by now."""
        super().on_response_complete()

        # What is left of a request that was refused before all of it came is not waited for without end.
        if self.cycle.more_body and not self.transport.is_closing():
            self._stop_rest_clock()
            self._rest_timer = self.loop.call_later(self.head_seconds, self._close)
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
        self._stop_clock()
        self._bytes = 0
        self._timer = self.loop.call_later(self.head_seconds, self._close)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._stop_clock()
        self.transport.close()

    def _stop_unread_clock(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _stop_rest_clock(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def _abort_if_unread(self) -> None:
        if self.transport.get_write_buffer_size() > 0:
            self._abort()

    def _abort(self) -> None:
        """Hang up, whatever lies unread."""
        self.transport.abort()


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
