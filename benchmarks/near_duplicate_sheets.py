"""What are the near-duplicates that `data check` names among Fashion-MNIST's 70,000 images? 200 of them, to look at.

    python benchmarks/near_duplicate_sheets.py FOLDER     searches, and draws 200 pairs (and those of different classes)
    python benchmarks/near_duplicate_sheets.py            counts the judgements in near_duplicate_pairs.csv

The pairs are drawn by chance (seed 0) of all that both searches name; those of different official classes are drawn
on sheets of their own, all of them. FOLDER gets the sheets and pairs.csv; near_duplicate_pairs.csv is that file with
what was seen:

    same picture    one photograph twice, perhaps mirrored, moved, turned or of another contrast
    same product    the same thing or another photograph of it, or the same cut in another colour or with another print
    alike           two things that look alike
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import fittingroom as fr
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.evaluation.intervals import wilson_interval

PAIRS = 200
JUDGED = Path(__file__).with_name("near_duplicate_pairs.csv")
JUDGEMENTS = ("same picture", "same product", "alike")
COLUMNS, ROWS, SCALE, GAP, LINE = 5, 8, 5, 26, 22  # of a sheet: pairs, and pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    args = parser.parse_args()
    if args.folder is None:
        print("\n".join(counted()))
    else:
        draw(args.folder)


def draw(folder: Path) -> None:
    """Search the 70,000 images, and write pairs.csv and the sheets."""
    data = fr.open_dataset("fashion-mnist")
    assert data.test is not None
    assert data.train.labels is not None
    assert data.test.labels is not None
    images = np.concatenate([data.train.images, data.test.images])
    labels = np.concatenate([data.train.labels, data.test.labels])

    begun = time.monotonic(), time.process_time()
    found = near_duplicates(images)
    seconds = time.monotonic() - begun[0], time.process_time() - begun[1]
    by_pixels = {tuple(pair) for pair in near_duplicates(images, altered=False).pairs.tolist()}

    rows = np.random.default_rng(0).permutation(len(found.pairs))
    differ = [int(row) for row in rows if len({int(labels[i]) for i in found.pairs[row]}) == 2]
    drawn = [int(row) for row in rows[:PAIRS]]
    print(f"{len(found.pairs):,} pairs, {len(by_pixels):,} of them by pixels, {len(differ):,} of different classes;")
    print(f"{seconds[0]:.1f} s, {seconds[1]:.1f} s of the processor")

    folder.mkdir(parents=True, exist_ok=True)
    listed = [*dict.fromkeys([*drawn, *differ])]
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["number", "drawn", "first", "second", "classes", "found by", "judgement"])
        for number, row in enumerate(listed, 1):
            first, second = found.pairs[row].tolist()
            classes = " and ".join(dict.fromkeys(data.train.classes[labels[i]] for i in (first, second)))
            how = "pixels" if (first, second) in by_pixels else "altered copies"
            writer.writerow([number, int(row in drawn), first, second, classes, how, ""])

    per_sheet = COLUMNS * ROWS
    for start in range(0, len(listed), per_sheet):
        chunk = listed[start : start + per_sheet]
        captions = [
            f"{start + i + 1}  " + " | ".join(data.train.classes[labels[j]] for j in found.pairs[row])
            for i, row in enumerate(chunk)
        ]
        sheet([images[found.pairs[row]] for row in chunk], captions).save(folder / f"sheet-{start // per_sheet}.png")


def sheet(pairs: list[np.ndarray], captions: list[str]) -> Image.Image:
    """A grid of pairs, uint8 (2, 28, 28) each, with a line below each."""
    side = pairs[0].shape[1] * SCALE
    width, height = 2 * side + 4 + GAP, side + LINE + GAP
    page = Image.new("RGB", (COLUMNS * width + GAP, -(-len(pairs) // COLUMNS) * height + GAP), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    for i, (pair, caption) in enumerate(zip(pairs, captions, strict=True)):
        left, top = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height
        for k, image in enumerate(pair):
            tile = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
            page.paste(tile, (left + k * (side + 4), top))
        pen.text((left, top + side + 4), caption, (0, 0, 0), font_size=16)
    return page


def counted(judged: Path = JUDGED) -> list[str]:
    """A Markdown table: of the pairs drawn by chance how many were judged what, by the search that named them."""
    with judged.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = [row for row in rows if row["drawn"] == "1"]
    groups = [("all", drawn)]
    groups += [(f"found {how}", [row for row in drawn if row["found by"] == by]) for how, by in SEARCHES]
    groups += [("of different classes (all there are)", [row for row in rows if " and " in row["classes"]])]
    lines = [f"| pairs | looked at | {' | '.join(JUDGEMENTS)} |", f"| --- | ---: |{' ---: |' * len(JUDGEMENTS)}"]
    for name, group in groups:
        counts = Counter(row["judgement"] for row in group)
        assert set(counts) <= set(JUDGEMENTS), f"{judged}: judgements are {', '.join(JUDGEMENTS)}"
        cells = " | ".join(_share(counts[judgement], len(group)) for judgement in JUDGEMENTS)
        lines.append(f"| {name} | {len(group)} | {cells} |")
    return lines


SEARCHES = (("by pixels", "pixels"), ("as altered copies alone", "altered copies"))


def _share(count: int, n: int) -> str:
    if not n:
        return "–"
    low, high = wilson_interval(count, n)
    return f"{count} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    sys.exit(main())
