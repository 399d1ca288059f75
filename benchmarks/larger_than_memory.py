"""What does training on a set larger than memory cost, in speed and in memory, beside one that lies in memory?

6 million images (4.7 GB): Fashion-MNIST's 70,000 over and over, each time moved and made lighter or darker
(many_images.py), in one IDX file, sorted by label. The recipe plain trains on them for some hundred steps, once mapped
from the cache, with the block shuffle, as `fittingroom train` does with a set of this size; and once copied into memory
before, with the whole shuffle, as it does with a small one. Each in a process of its own with one thread, in turns; the
time is that of the steps alone, of the processor, so that other programs count little; the file is in the system's page
cache as far as there is room, and a wait for the disk doesn't count. RssAnon, the memory that is a process's own, is
looked at after each step.

    .venv/bin/python benchmarks/larger_than_memory.py [--steps 300] [--rounds 5] [--folder DIR] [--quick]

--folder is where the files are made, and removed at the end: 15 GB. Needs 6 GB of memory for the one that is copied.
--quick tries the script with few images and records nothing.

Last result, 2026-11-23, AMD EPYC, one of 2 cores shared with other programs, 200 steps, n = 3: mapped 1.047 ± 0.027
times as fast as in memory (mean ± sd of the ratios; a fourth pair, not recorded, gave 0.967); RssAnon 402 MiB mapped,
4,934 MiB in memory (medians). The first reading took 30 s of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import many_images
import record
from process import script, whole_process

WARM_UP = 20  # steps that don't count
SPEED, MEMORY = "images per processor second", "peak RssAnon MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6_000_000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("PLACE", "DATA"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(train(args.one[0], Path(args.one[1]), args.steps)))
        return
    images, steps, rounds = (700_000, 40, 1) if args.quick else (args.images, args.steps, args.rounds)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        many_images.write_idx_pair(folder / "data", images)
        figures = in_turns(folder, steps, rounds)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def in_turns(folder: Path, steps: int, rounds: int) -> list[record.Figure]:
    """Images per processor second of the steps, and peak memory, mapped and in memory."""
    os.environ |= {"FITTINGROOM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    first = whole_process([sys.executable, "-m", "fittingroom", "data", "info", folder / "data", "--json"])
    found: dict[str, list[dict[str, float]]] = {"in memory": [], "mapped": []}
    for round_ in range(rounds):
        for place in list(found)[:: 1 if round_ % 2 else -1]:
            _, figures = script("larger_than_memory.py", "--steps", str(steps), "--one", place, folder / "data")
            found[place].append(figures)
            speed = figures[SPEED]
            print(f"round {round_ + 1}: {place} {speed:,.0f} images/s", file=sys.stderr, flush=True)
    figures = [record.figure("first reading", "cpu_seconds", [first.cpu_seconds])]
    for metric in (SPEED, MEMORY):
        figures += [record.figure(place, metric, [each[metric] for each in taken]) for place, taken in found.items()]
    mapped, in_memory = ([each[SPEED] for each in found[place]] for place in ("mapped", "in memory"))
    return [*figures, record.ratios("mapped", "times as fast as in memory", mapped, in_memory)]


def train(place: str, data: Path, steps: int) -> dict[str, float]:
    """Some steps of the recipe plain."""
    from fittingroom.data import large
    from fittingroom.data.normalization import Normalization
    from fittingroom.data.open import open_dataset
    from fittingroom.errors import Interrupted
    from fittingroom.events import Event, Hooks, StepDone
    from fittingroom.models import find_model
    from fittingroom.recipes.reading import load_recipe
    from fittingroom.training.context import TrainContext
    from fittingroom.training.hold_out import hold_out
    from fittingroom.training.loop import fit_network

    recipe = load_recipe("plain", overrides=["precision=float32"])
    if place == "in memory":
        large.LARGE = sys.maxsize  # no set is large then: what is not held out is copied into memory
    train_set, _ = hold_out(open_dataset(data), recipe)
    marks: list[tuple[float, int]] = []
    peak = 0.0

    def observe(event: Event) -> None:
        nonlocal peak
        if isinstance(event, StepDone):
            marks.append((time.process_time(), event.examples))
            peak = max(peak, _anonymous_mib())

    hooks = Hooks(observe=observe, should_stop=lambda: len(marks) >= WARM_UP + steps)
    try:
        context = TrainContext(hooks=hooks)
        fit_network(train_set, None, recipe, find_model(recipe.model), Normalization(72.9, 90.0), context)
    except Interrupted:
        counted = marks[WARM_UP:]
        images = sum(examples for _, examples in counted[1:])
        return {
            SPEED: images / (counted[-1][0] - counted[0][0]),
            MEMORY: peak,
        }
    raise RuntimeError(f"{data}: more than {WARM_UP + steps} steps an epoch expected, fewer found")


def _anonymous_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
