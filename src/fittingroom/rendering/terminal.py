"""The consoles that things are printed on; Rich is imported only when one is made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 10_000  # columns: in a pipe or a file no line is broken


def console(*, stderr: bool) -> Console:
    """A console for results, or on stderr for messages and bars, that colours and breaks nothing by itself."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows what is displayed as HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call]
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
