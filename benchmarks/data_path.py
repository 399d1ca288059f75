"""How long does it take to read the data and to judge 10,000 images, beside the notebook?

- Kaggle's two CSV files: `open_dataset` without the cache; with an empty cache, which it fills; and from the cache;
  beside pandas to float64 arrays, as the notebook reads them.
- The official IDX .gz files: without the cache, and with an empty one.
- Judging the test images with the tutorial's network: `predict_dataset` beside the notebook's evaluation loop.

Each group in turns in one process, the files in the system's page cache.

    benchmarks/.venv/bin/python benchmarks/data_path.py [--rounds 7] [--quick]

About 2 minutes on two cores. --quick tries the script on the sample and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit ae6ee4b44c1d
    notebook: CSV, seconds: median 1.817, mean 1.666 ± 0.2993, n 7
    CSV, no cache, seconds: median 0.5257, mean 0.5260 ± 0.02682, n 7
    CSV, empty cache, seconds: median 0.6317, mean 0.6321 ± 0.01117, n 7
    CSV, from the cache, seconds: median 0.005248, mean 0.006602 ± 0.002592, n 7
    IDX .gz, no cache, seconds: median 0.1768, mean 0.1766 ± 0.006288, n 7
    IDX .gz, empty cache, seconds: median 0.3194, mean 0.3243 ± 0.01313, n 7
    CSV, no cache, times as fast as the notebook: median 3.557, mean 3.180 ± 0.6173, n 7
    CSV, empty cache, times as fast as the notebook: median 2.866, mean 2.632 ± 0.4455, n 7
    CSV, from the cache, times as fast as the notebook: median 277.7, mean 280.9 ± 104.4, n 7
    notebook: judging, images_per_second: median 13,481, mean 13,319 ± 549.6, n 7
    judging, images_per_second: median 29,317, mean 29,195 ± 1,304, n 7
    judging, times as fast as the notebook: median 2.210, mean 2.193 ± 0.08765, n 7
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import notebook
import official
import record

from fittingroom.bench import Notebook, NotebookData
from fittingroom.data.fetch.known_sets import locate
from fittingroom.data.normalization import Normalization
from fittingroom.data.open import open_dataset
from fittingroom.models import build_model, find_model
from fittingroom.training.inference import predict_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    figures = reading(args.rounds, quick=args.quick) + judging(args.rounds, quick=args.quick)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def reading(rounds: int, *, quick: bool) -> list[record.Figure]:
    """Seconds to read, and how many times as fast as the notebook."""
    csv = official.csv_folder(quick=quick)
    idx = locate(official.name(quick=quick))
    filled = tempfile.TemporaryDirectory()
    _read(csv, Path(filled.name))
    with filled:
        seconds = in_turns(
            rounds,
            {
                "notebook: CSV": lambda: [notebook.read_csv(csv / "train.csv"), notebook.read_csv(csv / "test.csv")],
                "CSV, no cache": partial(open_dataset, csv, cache=False),
                "CSV, empty cache": partial(_read_into_empty_cache, csv),
                "CSV, from the cache": partial(_read, csv, Path(filled.name)),
                "IDX .gz, no cache": partial(open_dataset, idx, cache=False),
                "IDX .gz, empty cache": partial(_read_into_empty_cache, idx),
            },
        )
    figures = [record.figure(name, "seconds", values) for name, values in seconds.items()]
    by_notebook = partial(record.ratios, metric="times as fast as the notebook", above=seconds["notebook: CSV"])
    ours = ("CSV, no cache", "CSV, empty cache", "CSV, from the cache")
    return figures + [by_notebook(name, below=seconds[name]) for name in ours]


def judging(rounds: int, *, quick: bool) -> list[record.Figure]:
    """Images judged a second, and how many times as fast as the notebook."""
    test = official.splits(quick=quick).test
    assert test is not None
    assert test.labels is not None
    program = Notebook()
    loader = NotebookData(test.images, test.labels).loader(shuffle=False)
    network = build_model(find_model("tutorial"), num_classes=10, image_size=(28, 28))
    ours = partial(predict_dataset, network, test, Normalization(0.0, 1.0))
    seconds = in_turns(rounds, {"notebook: judging": partial(program.evaluate, loader), "judging": ours})
    figures = [
        record.figure(name, "images_per_second", [len(test) / value for value in values])
        for name, values in seconds.items()
    ]
    ratio = record.ratios("judging", "times as fast as the notebook", *seconds.values())
    return [*figures, ratio]


def in_turns(rounds: int, programs: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of each program in each round, after one round that isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(1 + rounds):
        for name, program in programs.items():
            gc.collect()
            start = time.perf_counter()
            result = program()
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
            del result
    return seconds


def _read(path: Path, cache: Path) -> Any:
    os.environ["FITTINGROOM_CACHE"] = str(cache)
    return open_dataset(path)


def _read_into_empty_cache(path: Path) -> Any:
    with tempfile.TemporaryDirectory() as cache:
        return _read(path, Path(cache))


if __name__ == "__main__":
    main()
