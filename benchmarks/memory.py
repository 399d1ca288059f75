"""How much memory does `fittingroom train` take on Fashion-MNIST, beside the notebook's process?

Peak resident memory of whole processes as the system counts it, in turns: the notebook (notebook.py, one epoch: the
peak is reached by then), `fittingroom train` with the recipe swift, and with the notebook's own network and batch.

    benchmarks/.venv/bin/python benchmarks/memory.py [--rounds 3] [--quick]

About 3 minutes on two cores. --quick tries the script on the sample and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit ae6ee4b44c1d
    notebook, peak MiB: median 1,799, mean 1,799 ± 0.8250, n 3
    swift, peak MiB: median 516.4, mean 516.0 ± 3.903, n 3
    tutorial, 1 epoch, peak MiB: median 638.0, mean 623.5 ± 32.91, n 3
    swift, share of the notebook: median 0.2870, mean 0.2869 ± 0.002234, n 3
    tutorial, 1 epoch, share of the notebook: median 0.3549, mean 0.3466 ± 0.01842, n 3
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import official
import record
from process import fittingroom_train, script

TRAININGS = {
    "swift": ["--recipe", "swift"],
    "tutorial, 1 epoch": ["--recipe", "tutorial", "--set", "precision='auto'", "--epochs", "1"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    peaks: dict[str, list[float]] = {"notebook": [], **{name: [] for name in TRAININGS}}
    for _ in range(args.rounds):
        process, _result = script("notebook.py", "--epochs", "1", *(["--quick"] if args.quick else []))
        peaks["notebook"].append(process.peak_mib)
        for name, options in TRAININGS.items():
            with tempfile.TemporaryDirectory() as folder:
                quickly = official.QUICK if args.quick else ()
                process = fittingroom_train(
                    official.name(quick=args.quick), *options, *quickly, out=Path(folder) / "run"
                )
            peaks[name].append(process.peak_mib)
    figures = [record.figure(name, "peak MiB", values) for name, values in peaks.items()]
    figures += [record.ratios(name, "share of the notebook", peaks[name], peaks["notebook"]) for name in TRAININGS]
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


if __name__ == "__main__":
    main()
