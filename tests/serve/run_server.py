"""Serve a run with limits that a test can reach. Called as a program: RUN KEY=VALUE…, see `main`."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.cli.serve import compare_in_page
from fittingroom.evaluation.predictions import Predictions
from fittingroom.serve import decoder_process, decoders, run_info
from fittingroom.serve.connection import LimitedProtocol
from fittingroom.serve.guard import Limits
from fittingroom.serve.request_log import LogForm
from fittingroom.serve.server import open_models, serve
from fittingroom.serve.service import Served

SLOW_DECODER = """
import time
from fittingroom.serve import decoder_process

answer = decoder_process._answer
decoder_process._answer = lambda asked, content: answer(asked, content) if len(content) < 50_000 else time.sleep(60)
decoder_process.main()
"""


def main(folders: list[str], options: dict[str, Any]) -> None:
    """`seconds`, `body`, `api_key`: of Limits; `head_seconds`; `most_waiting`; `allow_origins`.

    `model_seconds`: a model's slowness; `names`, `log`: of the server; `open_metrics`, `bodies`: of Limits;
    `unread_seconds`, `most_connections`: of connections; `decode_seconds`: for a picture;
    `slow_decoder`: a picture of 50,000 bytes and more takes a minute; `broken`: there is a mistake in a handler;
    `slow_mistakes`: seconds that the list of mistakes takes; `open_files`: that the system lets it have.
    """
    if files := int(options.get("open_files") or 0):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    LimitedProtocol.head_seconds = float(options.get("head_seconds") or 10)
    LimitedProtocol.unread_seconds = float(options.get("unread_seconds") or 2)
    LimitedProtocol.most = int(options.get("most_connections") or LimitedProtocol.most)
    decoder_process.SECONDS = float(options.get("decode_seconds") or decoder_process.SECONDS)
    if options.get("slow_decoder"):
        decoders.PROGRAM = SLOW_DECODER
    if options.get("broken"):
        run_info.mistakes = _fail  # type: ignore[assignment]
    if pause := float(options.get("slow_mistakes") or 0):
        run_info.mistakes = lambda *_: [time.sleep(pause)]  # type: ignore[func-returns-value]
    limits = Limits(
        seconds=float(options.get("seconds") or 30),
        body=int(options.get("body") or Limits.body),
        bodies=int(options.get("bodies") or Limits.bodies),
        api_key=str(options["api_key"]) if "api_key" in options else None,
        open_metrics=bool(options.get("open_metrics")),
    )
    models = open_models([Path(folder) for folder in folders], names=options.get("names"))
    if slowness := float(options.get("model_seconds") or 0):
        models = [_slowed(served, slowness) for served in models]
    most_waiting, origins = int(options.get("most_waiting") or 2_000), tuple(options.get("allow_origins", ()))
    log: LogForm = options.get("log", "text")
    serve(
        models,
        port=0,
        limits=limits,
        most_waiting=most_waiting,
        allow_origins=origins,
        log=log,
        compare=compare_in_page,
    )


def _fail(*_: object) -> None:
    raise RuntimeError("the inside")


def _slowed(served: Served, seconds: float) -> Served:
    answer = served.model._answer

    def slowly(images: NDArray[np.uint8]) -> Predictions:
        time.sleep(seconds)
        return answer(images)

    return replace(served, model=replace(served.model, _answer=slowly))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
