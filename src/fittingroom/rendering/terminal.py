"""The consoles that things are printed on; Rich is imported only when one is made."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 10_000  # columns: in a pipe or a file no line is broken

# What a terminal takes for a command, or writes in another order than it stands. Compiled only when something is
# written: every command imports this, for its messages.
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


def tell(text: str) -> None:
    """Print on stderr, at once and above any bar."""
    print(text, file=sys.stderr, flush=True)


def console(*, stderr: bool) -> Console:
    """A console for results, or on stderr for messages and bars, that colours and breaks nothing by itself.

    What goes to people, on a terminal or as a message, has its control characters spelled out.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PrintableConsole(Console):
        """Spells the control characters of texts out, where those that Rich itself makes come apart from them."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                is_text = not segment.control and segment.text not in ("", "\n")
                yield Segment(printable(segment.text), segment.style) if is_text else segment

    stream: Any = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    if not (stderr or stream.isatty()):
        return Console(width=width, highlight=False, markup=False, emoji=False)
    file = cast("IO[str]", Styled(stream)) if isinstance(stream, PrintableStream) else None
    return PrintableConsole(file=file, stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows what is displayed as HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
