"""Do time and memory of a training grow linearly with the number of images?

`fittingroom train --recipe swift --epochs 1` on Fashion-MNIST's training images 1, 2, 4 and 8 times over (the same
validation and test images), whole processes in turns, the data in the cache: seconds of the epoch and peak memory, with
the least-squares line through the medians and how far the worst of them lies from it.

    benchmarks/.venv/bin/python benchmarks/scaling.py [--rounds 3] [--recipe swift] [--quick]

About 6 minutes on two cores, and 2 GB of disk in benchmarks/data. --quick tries the script on the sample and records
nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit ae6ee4b44c1d
    swift ×1, epoch seconds: median 2.328, mean 2.272 ± 0.1394, n 3
    swift ×2, epoch seconds: median 4.350, mean 4.355 ± 0.05892, n 3
    swift ×4, epoch seconds: median 9.039, mean 9.724 ± 1.244, n 3
    swift ×8, epoch seconds: median 19.59, mean 20.10 ± 2.352, n 3
    swift line, epoch seconds, at no image: median -0.4985, mean -0.4985, n 1
    swift line, epoch seconds, per 1,000 images: median 0.04144, mean 0.04144, n 1
    swift line, epoch seconds, R² of the line: median 0.9981, mean 0.9981, n 1
    swift line, epoch seconds, worst deviation from it: median 0.1460, mean 0.1460, n 1
    swift ×1, peak MiB: median 516.5, mean 515.0 ± 4.622, n 3
    swift ×2, peak MiB: median 650.9, mean 650.5 ± 2.932, n 3
    swift ×4, peak MiB: median 829.3, mean 827.7 ± 3.426, n 3
    swift ×8, peak MiB: median 1,203, mean 1,202 ± 2.372, n 3
    swift line, peak MiB, at no image: median 440.0, mean 440.0, n 1
    swift line, peak MiB, per 1,000 images: median 1.599, mean 1.599, n 1
    swift line, peak MiB, R² of the line: median 0.9970, mean 0.9970, n 1
    swift line, peak MiB, worst deviation from it: median 0.03765, mean 0.03765, n 1
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import official
import record
from process import fittingroom_train, script

from fittingroom.data.open import open_dataset

TIMES = (1, 2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="swift")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        print(json.dumps(prepare(quick=args.quick)))
        return
    # In a process of its own: the peak of a child starts at its parent's memory.
    _, prepared = script("scaling.py", "--prepare", *(["--quick"] if args.quick else []))
    files = {int(times): file for times, (file, _) in prepared.items()}
    images = {int(times): count for times, (_, count) in prepared.items()}
    found: dict[str, dict[int, list[float]]] = {"epoch seconds": {}, "peak MiB": {}}
    for _ in range(args.rounds):
        for times, file in files.items():
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                process = fittingroom_train(
                    file, "--recipe", args.recipe, "--set", "validation=500", "--epochs", "1", out=run
                )
                seconds = json.loads((run / "result.json").read_text(encoding="utf-8"))["train_seconds"]
            found["epoch seconds"].setdefault(times, []).append(seconds)
            found["peak MiB"].setdefault(times, []).append(process.peak_mib)
    figures = []
    for metric, by_times in found.items():
        for times, values in by_times.items():
            figures.append(record.figure(f"{args.recipe} ×{times}", metric, values))
        points = [(images[times], statistics.median(values)) for times, values in by_times.items()]
        figures += line(args.recipe, metric, points)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def prepare(*, quick: bool) -> dict[int, tuple[str, int]]:
    """The file of each size and its number of images, all of them in the cache."""
    files = {times: official.times_over(times, quick=quick) for times in TIMES}
    return {times: (str(file), len(open_dataset(file).train)) for times, file in files.items()}


def line(recipe: str, metric: str, points: list[tuple[int, float]]) -> list[record.Figure]:
    """The least-squares line through (images, value): its two coefficients, R², and the worst relative deviation."""
    x, y = np.array(points, dtype=np.float64).T
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (intercept + slope * x)
    r2 = 1 - float((residuals**2).sum() / ((y - y.mean()) ** 2).sum())
    fit = {
        f"{metric}, at no image": float(intercept),
        f"{metric}, per 1,000 images": 1000 * float(slope),
        f"{metric}, R² of the line": r2,
        f"{metric}, worst deviation from it": float(np.abs(residuals / y).max()),
    }
    return [record.figure(f"{recipe} line", name, [value]) for name, value in fit.items()]


if __name__ == "__main__":
    main()
