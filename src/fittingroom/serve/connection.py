"""uvicorn's HTTP, with a limit on how long and how large a request's head may be, and how long an answer may lie."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class LimitedProtocol(HttpToolsProtocol):
    """A connection. uvicorn itself would wait for the rest of a head for ever, and take one of any size.

    Attributes:
        head_seconds: for the head of a request, from the connection's beginning or the request's.
        head_bytes: that a head may have.
        unread_seconds: that an answer may wait for its reader.
    """

    head_seconds = 10.0
    head_bytes = 32 << 10
    unread_seconds = 30.0

    _timer: asyncio.TimerHandle | None = None
    _bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is closed, too."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
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
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the guard's limits count."""
        self._stop_clock()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Give whoever asked a while to read the answer."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size() > 0:
            self.loop.call_later(self.unread_seconds, self._abort_if_unread)

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

    def _abort_if_unread(self) -> None:
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()
