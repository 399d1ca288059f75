"""A training in a terminal: shown, and stopped by a signal with its state saved."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.events import Hooks


SIGXCPU: int = getattr(signal, "SIGXCPU", 0)  # not of Windows


@contextmanager
def observing(*, quiet: bool) -> Iterator[Hooks]:
    """Show a training on the screen, and stop it with its state saved on Ctrl-C or SIGTERM; a second one ends at once.

    A terminal that is closed stops it as they do, by SIGHUP, unless ``nohup`` has that ignored, and a processor's time
    that is nearly used up (``ulimit -S -t``, or a batch system) by SIGXCPU, which comes again each second.

    Args:
        quiet: show nothing; it can be stopped all the same.
    """
    from fittingroom.events import Hooks
    from fittingroom.rendering.progress import showing

    signals: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        if signals and number != SIGXCPU:
            raise KeyboardInterrupt
        signals.append(number)
        if len(signals) > 1:
            return

        # Not print: the signal may come while the bar or a line is being printed, which then raises.
        with suppress(OSError):  # of a terminal that is closed
            os.write(sys.stderr.fileno(), "\nstopping after this step …\n".encode())

    # Put back at the end: whoever calls this from Python has handlers of their own.
    heard = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        heard.append(signal.SIGHUP)
    if SIGXCPU and signal.getsignal(SIGXCPU) is signal.SIG_DFL:
        heard.append(signal.Signals(SIGXCPU))
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        with showing(quiet=quiet) as observe:
            yield Hooks(observe=observe, should_stop=lambda: bool(signals))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
