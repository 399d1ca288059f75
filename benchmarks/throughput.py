"""How many images a second does an epoch take of the tutorial's network, in the notebook, in its peers and in ours?

One epoch over Fashion-MNIST's 60,000 training images, batch 256, Adam, the data in memory, each program at its usual
settings (programs.py), in a process of its own, in turns: each round runs all of them, starting with another one. Only
the epoch is timed, not the start. Ours runs in float32, and in the precision that `auto` finds faster here.

    benchmarks/.venv/bin/python benchmarks/throughput.py [--rounds 5] [--programs NAME ...] [--quick]

A round takes about 2 minutes on two cores. --quick tries the script on the sample and records nothing.

Last result: none yet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

import record
from process import script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", nargs="+", metavar="NAME", help="default: all of programs.py")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_one(args.one, quick=args.quick)))
        return
    figures = compare(args.programs or _names(), args.rounds, quick=args.quick)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def compare(programs: list[str], rounds: int, *, quick: bool) -> list[record.Figure]:
    """Run the programs in turns and condense what they took."""
    quickly = ["--quick"] if quick else []
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for round_ in range(rounds):
        first = round_ % len(programs)
        for name in programs[first:] + programs[:first]:
            _, epoch = script("throughput.py", "--one", name, *quickly)
            taken[name].append(epoch)
            print(f"round {round_ + 1}: {name} {epoch['seconds']:.2f} s", file=sys.stderr, flush=True)
    figures = []
    for name, epochs in taken.items():
        metrics = ("seconds", "cpu_seconds", "images_per_second")
        figures += [record.figure(name, metric, [epoch[metric] for epoch in epochs]) for metric in metrics]
    for ours in (name for name in programs if name.startswith("fittingroom")):
        for other in (name for name in programs if name != ours):
            pair = [[epoch["seconds"] for epoch in taken[name]] for name in (other, ours)]
            figures.append(record.ratios(ours, f"times as fast as {other}", *pair))
    return figures


def _names() -> list[str]:
    from programs import PROGRAMS

    return list(PROGRAMS)


def _one(name: str, *, quick: bool) -> dict[str, float]:
    """One epoch of one program in this process."""
    import official
    from programs import PROGRAMS, EpochClock

    data, clock = official.splits(quick=quick), EpochClock()
    assert data.test is not None
    with contextlib.redirect_stdout(sys.stderr):  # bars and tables of the peers
        PROGRAMS[name](data.train, data.test, 1, clock)
    (seconds,), (cpu_seconds,) = clock.seconds, clock.cpu_seconds
    images_per_second = len(data.train) / seconds
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "images_per_second": images_per_second}


if __name__ == "__main__":
    main()
