"""What somebody sees on a terminal of so many columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from fittingroom.cli import main
from fittingroom.rendering.terminal import PrintableStream

STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@contextmanager
def terminal(columns: int) -> Iterator[list[str]]:
    """Standard output and messages on a real terminal; its lines are in the list when it is closed.

    What a bar has drawn over is gone from them.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    written: list[bytes] = []

    def read() -> None:
        while True:
            try:
                block = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not block:
                return
            written.append(block)

    reader = Thread(target=read)
    reader.start()
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("TERM", "xterm")
        stream = PrintableStream(os.fdopen(theirs, "wb"), "utf-8", line_buffering=True)
        patch.setattr("sys.stdout", stream)
        patch.setattr("sys.stderr", stream)
        try:
            yield lines
        finally:
            stream.close()
            reader.join()
            os.close(ours)
    text = STYLES.sub("", b"".join(written).decode()).replace("\r\n", "\n")
    lines += [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]


def on_terminal(columns: int, *words: str) -> list[str]:
    """The lines that a command leaves, run in this process and in the current folder."""
    with terminal(columns) as lines:
        code = main(words)
    assert code == 0, "\n".join(lines)
    return lines
