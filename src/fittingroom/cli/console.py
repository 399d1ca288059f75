"""How the commands print: results on stdout, messages and bars on stderr; Rich is imported only when printing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fittingroom.data.fetch.download import Progress
    from fittingroom.data.formats.many_pictures import Decoding

SECONDS_BEFORE_BAR = 1.0  # a bar that is gone at once only flickers
UNLIMITED = 10_000  # columns: in a pipe or a file no line is broken


def stdout() -> Console:
    """The console for results."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console for messages and bars."""
    return _console(stderr=True)


def table(*columns: str, right: Sequence[str] = (), muted: Sequence[str] = (), gap: int = 3) -> Table:
    """An empty table without lines.

    Args:
        columns: their headings.
        right: those that are set flush right.
        muted: those in grey.
        gap: characters between columns.
    """
    from rich.table import Table

    result = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column in columns:
        result.add_column(
            column,
            justify="right" if column in right else "left",
            style="bright_black" if column in muted else None,
            no_wrap=True,
            overflow="fold",
        )
    return result


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
def decoding() -> Iterator[Decoding]:
    """Show how many pictures are decoded: a bar on a terminal's stderr where it takes a second; else nothing."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars = Progress(*columns, console=stderr(), transient=True)
    tasks: dict[str, TaskID] = {}
    begun = time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        if time.monotonic() - begun < SECONDS_BEFORE_BAR:
            return
        bars.start()
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    try:
        yield show
    finally:
        bars.stop()


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
