"""How much longer does the first training take than the next one? From cold caches and from warm ones, in turns.

    .venv/bin/python benchmarks/first_run.py [DATA] [--turns 5] [--record]

Cold is as `make run` finds it right after set-up: nothing in the package's cache, and none of its modules compiled.
Prints the whole process's seconds of both and their ratio, pair by pair. Have nothing else running.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import record
from process import fittingroom_train

SOURCE = Path(__file__).resolve().parent.parent / "src"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="fashion-mnist")
    parser.add_argument("--turns", type=int, default=5)
    record.add_options(parser)
    args = parser.parse_args()

    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(args.turns):
            cache = Path(name) / f"cache-{turn}"
            for compiled in list(SOURCE.rglob("__pycache__")):
                shutil.rmtree(compiled)
            for state in seconds:
                out = Path(name) / f"{state}-{turn}"
                process = fittingroom_train(args.data, out=out, FITTINGROOM_CACHE=str(cache))
                seconds[state].append(process.seconds)
                print(f"turn {turn + 1}: {state} {process.seconds:.2f} s", flush=True)

    figures = [record.figure(f"first run, {state}", "seconds", taken) for state, taken in seconds.items()]
    figures.append(record.ratios("first run", "cold / warm", seconds["cold"], seconds["warm"]))
    record.show(figures)
    record.keep(__file__, figures, args)


if __name__ == "__main__":
    main()
