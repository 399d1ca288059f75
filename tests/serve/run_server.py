"""Serve a run with limits that a test can reach. Called as a program: RUN KEY=VALUE…, see `main`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.predict.onnx_model import Answers
from fittingroom.serve.app import Served
from fittingroom.serve.guard import Limits
from fittingroom.serve.protocol import LimitedProtocol
from fittingroom.serve.server import open_models, serve


def main(folders: list[str], options: dict[str, float | str | None]) -> None:
    """`seconds`, `body`, `api_key`: of Limits; `head_seconds`; `most_waiting`; `model_seconds`: a model's slowness."""
    LimitedProtocol.head_seconds = float(options.get("head_seconds") or 10)
    LimitedProtocol.unread_seconds = 2
    limits = Limits(
        seconds=float(options.get("seconds") or 30),
        body=int(options.get("body") or Limits.body),
        api_key=str(options["api_key"]) if "api_key" in options else None,
    )
    models = open_models([Path(folder) for folder in folders])
    if slowness := float(options.get("model_seconds") or 0):
        models = [_slowed(served, slowness) for served in models]
    serve(models, port=0, limits=limits, most_waiting=int(options.get("most_waiting") or 2_000))


def _slowed(served: Served, seconds: float) -> Served:
    answer = served.model._answer

    def slowly(images: NDArray[np.uint8]) -> Answers:
        time.sleep(seconds)
        return answer(images)

    return replace(served, model=replace(served.model, _answer=slowly))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
