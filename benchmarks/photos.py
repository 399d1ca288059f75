"""How fast does a folder of photos become a data set, and in how much memory?

Folders of photos of 12 megapixels (4,000×3,000) as JPEG (quality 88) and as PNG, cut out of two photographs at scales
of 8 to 16, some with noise; a Parquet file of 28×28 grey PNGs. Each is read in a process of its own, cold but for the
system's file cache, with nothing kept; twice as many photos tell whether memory grows with their number.

    .venv/bin/python benchmarks/photos.py [--rounds 3] [--quick]

About 5 minutes on two quiet cores, two of them for making the photos, and 1.5 GB of disk. --quick tries the script on a
few and records nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import record
from process import FOLDER, Process, whole_process

WIDTH, HEIGHT = 4_000, 3_000
DISTINCT = {"jpg": 12, "png": 4}  # pictures that are made; the others are copies of them, in files of their own
COUNTS = {"jpg": (100, 200), "png": (20, 40)}
CELLS = 60_000  # of the Parquet file
READ = "import sys; from fittingroom.data import open_dataset; data = open_dataset(sys.argv[1], cache=False)\n"
NOTHING = "from fittingroom.data import open_dataset; import PIL.Image, polars\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the photos there, and measure nothing")
    args = parser.parse_args()
    if args.make is not None:
        make(args.make, quick=args.quick)
        return

    # Made by another process: on Linux, what this one has taken would count as the peak of those that it starts.
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        whole_process([sys.executable, FOLDER / "photos.py", "--make", where, *(["--quick"] if args.quick else [])])
        sets: dict[str, tuple[Path, int]] = {}
        for suffix, counts in counts_of(quick=args.quick).items():
            for count in counts:
                sets[f"{count} photos of 12 MP, {suffix.upper()}"] = where / f"{count} {suffix}", count
        cells = CELLS // 10 if args.quick else CELLS
        sets[f"Parquet, {cells:,} grey cells"] = where / "cells.parquet", cells
        figures = measure(sets, args.rounds)

    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def measure(sets: dict[str, tuple[Path, int]], rounds: int) -> list[record.Figure]:
    """Pictures a minute, without the start of the program, and peak memory, of each set in turns."""
    minutes: dict[str, list[float]] = {name: [] for name in sets}
    processor: dict[str, list[float]] = {name: [] for name in sets}
    peaks: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(rounds):
        start = whole_process([sys.executable, "-c", NOTHING])
        for name, (path, count) in sets.items():
            process: Process = whole_process([sys.executable, "-c", READ, path])
            minutes[name].append(60 * count / (process.seconds - start.seconds))
            processor[name].append(1e6 * (process.cpu_seconds - start.cpu_seconds) / count)
            peaks[name].append(process.peak_mib)
    figures = []
    for name in sets:
        figures.append(record.figure(name, "pictures a minute", minutes[name]))
        figures.append(record.figure(name, "processor microseconds a picture", processor[name]))
        figures.append(record.figure(name, "peak MiB", peaks[name]))
    return figures


def counts_of(*, quick: bool) -> dict[str, tuple[int, int]]:
    """How many photos the two folders of each format have."""
    return dict.fromkeys(COUNTS, (4, 8)) if quick else COUNTS


def make(where: Path, *, quick: bool) -> None:
    """Make all folders and the Parquet file."""
    for suffix, counts in counts_of(quick=quick).items():
        originals = make_photos(where / "originals" / suffix, suffix, 2 if quick else DISTINCT[suffix])
        for count in counts:
            copied(originals, where / f"{count} {suffix}", count)
    parquet(where / "cells.parquet", CELLS // 10 if quick else CELLS)


def make_photos(folder: Path, suffix: str, count: int) -> list[Path]:
    """Photos of 12 megapixels with the detail that a camera has: pieces of real ones, enlarged, with sensor noise."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    files = []
    for number in range(count):
        photo = Image.fromarray(load_sample_images().images[number % 2])
        width = int(random.integers(WIDTH // 16, WIDTH // 8))
        height = width * HEIGHT // WIDTH
        left, top = int(random.integers(0, photo.width - width)), int(random.integers(0, photo.height - height))
        piece = photo.crop((left, top, left + width, top + height))
        large = piece.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noisy = np.asarray(large) + random.normal(0, 4 * (number % 2), (HEIGHT, WIDTH, 1)).astype(np.float32)
        file = folder / f"{number}.{suffix}"
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(file, **({"quality": 88} if suffix == "jpg" else {"compress_level": 6}))
        files.append(file)
    return files


def copied(originals: list[Path], folder: Path, count: int) -> Path:
    """A folder of two classes with so many files, each of its own."""
    for number in range(count):
        file = folder / "ab"[number % 2] / f"{number:04}{originals[0].suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(originals[number % len(originals)], file)
    return folder


def parquet(path: Path, count: int) -> Path:
    """A Parquet file of the sample's images, again and again."""
    import numpy as np

    import fittingroom as fr
    from fittingroom.data.convert import convert

    train = fr.open_dataset("sample").train
    convert(fr.Splits(train.subset(np.arange(count) % len(train))), path, to="parquet")
    return path


if __name__ == "__main__":
    main()
