"""The server's log: a line for each request and for each failure, as text or as JSON.

Lines are made and written by a thread of their own, so that nobody's answer waits for a disk or for whoever reads the
log. What waits to be written is bounded. What a client chose is escaped and cut, and neither a key nor what follows a
``?`` is ever written.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TextIO

LogForm = Literal["text", "json", "off"]
MAX_WAITING = 20_000  # lines; some 10 MB
MAX_TEXT = 200  # characters of what a client chose
PAUSE_SECONDS = 0.02  # between two looks at what waits, so that a busy server's lines are written many at a time
CLOSE_SECONDS = 2.0  # that a log which nobody reads may hold up the end


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A request that was answered, or whose client went away (status 499).

    Attributes:
        client: the address that it came from.
        method, path: as the client wrote them, the path without its query.
        status: of the answer.
        seconds: from the end of its head to the end of the answer.
        received: bytes of its body.
        error: what the answer says of a refusal; None where there was none.
        at: when it was done, in seconds since 1970.
    """

    client: str
    method: str
    path: str
    status: int
    seconds: float
    received: int
    error: str | None
    at: float


class RequestLog:
    """Writes the lines. Use as a context manager, or :meth:`close` it at the end.

    Args:
        form: ``text`` for people, ``json`` for programs, one object a line; ``off`` leaves failures of the server
            alone, as text.
        stream: standard error, where none is given.
    """

    def __init__(self, form: LogForm = "text", stream: TextIO | None = None):
        self.form, self._stream = form, stream or sys.stderr
        self._waiting: deque[RequestDone | logging.LogRecord] = deque()
        self._dropped, self._counting = 0, threading.Lock()
        self._awake, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._write_off, name="request-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> RequestLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, done: RequestDone) -> None:
        """Write a line for a request. Returns at once."""
        if self.form != "off":
            self._append(done)

    def failure(self, record: logging.LogRecord) -> None:
        """Write what Python's ``logging`` was told, with its traceback. Returns at once."""
        self._append(record)

    def close(self) -> None:
        """Write what waits, and end. A log that nobody reads loses it after two seconds."""
        self._closing = True
        self._awake.set()
        self._thread.join(CLOSE_SECONDS)

    def _append(self, item: RequestDone | logging.LogRecord) -> None:
        if len(self._waiting) >= MAX_WAITING:
            with self._counting:
                self._dropped += 1
            return
        self._waiting.append(item)
        if not self._awake.is_set():
            self._awake.set()

    def _write_off(self) -> None:
        """Write what comes, until the end."""
        as_text = _json_line if self.form == "json" else _text_line
        while True:
            self._awake.wait()
            self._awake.clear()
            self._write(as_text)
            if self._closing and not self._waiting:
                return
            time.sleep(0 if self._closing else PAUSE_SECONDS)

    def _write(self, as_text: Callable[[RequestDone | logging.LogRecord], str]) -> None:
        lines = [as_text(self._waiting.popleft()) for _ in range(len(self._waiting))]
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            text = f"{dropped:,} lines of the log were dropped: it is read too slowly"
            lines.append(as_text(logging.LogRecord("fittingroom.serve", logging.WARNING, "", 0, text, None, None)))

        # A log that can't be written, as on a full disk, is no reason to end.
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = "".join(f"{line}\n" for line in lines).encode(encoding, "backslashreplace").decode(encoding)
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


@contextmanager
def writing_failures(log: RequestLog) -> Iterator[None]:
    """Have what this server and uvicorn tell Python's ``logging`` written into the log, from warnings on."""

    class ToLog(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.failure(record)

    # No further up: the root's handlers would write each line a second time, in another form.
    handler = ToLog(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("fittingroom.serve", "uvicorn")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False

    try:
        yield
    finally:
        for logger, propagated in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagated


def one_line(text: str, longest: int = MAX_TEXT) -> str:
    """A text without what would move a terminal's cursor, begin another line, or turn the line around; cut if long."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


def _text_line(item: RequestDone | logging.LogRecord) -> str:
    if isinstance(item, logging.LogRecord):
        said, trace = one_line(item.getMessage(), 1_000), _traceback(item)
        lines = [f"{_time(item.created)} {item.levelname.lower()}: {said}", *trace]
        return "\n".join(one_line(line, 1_000) for line in lines)
    done = item
    line = (
        f"{_time(done.at)} {done.client} {one_line(done.method)} {one_line(done.path)} {done.status} "
        f"{1000 * done.seconds:.1f} ms {done.received} bytes"
    )
    return f"{line}: {one_line(done.error)}" if done.error else line


def _json_line(item: RequestDone | logging.LogRecord) -> str:
    line: dict[str, Any]
    if isinstance(item, logging.LogRecord):
        said = item.getMessage()[:1_000]
        line = {"time": _time(item.created), "level": item.levelname.lower(), "message": said}
        if trace := _traceback(item):
            line["traceback"] = "\n".join(trace)
        return json.dumps(line)

    # What a client chooses is cut: a line is to stay one that a collector of logs takes.
    done = item
    line = {
        "time": _time(done.at),
        "level": "info",
        "client": done.client,
        "method": done.method[:MAX_TEXT],
        "path": done.path[:MAX_TEXT],
        "status": done.status,
        "seconds": round(done.seconds, 6),
        "bytes": done.received,
    }
    return json.dumps(line | ({"error": done.error[:MAX_TEXT]} if done.error else {}))


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    return "".join(traceback.format_exception(record.exc_info[1])).splitlines()


def _time(seconds: float) -> str:
    """The time as ISO 8601 has it, in UTC, with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03}Z"
