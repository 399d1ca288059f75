"""How the commands print: results on stdout, messages and bars on stderr; Rich is imported only when printing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

from fittingroom.rendering import terminal
from fittingroom.rendering.text_table import TextTable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from fittingroom.data.fetch.download import Progress
    from fittingroom.data.formats.many_pictures import Decoding

SECONDS_BEFORE_BAR = 1.0  # a bar that is gone at once only flickers


def stdout() -> Console:
    """The console for results."""
    return terminal.console(stderr=False)


def stderr() -> Console:
    """The console for messages and bars."""
    return terminal.console(stderr=True)


def table(
    *columns: str,
    right: Sequence[str] = (),
    muted: Sequence[str] = (),
    prose: Sequence[str] = (),
    skipped: str = "",
    gap: int = 3,
) -> TextTable:
    """An empty table without lines, of which no terminal cuts a cell: see :class:`TextTable`."""
    return TextTable(columns, right, muted, prose, skipped, gap)


def styled(*parts: tuple[str, str]) -> Text:
    """One line of texts, each with its style."""
    from rich.text import Text

    return Text.assemble(*parts)


def print_json(value: Any) -> None:
    """Print what a program is to read; what stdout's encoding lacks is escaped, so that nothing of it is lost."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


@contextmanager
def fetching() -> Iterator[Progress]:
    """Show what is fetched: bars on a terminal, a line for each file otherwise. Both on stderr."""
    if not sys.stderr.isatty():
        logged: set[str] = set()

        def log(what: str, done: int, total: int | None) -> None:
            if what not in logged:
                logged.add(what)
                print(f"fetching: {what}", file=sys.stderr, flush=True)

        yield log
        return

    # Only a terminal can show bars, so only there Rich is loaded.
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bars = Progress(*columns, console=stderr(), transient=True)
    tasks: dict[str, TaskID] = {}

    # Started at the first call, so that nothing flickers where nothing is fetched.
    def show(what: str, done: int, total: int | None) -> None:
        bars.start()
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=None)
        bars.update(tasks[what], completed=done, total=total)

    try:
        yield show
    finally:
        bars.stop()


@contextmanager
def working(what: str = "") -> Iterator[Decoding]:
    """Show on a terminal's stderr what takes more than a second; elsewhere nothing.

    Args:
        what: is done all the while, such as ``judging``, shown with how long by now; "" for nothing of the kind.

    Yields:
        What is told of counted work within it, such as pictures that are decoded, each kind of which gets a bar.
    """
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    begun = time.monotonic()
    bars: list[Any] = []
    tasks: dict[str, Any] = {}
    starting = Lock()

    # Rich is loaded only where there is something to see of it.
    def started() -> Any:
        with starting:  # the timer's thread and the one that works may both be the first
            if not bars:
                bars.append(_bars_of_work())
                if what:
                    bars[0].add_task(what, total=None, of="")
                bars[0].start()
        return bars[0]

    def show(counted: str, done: int, total: int) -> None:
        if time.monotonic() - begun < SECONDS_BEFORE_BAR:
            return
        if counted not in tasks:
            tasks[counted] = started().add_task(counted, total=total, of="")
        started().update(tasks[counted], completed=done, of=f"{done:,}/{total:,}")

    timer = Timer(SECONDS_BEFORE_BAR, started)
    timer.daemon = True
    if what:
        timer.start()
    try:
        yield show
    finally:
        timer.cancel()
        if what:
            timer.join()  # it may just be starting them
        for each in bars:
            each.stop()


def _bars_of_work() -> Any:
    """Bars with the time that is left, or, where nobody knows how much there is to do, that has gone by."""
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    elapsed = TimeElapsedColumn()

    class Time(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return elapsed.render(task) if task.total is None else super().render(task)

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[of]}"), Time()
    return Progress(*columns, console=stderr(), transient=True)
