"""Standard streams that any terminal, pipe or missing one may stand behind."""

from __future__ import annotations

import io
import os
import sys

from fittingroom.rendering.terminal import PrintableStream


def prepare_streams() -> None:
    """Make printing fail for no text, and messages for nothing at all.

    What the terminal's encoding lacks is shown as ``?``; a stream that is closed leads nowhere; a stderr that is full
    or whose reader went away loses messages and stops no work. Streams that another program has put in place are left
    alone.
    """
    # A file that is opened while 1 or 2 is free gets that number, and whatever is printed with it.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one

    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    elif sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
        if sys.stdout.isatty():  # a pipe or a file gets every character as it is
            sys.stdout = PrintableStream(sys.stdout.detach(), sys.stdout.encoding, "replace", line_buffering=True)

    if sys.stderr is None or (sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper)):
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = PrintableStream(
            io.BufferedWriter(_Messages(2, "w", closefd=False)), encoding, "replace", line_buffering=True
        )


def finish_stdout() -> None:
    """Write what is still in memory. Raises OSError where stdout takes no more, and only once."""
    try:
        sys.stdout.flush()
    except OSError:
        silence_stdout()
        raise


def silence_stdout() -> None:
    """Let nothing be written any more, so that the exit's own flush is quiet too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Messages(io.FileIO):
    """A stream of messages, which nobody need receive."""

    def write(self, content: object) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError:
            return len(memoryview(content))  # type: ignore[arg-type]
