"""How many images a second does a model answer in `predict`, next to PyTorch in the usual loop?

20,000 training images of Fashion-MNIST in memory, the same run, the same cores, in turns: what `fittingroom.load(RUN)`
predicts, and `network(batch).argmax(1)` under `torch.inference_mode()`, float32, in batches of 32, 256 and 1,000.

    benchmarks/.venv/bin/python benchmarks/predict.py RUN [--rounds 7] [--quick]

A round takes some seconds. --quick tries the script and records nothing.

Last result:
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit e223b225efdf
    fittingroom predict, images_per_second: median 111,101, mean 109,860 ± 4,410, n 7
    PyTorch, batches of 32, images_per_second: median 46,012, mean 37,613 ± 11,330, n 7
    PyTorch, batches of 256, images_per_second: median 66,708, mean 62,508 ± 8,973, n 7
    PyTorch, batches of 1,000, images_per_second: median 27,056, mean 25,280 ± 4,332, n 7
    fittingroom predict, times as fast as PyTorch, batches of 32: median 2.476, mean 3.170 ± 0.9736, n 7
    fittingroom predict, times as fast as PyTorch, batches of 256: median 1.665, mean 1.789 ± 0.2612, n 7
    fittingroom predict, times as fast as PyTorch, batches of 1,000: median 4.106, mean 4.471 ± 0.8775, n 7
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import official
import record
import torch
from numpy.typing import NDArray
from torch import nn

import fittingroom as fr
from fittingroom.data.normalization import Normalization

IMAGES, BATCHES = 20_000, (32, 256, 1_000)
OURS = "fittingroom predict"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    images_NHW = np.asarray(official.splits(quick=args.quick).train.images[:IMAGES])
    artifact = fr.open_run(args.run).artifact
    network = artifact.network()
    programs: dict[str, Callable[[], NDArray[np.int64]]] = {OURS: partial(fr.load(args.run).predict, images_NHW)} | {
        f"PyTorch, batches of {size:,}": partial(usual_loop, network, artifact.normalization, images_NHW, size)
        for size in BATCHES
    }
    answers = {name: program() for name, program in programs.items()}  # also warms up
    assert all((answer == answers[OURS]).mean() > 0.999 for answer in answers.values())
    speeds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(1 if args.quick else args.rounds):
        for name, program in programs.items():
            started = time.perf_counter()
            program()
            speeds[name].append(len(images_NHW) / (time.perf_counter() - started))
    figures = [record.figure(name, "images_per_second", values) for name, values in speeds.items()]
    figures += [
        record.ratios(OURS, f"times as fast as {name}", speeds[OURS], values)
        for name, values in speeds.items()
        if name != OURS
    ]
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def usual_loop(network: nn.Module, scale: Normalization, images_NHW: NDArray[np.uint8], size: int) -> NDArray[np.int64]:
    """The labels, as one finds them with PyTorch: int64 (N,)."""
    labels = []
    with torch.inference_mode():
        for start in range(0, len(images_NHW), size):
            x_NCHW = torch.tensor(images_NHW[start : start + size, None], dtype=torch.float32)
            labels.append(network((x_NCHW - scale.mean) / scale.std).argmax(dim=1))
    return torch.cat(labels).numpy()


if __name__ == "__main__":
    main()
