"""Open the runs, open the port, answer until a signal comes, then finish what is under way."""

from __future__ import annotations

import asyncio
import socket
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import uvicorn

from fittingroom.errors import ArtifactError, FittingRoomError
from fittingroom.predict.classifier import load
from fittingroom.runs.run import Run
from fittingroom.serve.app import create_app
from fittingroom.serve.guard import Limits
from fittingroom.serve.listening import LOOPBACK_NAMES, is_loopback, listen, uvicorn_config
from fittingroom.serve.request_log import LogForm, RequestLog, writing_failures
from fittingroom.serve.service import CompareRuns, Served

LISTEN_ON_SECONDS = 3.0  # after a signal to end, at most, for requests that are on their way
QUIET_SECONDS = 0.05  # twice of which without anything coming means that nothing is


def open_models(
    folders: Sequence[Path], *, names: Sequence[str] | None = None, trust_code: bool = False
) -> list[Served]:
    """Open each run under the name of its folder, a member of several seeds as ``run-seed-0``.

    Of several, one that can't be opened is left out, with a warning, and the others are served.

    Args:
        folders: the runs'.
        names: by which clients ask for them, in place of their folders'; as many as there are runs.
        trust_code: permits executing the models' own sources that the runs keep.

    Raises:
        ArtifactError: no run can be opened, two have one name, or a name is none.
    """
    for name in names or ():
        if not name.strip(".") or not all(char.isalnum() or char in "-_." for char in name):
            raise ArtifactError(f"`name`: letters, digits, '-', '_' and '.' expected, {name[:100]!r} found")
    if names is not None and len(names) != len(folders):
        raise ArtifactError(f"`name`: one for each run, {len(folders)}, expected, {len(names)} found")

    named: dict[str, Path] = {}
    for folder, name in zip(folders, names or map(_name_of, folders), strict=True):
        if name in named:
            raise ArtifactError(f"{folder}: runs with names of their own expected, {name} was given before")
        named[name] = folder

    models, problems = [], []
    for name, folder in named.items():
        try:
            model = load(folder, trust_code=trust_code)
            noise = np.random.default_rng(0).integers(0, 256, (1, *model.image_shape), np.uint8)
            model.classify(noise)  # one that can't answer is told of now; to one tone a sound one may have no answer
            models.append(Served(name, Run(folder), model))
        except (FittingRoomError, OSError) as error:
            problems.append(str(error))
    if not models:
        raise ArtifactError("\n".join(problems))
    for problem in problems:
        warnings.warn(f"{problem}; it is not served, the others are", stacklevel=2)
    return models


def _name_of(folder: Path) -> str:
    """The name of a run's folder. Raises ArtifactError for one that no address can hold."""
    path = folder.resolve()
    name = f"{path.parent.name}-{path.name}" if path.name.startswith("seed-") else path.name
    if not name.isprintable():
        raise ArtifactError(f"{name!r}: a folder's name in printable signs expected; `name` gives it another")
    return name


def serve(
    models: list[Served],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    most_waiting: int = 2_000,
    allow_origins: tuple[str, ...] = (),
    no_key: bool = False,
    log: LogForm = "text",
    log_to: TextIO | None = None,
    compare: CompareRuns | None = None,
) -> None:
    """Answer until SIGTERM or SIGINT, then let what is under way end, 20 seconds at most.

    Args:
        models: see :func:`open_models`.
        host: an address of this machine; beyond loopback only with a key, or where ``no_key`` says so.
        port: 0 for any free one.
        limits: on requests, and the key that a client has to give.
        most_waiting: images in each model's queue.
        allow_origins: other sites whose pages may call this one.
        no_key: let everybody ask who reaches ``host``.
        log: a line for each request and failure, as ``text`` or ``json``; ``off`` for failures of the server alone.
        log_to: where; standard error, where nothing is given.
        compare: makes the page that compares two runs; None for a server that compares none.

    Raises:
        FittingRoomError: the port is taken, or is none; or others would reach the server without a key.
    """
    limits = limits or Limits()
    if not is_loopback(host) and limits.api_key is None and not no_key:
        raise FittingRoomError(
            f"`host`: whoever reaches {host} could use this server: a key in $FITTINGROOM_API_KEY or in the file of "
            "`api_key_file` expected, none found; `no_key=True` lets everybody in"
        )
    listening = listen(host, port)

    # On loopback the danger is a page in the user's own browser whose name was pointed here: only this machine's names
    # are answered. Beyond it, that anybody reaches the server.
    if is_loopback(host):
        limits = replace(limits, hosts=tuple(dict.fromkeys((*LOOPBACK_NAMES, host))))

    with RequestLog(log, log_to) as lines, writing_failures(lines):
        app = create_app(
            models,
            limits=limits,
            most_waiting=most_waiting,
            allow_origins=allow_origins,
            observe=lines.request,
            compare=compare,
        )
        _Server(uvicorn_config(app), [served.name for served in models]).run([listening])


class _Server(uvicorn.Server):
    """uvicorn's, which prints its address once it answers there: with port 0 nobody knows it before.

    At its end it first reads what was sent before the signal came; uvicorn would close connections that it hasn't read.
    """

    def __init__(self, config: uvicorn.Config, names: list[str]):
        super().__init__(config)
        self.names = names

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            address, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{address}]" if ":" in address else address
            print(f"serving {', '.join(self.names)} at http://{shown}:{port}/   (Ctrl-C stops)", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.server_state
        state.is_ending = True  # type: ignore[attr-defined]  # so that connections are not kept
        until = time.monotonic() + LISTEN_ON_SECONDS
        quiet, came = 0, getattr(state, "came", 0)
        while quiet < 2 and time.monotonic() < until:
            await asyncio.sleep(QUIET_SECONDS)
            quiet, came = (quiet + 1 if came == getattr(state, "came", 0) else 0), getattr(state, "came", 0)
        await super().shutdown(sockets)
