"""Has a change made reading slower? Two source trees in turns, each in a process that stays, by wall seconds.

    git worktree add /tmp/before COMMIT
    .venv/bin/python benchmarks/before_after_reading.py /tmp/before/src src [--turns 200] [--fresh-turns 10] [--quick]

What is read are Kaggle's two CSV files and the official IDX .gz files: from the cache, where most of the time goes into
looking whether the entry still holds, and without it. Each tree has a cache of its own, and the files are in the
system's page cache. The ratio is the geometric mean over the turns, with Student's 95 % interval. A reading from the
cache takes milliseconds: have nothing else running. About three minutes on two cores. --quick records nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import official
import record
from before_after import report

from fittingroom.data.fetch.known_sets import locate

READER = """
import gc, json, sys, time
from fittingroom import open_dataset

for line in sys.stdin:
    path, cache = json.loads(line)
    gc.collect()
    start = time.perf_counter()
    data = open_dataset(path, cache=cache)
    seconds = time.perf_counter() - start
    assert len(data.train) > 0
    del data
    print(seconds, flush=True)
"""


class Reader:
    """A process of one tree that reads what it is told to.

    Args:
        tree: its ``src`` folder.
        cache: its own.
    """

    def __init__(self, tree: Path, cache: Path):
        kept = {"PYTHONPATH": str(tree.resolve()), "FITTINGROOM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | kept,
            text=True,
        )

    def seconds(self, path: Path, *, cache: bool) -> float:
        """That one reading takes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f'["{path}", {str(cache).lower()}]\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """Let the process end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs=2, type=Path, metavar="SRC", help="the src folder before, and after")
    parser.add_argument("--turns", type=int, default=200, help="of each reading from the cache")
    parser.add_argument("--fresh-turns", type=int, default=10, help="of each reading without the cache; 0 for none")
    parser.add_argument("--quick", action="store_true", help="three turns, on the sample, recorded nowhere")
    args = parser.parse_args()
    turns, fresh_turns = (3, 2) if args.quick else (args.turns, args.fresh_turns)

    sets = {"CSV": official.csv_folder(quick=args.quick), "IDX .gz": locate(official.name(quick=args.quick))}
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        readers = [Reader(tree, Path(folder, when)) for tree, when in zip(args.trees, ("before", "after"), strict=True)]
        for name, path in sets.items():
            for how, count in (("from the cache", turns), ("no cache", fresh_turns)):
                if count:
                    seconds = measure(readers, path, count, cache=how == "from the cache")
                    figures += report(f"{name}, {how}", seconds, "seconds")
        for reader in readers:
            reader.end()
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def measure(readers: list[Reader], path: Path, turns: int, *, cache: bool) -> list[list[float]]:
    """Seconds of each reading, a list for each tree. The first two of each fill what there is and don't count."""
    seconds: list[list[float]] = [[], []]
    for turn in range(turns + 2):
        for number in (0, 1) if turn % 2 else (1, 0):
            taken = readers[number].seconds(path, cache=cache)
            if turn > 1:
                seconds[number].append(taken)
    return seconds


if __name__ == "__main__":
    main()
