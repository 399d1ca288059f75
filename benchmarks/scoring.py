"""How many images a second does `fittingroom predict --out` score, beside a plain loop, and in what memory?

Fashion-MNIST's 70,000 images over and over, each time moved and made lighter or darker (many_images.py), as Parquet
files of PNGs, 50,000 in each, scored by the tutorial's network. The plain loop is what one would write: Polars reads a
file, Pillow decodes, ONNX Runtime answers 1,000 images at once, Polars writes. Each program is a process on one core
with one thread, in turns over the same few files; images a second of processor time, so that other programs on the
machine count little. Then `fittingroom predict` scores all files, and the memory that is its own (RssAnon) is looked at
ten times a second: after the first tenth of the time it should not grow.

    .venv/bin/python benchmarks/scoring.py [--images 5000000] [--rounds 5] [--folder DIR] [--quick]

--folder is where the files are made, and removed at the end: 2.5 GB for 5 million images. About 20 minutes of one core.
--quick tries the script on the sample and records nothing.

Last result, 2026-11-23, AMD EPYC, one of 2 cores shared with other programs, n = 5: 14,242 images a processor second
(median; the plain loop 14,489), 0.999 ± 0.016 times as fast as the plain loop (mean ± sd of the ratios). 5 million
images, once: 14,890 images a processor second, RssAnon up to 158 MiB in the first tenth and 172 MiB in the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import many_images
import official
import record
from process import fittingroom_train, whole_process

ONE_CORE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
TURNS = 2  # files that the programs score in turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plain", nargs="+", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain_loop(*args.plain)
        return
    images, rounds = (120_000, 1) if args.quick else (args.images, args.rounds)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        quickly = official.QUICK if args.quick else ("--epochs", "1")
        data = official.name(quick=args.quick)
        fittingroom_train(data, "--recipe", "plain", "--no-test", *quickly, out=folder / "run")
        many_images.write_parquet_shards(folder / "in", images, quick=args.quick)
        figures = [*in_turns(folder, rounds), *whole(folder, images)]
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def in_turns(folder: Path, rounds: int) -> list[record.Figure]:
    """Images a second of one core, of both programs over the same files."""
    files = sorted((folder / "in").iterdir())[:TURNS]
    programs: dict[str, Sequence[str | Path]] = {
        "plain loop": [sys.executable, __file__, "--plain", folder / "run" / "model.onnx", folder / "plain", *files],
        "fittingroom predict --out": [*_predict(folder), *files],
    }
    speeds: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(rounds):
        for name, command in list(programs.items())[:: 1 if round_ % 2 else -1]:
            shutil.rmtree(folder / "out", ignore_errors=True)
            shutil.rmtree(folder / "plain", ignore_errors=True)
            process = whole_process(command, **ONE_CORE)
            speeds[name].append(len(files) * many_images.PART / process.cpu_seconds)
            print(f"round {round_ + 1}: {name} {speeds[name][-1]:,.0f} images/s", file=sys.stderr, flush=True)
    plain, ours = speeds.values()
    figures = [record.figure(name, "images per processor second", values) for name, values in speeds.items()]
    return [*figures, record.ratios("fittingroom predict --out", "times as fast as the plain loop", ours, plain)]


def whole(folder: Path, images: int) -> list[record.Figure]:
    """Speed and memory over all files."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    started = os.times()
    process = subprocess.Popen([*_predict(folder), folder / "in"], env=os.environ | ONE_CORE, stdout=subprocess.DEVNULL)
    memory = []
    while process.poll() is None:
        memory.append(_anonymous_mib(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    ended = os.times()
    seconds = ended.children_user + ended.children_system - started.children_user - started.children_system
    name = f"predict --out, {images:,} images"
    early, late = memory[: len(memory) // 10], memory[len(memory) // 10 :]
    return [
        record.figure(name, "images per processor second", [images / seconds]),
        record.figure(name, "wall seconds", [ended.elapsed - started.elapsed]),
        record.figure(name, "peak RssAnon MiB, first tenth", [max(early)]),
        record.figure(name, "peak RssAnon MiB, the rest", [max(late)]),
    ]


def plain_loop(model: Path, out: Path, *files: Path) -> None:
    """What one would write without this package."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # but nothing of ours calls home
    import io

    import numpy as np
    import onnxruntime  # type: ignore[import-untyped]
    import polars as pl
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    out.mkdir()
    for file in files:
        pictures = pl.read_parquet(file)["image"].struct.field("bytes").to_list()
        images = np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures])
        answers = [session.run(None, {"images": images[i : i + 1_000]})[0] for i in range(0, len(images), 1_000)]
        probabilities = np.concatenate(answers)
        columns = {"row": np.arange(len(images)), "label": probabilities.argmax(axis=1)}
        columns |= {f"p{i}": column for i, column in enumerate(probabilities.T)}
        pl.DataFrame(columns).write_parquet(out / file.name)


def _predict(folder: Path) -> list[str | Path]:
    return [sys.executable, "-m", "fittingroom", "predict", folder / "run", "--out", folder / "out"]


def _anonymous_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)


if __name__ == "__main__":
    main()
