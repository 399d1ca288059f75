"""The page's process: it answers until Ctrl-C or, beside a training, until that has ended. No PyTorch is loaded."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

import uvicorn

from fittingroom.serve.listening import listen, uvicorn_config
from fittingroom.watch.address import address_of, new_token
from fittingroom.watch.app import Page, create_app
from fittingroom.watch.state import WatchedRun

NICENESS = 10  # the training comes first
LAST_SECONDS = 10.0  # after the training's end, at most, for a page that is open to become the report
QUIET_SECONDS = 1.5  # without a question by then, no page is open


def watch(folder: Path, *, port: int = 0) -> None:
    """Show a run until Ctrl-C, whether it is being trained or not; the address is printed.

    Args:
        folder: the run's.
        port: of 127.0.0.1; 0 for any free one.

    Raises:
        ArtifactError: it is no run's folder.
        FittingRoomError: the port is taken, or is none.
    """
    run = WatchedRun(folder)
    listening = listen("127.0.0.1", port)
    token = new_token()
    print(f"watching {folder} at {address_of(listening.getsockname()[1], token)}   (Ctrl-C stops)", flush=True)
    with suppress(KeyboardInterrupt):
        _serve(run, token, listening, with_training=False)


def main() -> None:
    """Beside a training: what to show is the first line of standard input, and its end is that of the training."""
    asked = json.loads(sys.stdin.readline())
    with suppress(OSError, AttributeError):  # Windows has no niceness
        os.nice(NICENESS)
    if asked["descriptor"] is None:
        listening = listen("127.0.0.1", asked["port"])
    else:
        listening = socket.socket(fileno=asked["descriptor"])
    _serve(WatchedRun(Path(asked["folder"])), asked["token"], listening, with_training=True)


def _serve(run: WatchedRun, token: str, listening: socket.socket, *, with_training: bool) -> None:
    page = Page(run, token)
    _Server(uvicorn_config(create_app(page)), page, with_training=with_training).run([listening])


class _Server(uvicorn.Server):
    """uvicorn's, which ends with the training beside which it was started."""

    def __init__(self, config: uvicorn.Config, page: Page, *, with_training: bool):
        super().__init__(config)
        self.page, self.with_training = page, with_training

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.with_training:
            self.ending = asyncio.create_task(self._end_with_training())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.page.ending.set()  # nobody goes on waiting for news
        await super().shutdown(sockets)

    async def _end_with_training(self) -> None:
        """Wait for the training's end; then give a page that is open the time to show how it ended."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def wait() -> None:
            sys.stdin.read()  # nothing more comes: it ends with the process that holds the other end
            with suppress(RuntimeError):  # Ctrl-C was faster
                loop.call_soon_threadsafe(over.set)

        threading.Thread(target=wait, daemon=True).start()
        await over.wait()

        # Nobody looks: it ends at once. Somebody does: until the report was fetched, or no question comes any more.
        page, until = self.page, loop.time() + LAST_SECONDS
        is_open = page.waiting > 0 or (page.asked_at is not None and loop.time() - page.asked_at < QUIET_SECONDS)
        page.ending.set()
        while is_open and not page.report_given and loop.time() < until:
            await asyncio.sleep(0.1)
            is_open = page.waiting > 0 or loop.time() - (page.asked_at or 0) < QUIET_SECONDS

        self.should_exit = True
