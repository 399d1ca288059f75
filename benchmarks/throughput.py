"""How many images a second does an epoch take of the tutorial's network, in the notebook, in its peers and in ours?

One epoch over Fashion-MNIST's 60,000 training images, batch 256, Adam, the data in memory, each program at its usual
settings (programs.py), in a process of its own, in turns: each round runs all of them, starting with another one. Only
the epoch is timed, not the start. Ours runs in float32, and in the precision that `auto` takes here.

    benchmarks/.venv/bin/python benchmarks/throughput.py [--rounds 5] [--programs NAME ...] [--same] [--quick]

--same runs the peers with our precision, memory layout and allocator, beside ours: what they are slower by then is the
loop. It needs a processor on which `auto` is bf16. A round takes about 2 minutes on two cores.
--quick tries the script on the sample and records nothing.

Last result:
  2026-11-23, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit c9c138475f0e
    notebook, seconds: median 11.36, mean 11.36 ± 1.370, n 2
    notebook, cpu_seconds: median 22.41, mean 22.41 ± 2.611, n 2
    notebook, images_per_second: median 5,320, mean 5,320 ± 641.7, n 2
    Lightning, seconds: median 10.33, mean 10.33 ± 0.07207, n 2
    Lightning, cpu_seconds: median 20.40, mean 20.40 ± 0.1015, n 2
    Lightning, images_per_second: median 5,807, mean 5,807 ± 40.51, n 2
    skorch, seconds: median 9.839, mean 9.839 ± 0.3532, n 2
    skorch, cpu_seconds: median 19.47, mean 19.47 ± 0.6432, n 2
    skorch, images_per_second: median 6,102, mean 6,102 ± 219.1, n 2
    fastai, seconds: median 10.52, mean 10.52 ± 0.02844, n 2
    fastai, cpu_seconds: median 20.80, mean 20.80 ± 0.08131, n 2
    fastai, images_per_second: median 5,702, mean 5,702 ± 15.41, n 2
    Keras on torch, seconds: median 17.25, mean 17.25 ± 0.8696, n 2
    Keras on torch, cpu_seconds: median 34.11, mean 34.11 ± 1.671, n 2
    Keras on torch, images_per_second: median 3,483, mean 3,483 ± 175.6, n 2
    fittingroom float32, seconds: median 7.607, mean 7.607 ± 0.1005, n 2
    fittingroom float32, cpu_seconds: median 15.03, mean 15.03 ± 0.2844, n 2
    fittingroom float32, images_per_second: median 7,888, mean 7,888 ± 104.2, n 2
    fittingroom float32, times as fast as notebook: median 1.495, mean 1.495 ± 0.1999, n 2
    fittingroom float32, times as fast as Lightning: median 1.358, mean 1.358 ± 0.02742, n 2
    fittingroom float32, times as fast as skorch: median 1.293, mean 1.293 ± 0.02935, n 2
    fittingroom float32, times as fast as fastai: median 1.383, mean 1.383 ± 0.01453, n 2
    fittingroom float32, times as fast as Keras on torch: median 2.268, mean 2.268 ± 0.1443, n 2
    fittingroom float32, times as fast as fittingroom auto: median 0.6524, mean 0.6524 ± 0.01215, n 2
    fittingroom auto, times as fast as notebook: median 2.289, mean 2.289 ± 0.2637, n 2
    fittingroom auto, times as fast as Lightning: median 2.082, mean 2.082 ± 0.003231, n 2
    fittingroom auto, times as fast as skorch: median 1.983, mean 1.983 ± 0.08193, n 2
    fittingroom auto, times as fast as fastai: median 2.121, mean 2.121 ± 0.01724, n 2
    fittingroom auto, times as fast as Keras on torch: median 3.476, mean 3.476 ± 0.1564, n 2
    fittingroom auto, times as fast as fittingroom float32: median 1.533, mean 1.533 ± 0.02856, n 2
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 70821de44a47
    fittingroom auto, seconds: median 4.797, mean 4.788 ± 0.08381, n 4
    fittingroom auto, cpu_seconds: median 9.240, mean 9.227 ± 0.1496, n 4
    fittingroom auto, images_per_second: median 12,510, mean 12,535 ± 220.0, n 4
    Lightning, same settings, seconds: median 5.042, mean 5.035 ± 0.1338, n 4
    Lightning, same settings, cpu_seconds: median 9.842, mean 9.834 ± 0.2521, n 4
    Lightning, same settings, images_per_second: median 11,900, mean 11,923 ± 318.3, n 4
    skorch, same settings, seconds: median 4.835, mean 4.856 ± 0.1332, n 4
    skorch, same settings, cpu_seconds: median 9.313, mean 9.353 ± 0.2373, n 4
    skorch, same settings, images_per_second: median 12,411, mean 12,362 ± 335.7, n 4
    fastai, same settings, seconds: median 5.082, mean 5.120 ± 0.08997, n 4
    fastai, same settings, cpu_seconds: median 9.793, mean 9.855 ± 0.1783, n 4
    fastai, same settings, images_per_second: median 11,807, mean 11,721 ± 202.7, n 4
    Keras on torch, same settings, seconds: median 13.03, mean 13.00 ± 0.1502, n 4
    Keras on torch, same settings, cpu_seconds: median 25.43, mean 25.41 ± 0.1970, n 4
    Keras on torch, same settings, images_per_second: median 4,603, mean 4,617 ± 53.76, n 4
    fittingroom auto, times as fast as Lightning, same settings: median 1.052, mean 1.052 ± 0.01954, n 4
    fittingroom auto, times as fast as skorch, same settings: median 1.006, mean 1.014 ± 0.03240, n 4
    fittingroom auto, times as fast as fastai, same settings: median 1.066, mean 1.070 ± 0.02982, n 4
    fittingroom auto, times as fast as Keras on torch, same settings: median 2.727, mean 2.716 ± 0.07266, n 4
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
    parser.add_argument("--programs", nargs="+", metavar="NAME", help="default: all of programs.py, but for --same")
    parser.add_argument("--same", action="store_true", help="the peers with our settings, beside `fittingroom auto`")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_one(args.one, quick=args.quick)))
        return
    figures = compare(args.programs or _names(same=args.same), args.rounds, quick=args.quick)
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


def _names(*, same: bool) -> list[str]:
    from programs import PROGRAMS, SAME

    return [*SAME, "fittingroom auto"] if same else list(PROGRAMS)


def _one(name: str, *, quick: bool) -> dict[str, float]:
    """One epoch of one program in this process."""
    import official
    from programs import PROGRAMS, SAME, EpochClock

    data, clock = official.splits(quick=quick), EpochClock()
    assert data.test is not None
    with contextlib.redirect_stdout(sys.stderr):  # bars and tables of the peers
        (PROGRAMS | SAME)[name](data.train, data.test, 1, clock)
    (seconds,), (cpu_seconds,) = clock.seconds, clock.cpu_seconds
    images_per_second = len(data.train) / seconds
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "images_per_second": images_per_second}


if __name__ == "__main__":
    main()
