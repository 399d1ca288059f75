"""uvicorn's HTTP, with limits on heads of requests, on answers that nobody reads, and on connections.

A head may be so long and so large, and of one meaning; so may be what comes between the pieces of a body and after it;
an answer may lie for so long; a connection beyond the most that there may be is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY = b'{"error": "busy: too many connections; try again"}'


class LimitedProtocol(HttpToolsProtocol):
    """A connection. uvicorn itself would wait for the rest of a head for ever, and take one of any size.

    Attributes:
        head_seconds: for the head of a request, from the connection's beginning or the request's; and for what is left
            of one that was refused before all of it came.
        head_bytes: that a head may have, and whatever else of a request is not its body.
        unread_seconds: that an answer may wait for its reader.
        unread_bytes: of answers that all connections together may have lying.
        most: connections that are answered.
    """

    head_seconds = 10.0
    head_bytes = 32 << 10
    unread_seconds = 30.0
    unread_bytes = 256 << 20
    most = 1_000
    parser: _Parser

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)

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
        """Count what belongs to no body: heads, extensions of chunks, and fields after the last one."""
        self._count()
        self._other_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return

        # uvicorn has read it by now; if no piece of a body and no new head was in it, all that came is of that kind.
        if self._other_bytes > self.head_bytes:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self._close()

        # An empty line begins no request, but uvicorn waits for one no longer.
        elif self.cycle and self.cycle.response_complete and not self.cycle.more_body and not self._head.is_running:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins, on a connection that was kept, too."""
        super().on_message_begin()
        self.scope["extensions"] = {"fittingroom": {"abort": self._abort}}
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; one that comes after the body is none, whatever it says."""
        if self._head.is_running:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the guard's limits count."""
        if self.parser.asks_for_another:
            return
        self._head.stop()
        self.app = _busy if len(self.connections) > self.most else self.config.loaded_app
        super().on_headers_complete()
        if getattr(self.server_state, "is_ending", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a body, which the guard counts."""
        self._other_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        if self.parser.asks_for_another:
            return
        self._rest.stop()
        super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """The head that came last, as if it didn't ask for another protocol."""
        lines = [b" ".join((self.parser.get_method(), self.url, b"HTTP/" + self.parser.get_http_version().encode()))]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

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
        self._other_bytes = 0
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


class _Parser(httptools.HttpRequestParser):
    """httptools', by which a request that asks for another protocol has no body: what follows would be a second one.

    Java's client asks so beside its first request, whatever it sends. Here HTTP/1.1 goes on, as if it hadn't.
    """

    def __init__(self, protocol: LimitedProtocol):
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._protocol = protocol

    @property
    def asks_for_another(self) -> bool:
        """Whether the request is to be read anew; one to CONNECT is not, and refused."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"

    def feed_data(self, data: Any) -> None:
        """Read on: bytes, of whatever kind. For a head that is read anew, a parser anew: this one may be at its end."""
        parser = self
        while True:
            try:
                return httptools.HttpRequestParser.feed_data(parser, data)
            except httptools.HttpParserUpgrade as at:
                if not parser.asks_for_another:
                    raise
                data = self._protocol.head_without_upgrade() + data[at.args[0] :]
                parser = self._protocol.parser = _Parser(self._protocol)


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
