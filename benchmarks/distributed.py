"""What does it cost to train on two processes in place of one, and what would more cost? The α–β model, measured.

Gloo on the CPU, one thread a process, three ways: one process; two on this host (loopback); two in network namespaces
joined by a cable of the kernel (veth), as two hosts would be. Of the training (swift's network and batch in float32,
the training images of Fashion-MNIST): seconds of a step, seconds of it in the sum over processes, the wait for the
slower one included, and bytes that one process sends, which only the cable can tell. Of the sum alone: the least of 25
for messages of 1 to 16,777,216 numbers, with the line 2(p − 1)·(α + bytes / p / B) of a ring of p = 2 through them: α,
the seconds to start a message, and B, the bytes per second of the link. The model is tried on what it was not fitted
to: the sum within a training step.

    benchmarks/.venv/bin/python benchmarks/distributed.py [--rounds 3] [--quick]
    benchmarks/.venv/bin/python benchmarks/distributed.py --model       the table of docs/scale.md, from results.csv

About 3 minutes on two idle cores. Namespaces need root and iproute2; without them that way is left out, and said so.
--quick tries the script on the sample and records nothing.

Last result: in docs/scale.md and results.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import official
import record

WAYS = {"1 process": 1, "2 processes, loopback": 2, "2 processes, veth": 2}
NUMBERS = [4**i for i in range(13)]  # in a message; a number has 4 bytes
WARM_UP, REPEATS, STEPS = 5, 25, 60
BATCH = 320  # swift's
PORT = 29511


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", action="store_true", help="print the table from what was recorded")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(quick=args.quick)
    elif args.model:
        print_model()
    else:
        measure(args.rounds, quick=args.quick)


def measure(rounds: int, *, quick: bool) -> None:
    found: dict[str, list[dict[str, object]]] = {way: [] for way in WAYS}
    with two_hosts() as hosts:
        for _ in range(rounds):
            for way, processes in WAYS.items():
                if "veth" in way and hosts is None:
                    continue
                found[way].append(run(processes, hosts if "veth" in way else None, quick=quick))
    figures = []
    for way, results in found.items():
        if results:
            figures += figures_of(way, results)
    record.show(figures)
    if not quick:
        record.append(__file__, figures)


def run(processes: int, hosts: tuple[str, str] | None, *, quick: bool) -> dict[str, object]:
    """One group of workers to its end; what its first one says."""
    workers = []
    for rank in range(processes):
        place = {"MASTER_ADDR": "10.78.0.1" if hosts else "127.0.0.1", "MASTER_PORT": str(PORT)}
        place |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": "0" if hosts else str(rank)}
        place |= {"OMP_NUM_THREADS": "1"} | ({"GLOO_SOCKET_IFNAME": "cable"} if hosts else {})
        inside = ["ip", "netns", "exec", hosts[rank]] if hosts else []
        command = [*inside, sys.executable, __file__, "--worker", *(["--quick"] if quick else [])]
        workers.append(subprocess.Popen(command, env=os.environ | place, stdout=subprocess.PIPE, text=True))
    printed = [worker.communicate(timeout=900)[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise RuntimeError(f"{processes} processes: a worker failed")
    return dict(json.loads(printed[0].splitlines()[-1]))


def figures_of(way: str, results: Sequence[dict[str, object]]) -> list[record.Figure]:
    """The medians of each round, and the model's two coefficients where there is something to send."""
    metrics = ["step seconds", "sum seconds in a step", "least sum seconds in a step", "message bytes"]
    metrics += ["bytes sent a step"] if "veth" in way else []
    figures = [record.figure(way, metric, [result[metric] for result in results]) for metric in metrics]
    if WAYS[way] > 1:
        curves = [dict(zip(NUMBERS, result["sum seconds"], strict=True)) for result in results]
        figures += [
            record.figure(way, f"sum of {4 * numbers:,} bytes, seconds", [curve[numbers] for curve in curves])
            for numbers in NUMBERS
        ]
        lines = [fit([4 * numbers for numbers in NUMBERS], [curve[n] for n in NUMBERS]) for curve in curves]
        figures.append(record.figure(way, "α, seconds", [alpha for alpha, _ in lines]))
        figures.append(record.figure(way, "B, bytes per second", [bandwidth for _, bandwidth in lines]))
        foretold = [
            ring(2, result["message bytes"], alpha, bandwidth) / result["least sum seconds in a step"]
            for result, (alpha, bandwidth) in zip(results, lines, strict=True)
        ]
        figures.append(record.figure(way, "least sum in a step, model over measured", foretold))
    return figures


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """α and B by least squares of the relative errors, so that short messages count as much as long ones."""
    t = np.array(seconds)
    design = np.stack([np.full(len(t), 2.0), np.array(sizes, dtype=np.float64)]) / t  # for p = 2: 2 α + bytes / B
    (alpha, per_byte), *_ = np.linalg.lstsq(design.T, np.ones(len(t)), rcond=None)
    return float(alpha), float(1 / per_byte)


def ring(processes: int, size: float, alpha: float, bandwidth: float) -> float:
    """Seconds of a ring all-reduce of ``size`` bytes (Thakur, Rabenseifner and Gropp 2005, without the additions)."""
    return 2 * (processes - 1) * (alpha + size / processes / bandwidth)


# What follows runs in the workers.


def work(*, quick: bool) -> None:
    """Time the sums, then a training; the first process prints what it found as JSON."""
    import torch

    from fittingroom.data.normalization import normalization_of
    from fittingroom.events import Event, Hooks, StepDone
    from fittingroom.models import find_model
    from fittingroom.parallel.process_group import ProcessGroup, process_group
    from fittingroom.recipes.changes import with_epochs
    from fittingroom.recipes.reading import load_recipe
    from fittingroom.training.context import TrainContext
    from fittingroom.training.loop import fit_network

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Timed(ProcessGroup):
        """The group, with a clock at its sums: the seconds and the bytes of each."""

        sums: list[tuple[float, int]] = dataclasses.field(default_factory=list)

        def all_reduce(self, tensors: Sequence[torch.Tensor], numbers: Sequence[float]) -> list[float]:
            start = time.perf_counter()
            totals = ProcessGroup.all_reduce(self, tensors, numbers)
            size = 4 * (sum(tensor.numel() for tensor in tensors) + len(numbers))
            self.sums.append((time.perf_counter() - start, size))
            return totals

    class Done(Exception):
        pass

    with process_group() as joined_group:
        group = Timed(**dataclasses.asdict(joined_group))
        alone = [time_sum(numbers) for numbers in NUMBERS] if group.size > 1 else []
        recipe = with_epochs(load_recipe("swift", overrides=["precision=float32"]), 100)
        train_set = official.splits(quick=quick).train
        at: list[float] = []
        sent: list[int] = []

        def observe(event: Event) -> None:
            if not isinstance(event, StepDone):
                return
            at.append(time.perf_counter())
            sent.append(sent_bytes())
            if len(at) == WARM_UP + STEPS:
                raise Done

        context = TrainContext(hooks=Hooks(observe=observe), group=group)
        with suppress(Done):
            normalization = normalization_of("standard", train_set)
            fit_network(train_set, None, recipe, find_model(recipe.model), normalization, context)
        if group.is_main:
            steps = len(at) - WARM_UP
            seconds, sizes = zip(*(group.sums[-steps:] or [(0.0, 0)]), strict=True)
            answer = {
                "sum seconds": alone,
                "step seconds": statistics.median(np.diff(at[WARM_UP:])),
                "sum seconds in a step": statistics.median(seconds),
                "least sum seconds in a step": min(seconds),
                "message bytes": statistics.median(sizes),
                "bytes sent a step": (sent[-1] - sent[WARM_UP - 1]) / steps,
            }
            print(json.dumps(answer))


def time_sum(numbers: int) -> float:
    """Least seconds of the sum of a message of so many numbers: other programs on the machine only add to it."""
    import torch
    from torch import distributed

    message, seconds = torch.ones(numbers), []
    for _ in range(REPEATS):
        distributed.barrier()
        start = time.perf_counter()
        distributed.all_reduce(message)
        seconds.append(time.perf_counter() - start)
        message.fill_(1)
    return min(seconds)


def sent_bytes() -> int:
    """What this host, or namespace, has sent so far over the interface that Gloo uses; 0 where that can't be read."""
    name = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    for line in Path("/proc/net/dev").read_text(encoding="utf-8").splitlines():
        interface, _, counts = line.partition(":")
        if interface.strip() == name:
            return int(counts.split()[8])
    return 0


@contextmanager
def two_hosts() -> Iterator[tuple[str, str] | None]:
    """Two namespaces with a cable between them; None, with the reason on the screen, where there can be none."""
    names = (f"bench-1-{os.getpid()}", f"bench-2-{os.getpid()}")
    cable = ["link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1]]
    commands = [["netns", "add", name] for name in names] + [cable]
    for number, name in enumerate(names, 1):
        commands.append(["-n", name, "address", "add", f"10.78.0.{number}/24", "dev", "cable"])
        commands += [["-n", name, "link", "set", device, "up"] for device in ("lo", "cable")]
    try:
        if shutil.which("ip") is None:
            print("no veth: there is no `ip`; install iproute2", file=sys.stderr)
            yield None
            return
        failed = next(
            (done for c in commands if (done := subprocess.run(["ip", *c], capture_output=True, text=True)).returncode),
            None,
        )
        if failed:
            print(f"no veth: {failed.stderr.strip()}", file=sys.stderr)
        yield None if failed else names
    finally:
        for name in names:
            if shutil.which("ip"):
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


# The model's table.


@dataclasses.dataclass(frozen=True)
class Machines:
    """What the model is asked about.

    Attributes:
        images_per_second: that one process computes, forward and backward and the optimizer's step.
        alpha: seconds to start a message.
        bandwidth: bytes per second of a link.
        has_trees: whether the sums may go along trees, as NCCL's do; Gloo's go around a ring.
    """

    images_per_second: float
    alpha: float
    bandwidth: float
    has_trees: bool


# Of cards nothing was measured. 256 images of so small a network keep one busy with starting kernels, say for 4 ms; a
# link of 200 Gbit/s has 25 GB/s by its specification.
ASSUMED = Machines(images_per_second=64_000, alpha=20e-6, bandwidth=25e9, has_trees=True)
IMAGES, BATCH_OF_EACH = 1_000_000_000, 256


def print_model() -> None:
    """Markdown: an epoch of a billion images, on cores like those measured and on cards as assumed."""
    row = {key[1:3]: float(each["median"]) for key, each in record.latest().items() if key[0] == "distributed.py"}
    here = "2 processes, veth" if ("2 processes, veth", "α, seconds") in row else "2 processes, loopback"
    measured = Machines(
        images_per_second=BATCH / row["1 process", "step seconds"],
        alpha=row[here, "α, seconds"],
        bandwidth=row[here, "B, bytes per second"],
        has_trees=False,
    )
    size = row[here, "message bytes"]
    print("| processes | images a step | cores: images/s · of ideal · hours | cards: images/s · of ideal · hours |")
    print("| ---: | ---: | ---: | ---: |")
    for processes in (1, 2, 8, 64, 256, 1024):
        cells = " | ".join(cell(processes, size, machines) for machines in (measured, ASSUMED))
        print(f"| {processes:,} | {BATCH_OF_EACH * processes:,} | {cells} |")


def cell(processes: int, size: float, machines: Machines) -> str:
    """Images per second of all, share of ideal, and hours of an epoch: a step is computing and then summing."""
    computing = BATCH_OF_EACH / machines.images_per_second
    summing = ring(processes, size, machines.alpha, machines.bandwidth)
    if machines.has_trees:
        summing = min(summing, tree(processes, size, machines.alpha, machines.bandwidth))
    speed = processes * BATCH_OF_EACH / (computing + summing)
    return f"{speed:,.0f} · {computing / (computing + summing):.0%} · {IMAGES / speed / 3600:,.2g}"


def tree(processes: int, size: float, alpha: float, bandwidth: float) -> float:
    """Seconds of a sum up and down two binary trees in pieces (Sanders, Speck and Träff 2009)."""
    return 2 * (math.log2(processes) * alpha + size / bandwidth) if processes > 1 else 0.0


if __name__ == "__main__":
    main()
