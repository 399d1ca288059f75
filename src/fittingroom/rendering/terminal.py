"""What things are printed on: streams, and consoles, for which Rich is imported only when one is made.

On a terminal a long line is broken between words, and goes on below the text, not below its label.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

UNLIMITED = 10_000  # columns: in a pipe or a file no line is broken
WIDEST_LABEL = 20  # columns; text that opens later is no label's
LEAST_TEXT = 24  # columns beside a label; with fewer the text goes on below the label
HANGING = 2  # columns that a line without a label is set in by where it goes on

# Compiled only when something is written: every command imports this, for its messages. What opens a line, and what a
# terminal takes for a command, or writes in another order than it stands.
_LABEL = r"\s*\S+(?: \S+)*\s{2,}(?=\S)"
_UNSHOWABLE = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"


def printable(text: str) -> str:
    """Text as a terminal may be given it: a stranger's class or file name clears no screen and hides no line.

    Example:
        >>> printable("Bag\\x1b[2J")
        'Bag\\\\x1b[2J'
    """
    return re.sub(_UNSHOWABLE, lambda match: match[0].encode("unicode_escape").decode(), text)


class PrintableStream(io.TextIOWrapper):
    """A stream for people: control characters of what is printed are spelled out."""

    def write(self, text: str) -> int:
        """Write what ``print`` is given."""
        super().write(printable(text))
        return len(text)

    def write_styled(self, text: str) -> int:
        """Write what Rich made, whose texts were looked at already and whose styles are control characters."""
        return super().write(text)


class Styled:
    """A :class:`PrintableStream` as Rich is to have it."""

    def __init__(self, stream: PrintableStream):
        self._stream = stream
        self.write = stream.write_styled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def terminal_width(stream: Any) -> int | None:
    """The columns of the terminal that a stream goes to; None for a pipe or a file, where no line is broken."""
    if not getattr(stream, "isatty", lambda: False)():
        return None
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and len(asked) < 5 and int(asked) > 0:  # what nobody's terminal has says nothing
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return 80


def tell(text: str) -> None:
    """Print on stderr, at once and above any bar; on a terminal long lines are broken between words."""
    print(_on(sys.stderr, text), file=sys.stderr, flush=True)


def say(text: str = "") -> None:
    """Print a result on stdout; on a terminal long lines are broken between words."""
    print(_on(sys.stdout, text))


def _on(stream: Any, text: str) -> str:
    width = terminal_width(stream)
    return text if width is None else broken(text, width)


def cells(text: str) -> int:
    """The columns that a text takes: two for a Chinese character, none for an accent that stands on another."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def broken(text: str, width: int | None) -> str:
    """Break every line that is too long; a word that is longer than the width, such as a path, stays whole.

    Args:
        text: one or more lines.
        width: of the terminal in columns; None for no limit.

    Example:
        >>> print(broken("time        12 s training; 39,786 parameters", 40))
        time        12 s training; 39,786
                    parameters
    """
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        pieces = pieces_of(line, width)
        lines += [" " * indent + line[start:end] for start, end, indent in pieces]
    return "\n".join(lines)


def pieces_of(line: str, width: int) -> Iterator[tuple[int, int, int]]:
    """Begin and end of what stands on each line, and by how many columns it is set in.

    Args:
        line: without a line break.
        width: columns.
    """
    is_command = line.lstrip().startswith("fittingroom ")  # which is copied, line breaks and all
    if cells(line) <= width or is_command:
        yield 0, len(line), 0
        return
    hanging = _hanging(line, width)
    start = indent = 0
    end = len(line) - len(line.lstrip())  # what a line opens with is no place to break it
    for gap in [*re.compile(r"\s+").finditer(line, end), None]:
        stop = len(line) if gap is None else gap.start()
        if indent + cells(line[start:stop]) > width and end > start and line[start:end].strip():
            yield start, end, indent
            start, indent = end + len(line[end:]) - len(line[end:].lstrip()), hanging
        end = stop
    yield start, len(line.rstrip()) if start < len(line.rstrip()) else start, indent


def _hanging(line: str, width: int) -> int:
    """Below the text that follows a label, if there is room; else a little in from where the line itself begins."""
    label = re.match(_LABEL, line)
    if label and cells(label[0]) <= WIDEST_LABEL and width - cells(label[0]) >= LEAST_TEXT:
        return cells(label[0])
    return min(len(line) - len(line.lstrip()) + HANGING, width // 2)


def console(*, stderr: bool) -> Console:
    """A console for results, or on stderr for messages and bars, that colours and breaks nothing by itself.

    What goes to people, on a terminal or as a message, has its control characters spelled out.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class BreakingConsole(Console):
        """Breaks long lines as :func:`broken` does, so that a path stays whole; below a bar Rich has to do it."""

        def print(self, *objects: Any, **how: Any) -> None:
            if len(objects) == 1 and isinstance(objects[0], str | Text) and self.width < UNLIMITED:
                objects = (_broken_text(objects[0], self.width),)
            if not self._render_hooks:
                how.setdefault("soft_wrap", True)
            super().print(*objects, **how)

    class PrintableConsole(BreakingConsole):
        """Spells the control characters of texts out, where those that Rich itself makes come apart from them."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                is_text = not segment.control and segment.text not in ("", "\n")
                yield Segment(printable(segment.text), segment.style) if is_text else segment

    stream: Any = sys.stderr if stderr else sys.stdout
    width = terminal_width(stream) or UNLIMITED
    if not (stderr or stream.isatty()):
        return BreakingConsole(width=width, highlight=False, markup=False, emoji=False)
    file = cast("IO[str]", Styled(stream)) if isinstance(stream, PrintableStream) else None
    return PrintableConsole(file=file, stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def _broken_text(text: str | Text, width: int) -> Text:
    """The same with its styles, broken between words."""
    from rich.text import Text

    whole = Text(text) if isinstance(text, str) else text
    lines = []
    for line in whole.split("\n", allow_blank=True):
        for start, end, indent in pieces_of(line.plain, width):
            lines.append(Text.assemble(" " * indent, line[start:end]))
    return Text("\n").join(lines)


def is_terminal(stream: Any) -> bool:
    """Whether a stream is one; not where there is none, as below a window, or it is closed or a stand-in."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows what is displayed as HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
