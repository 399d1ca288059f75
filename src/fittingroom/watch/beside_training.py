"""The page beside a training: started with it, told when it ends, and never waited for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from fittingroom.errors import FittingRoomError, how_to_install
from fittingroom.events import Hooks, WatchedAt
from fittingroom.watch.address import address_of, new_token

PROGRAM = "from fittingroom.watch.server import main; main()"
NEEDED = ("httptools", "jinja2", "starlette", "uvicorn")
END_SECONDS = 0.2  # that a process which nobody looks at may take to end


def refuse_unwatchable() -> None:
    """Raise FittingRoomError, before anything is trained, where what shows the page isn't installed."""
    missing = next((name for name in NEEDED if find_spec(name) is None), None)
    if missing is not None:
        raise FittingRoomError(f"`watch` needs {missing}, which is not installed: {how_to_install('serve')}")


@contextmanager
def watched(folder: Path, hooks: Hooks) -> Iterator[None]:
    """Have a process show the run for the length of the block, and report its address.

    It has no part in the training: it may die, and the training goes on.

    Args:
        folder: of a run that has begun.
        hooks: are told the address, as :class:`WatchedAt`.
    """
    # Listening begins here, so that the address is known at once and whoever opens it waits for the process.
    token = new_token()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        passed = () if os.name == "nt" else (listening.fileno(),)  # Windows hands on no descriptors
        if not passed:
            listening.close()

        # Ctrl-C in a terminal is for the training, whose end the process then shows. Not among its arguments, which
        # every user of the machine sees, is the token.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=passed,
            start_new_session=True,
            text=True,
        )

    assert process.stdin is not None
    asked = {"folder": str(folder.absolute()), "token": token, "port": port, "descriptor": next(iter(passed), None)}
    with suppress(OSError):  # it died already, which is said in the end
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()

    # However the block ends, the process is told: by the end of its input, which comes with this process's death too.
    hooks.observe(WatchedAt(address=address_of(port, token)))
    try:
        yield
    finally:
        _end(process, folder)


def _end(process: subprocess.Popen[str], folder: Path) -> None:
    """Tell the process that the training is over; it ends by itself once no page is open that has to be told."""
    if process.poll():
        warnings.warn(
            f"the page on {folder} was gone before the training ended (exit code {process.returncode}); "
            f"fittingroom watch {folder} opens another",
            stacklevel=2,
        )
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()


def _environment() -> dict[str, str]:
    """What this process imports from, and not the folder in which it was started; no key of a server."""
    kept = {key: value for key, value in os.environ.items() if key != "FITTINGROOM_API_KEY"}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
