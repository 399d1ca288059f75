"""Ctrl-C, and a notebook's Interrupt, end a training with its state saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fittingroom.errors import Interrupted
from fittingroom.events import Hooks


@contextmanager
def saved_when_interrupted(name: str, hooks: Hooks) -> Iterator[Hooks]:
    """Hooks by which a first SIGINT ends the training after its step, so that a checkpoint is there; a second at once.

    Only where SIGINT would raise KeyboardInterrupt: whoever has a handler of their own, as the command has, or trains
    in another thread, keeps what they have.

    Args:
        name: of what is trained, for the message.
        hooks: that follow the training.

    Raises:
        KeyboardInterrupt: it was asked to stop.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield hooks
        return

    asked: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield replace(hooks, should_stop=lambda: bool(asked) or hooks.should_stop())
    except Interrupted as stop:
        if not asked:
            raise
        raise KeyboardInterrupt(f"{name}: {stop}; the state is saved, `resume` goes on with it") from None
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:  # in the last step, after which there is none to stop
        raise KeyboardInterrupt(f"{name}: its training had just ended; `resume` does the rest")
