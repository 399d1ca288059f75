"""Has a change made the program slower? Two source trees in turns, by processor seconds (user + system).

    git worktree add /tmp/before COMMIT
    .venv/bin/python benchmarks/before_after.py /tmp/before/src src [--turns 20] [--trainings 20] [--quick]

Each turn runs every command once with either tree, in an order that changes. The ratio is the geometric mean over the
turns, with Student's 95 % interval. Processor seconds, so that other programs count little; a training computes on
several threads, where waiting counts too, so have nothing else running. --quick records nothing.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

import record
from process import whole_process
from scipy import stats

IMPORT = ["-c", "import fittingroom"]
IMPORT_TRAIN = ["-c", "from fittingroom import train"]
HELP = ["-m", "fittingroom", "--help"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs=2, type=Path, metavar="SRC", help="the src folder before, and after")
    parser.add_argument("--turns", type=int, default=20, help="of import, --help and predict")
    parser.add_argument("--trainings", type=int, default=20, help="of the default training; 0 for none")
    parser.add_argument("--quick", action="store_true", help="one turn each, on the sample, recorded nowhere")
    args = parser.parse_args()
    turns, trainings = (1, 1) if args.quick else (args.turns, args.trainings)

    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        picture = _picture(where)
        # 0.1 chose the precision by a stopwatch: both are to compute the same.
        data, bf16 = ["sample"] if args.quick else [], ["--set", "precision=bf16"]
        training = ["-m", "fittingroom", "train", *data, *bf16, "--quiet"]
        run(args.trees[0].resolve(), where, [*training, "--out", "model"])
        commands = {
            "import": (IMPORT, turns),
            "import of train": (IMPORT_TRAIN, turns),
            "--help": (HELP, turns),
            "predict of one picture": (["-m", "fittingroom", "predict", "model", picture], turns),
            "train": (training, trainings),
        }
        figures = []
        for name, (command, count) in commands.items():
            seconds = measure([tree.resolve() for tree in args.trees], where, command, count)
            figures += report(name, seconds)
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def measure(trees: list[Path], where: Path, command: list[str], turns: int) -> list[list[float]]:
    """Processor seconds of the command, a list for each tree. The first run of each fills caches and doesn't count."""
    seconds: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        for number in order:
            used = run(trees[number], where, command)
            if turn:
                seconds[number].append(used)
    return seconds


def run(tree: Path, where: Path, command: list[str]) -> float:
    """Run one command of one tree to its end, with bytecode kept, as an installed package has it."""
    # Each has a cache of its own: two versions that share one write over what the other has read.
    cache = where / f"cache-{'-'.join(tree.parts[1:])}"
    kept = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "", "FITTINGROOM_CACHE": str(cache)}
    process = whole_process([sys.executable, *command], cwd=where, **kept)
    return process.cpu_seconds


def report(name: str, seconds: list[list[float]], unit: str = "processor seconds") -> list[record.Figure]:
    """Print the ratio after/before with its interval; what goes into results.csv."""
    logs = [math.log(after / before) for before, after in zip(*seconds, strict=True)]
    middle = statistics.fmean(logs)
    if len(logs) > 1:
        half = float(stats.t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
        interval = f"{math.exp(middle - half):.3f} to {math.exp(middle + half):.3f}"
    else:
        interval = "no interval from one turn"
    print(f"{name}: {math.exp(middle):.3f} times the {unit} of before, 95 % {interval}, n = {len(logs)}")
    both = [record.figure(f"{name}, {when}", unit, s) for when, s in zip(("before", "after"), seconds, strict=True)]
    return [*both, record.ratios(name, "after / before", seconds[1], seconds[0])]


def _picture(folder: Path) -> str:
    """A test image of the sample as a PNG."""
    from PIL import Image

    import fittingroom as fr

    test = fr.open_dataset("sample").test
    assert test is not None
    Image.fromarray(test.images[0]).save(folder / "picture.png")
    return "picture.png"


if __name__ == "__main__":
    main()
