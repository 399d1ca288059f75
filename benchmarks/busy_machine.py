"""How much longer does a training take beside other programs, on all threads and on one?

    .venv/bin/python benchmarks/busy_machine.py [--turns 3] [--record]

Each turn trains swift on Fashion-MNIST, whole process, with each number of threads beside each kind of other work, the
quiet machine included, in an order that changes. Have nothing else running.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import record
from process import fittingroom_train

LOOP = [sys.executable, "-c", "while True: pass"]
BESIDE = {"nothing": (0, 0), "a niced loop": (1, 10), "a loop": (1, 0), "two loops": (2, 0)}  # how many, how nice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="append to results.csv")
    args = parser.parse_args()

    threads = sorted({1, len(os.sched_getaffinity(0))})
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            cases = list(product(BESIDE, threads))
            random.Random(turn).shuffle(cases)
            for beside, count in cases:
                with loops(*BESIDE[beside]):
                    out = Path(folder) / f"{beside}-{count}-{turn}"
                    process = fittingroom_train(
                        "fashion-mnist", "--recipe", "swift", "--threads", str(count), "--no-test", out=out
                    )
                seconds[beside, count].append(process.seconds)
                print(f"turn {turn + 1}: {count} threads beside {beside}: {process.seconds:.1f} s", flush=True)

    figures = []
    for (beside, count), values in sorted(seconds.items()):
        name = f"swift, {count} threads, beside {beside}"
        quiet = seconds["nothing", max(threads)]
        figures += [record.figure(name, "seconds", values), record.ratios(name, "times as long", values, quiet)]
    record.show(figures)
    if args.record:
        record.append(__file__, figures)


@contextmanager
def loops(count: int, niceness: int) -> Iterator[None]:
    """So many programs that do nothing but compute, at a lower priority by ``niceness``."""
    programs = [subprocess.Popen(["nice", "-n", str(niceness), *LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


if __name__ == "__main__":
    main()
