"""Which altered copies of an image does `data check` find? 2,000 of 10,000 training images, altered, beside the 10,000.

The thresholds were chosen on the first 20,000 training images by the pairs of different classes that they take for
copies. What is counted and planted here are others: rows 20,000 to 59,999. The test images are not looked at. The same
for pictures in colour, without such a cut: pieces of scikit-learn's two photographs.

    python benchmarks/near_duplicates.py [--quick] [--time]

Recall depends on no machine. --quick takes 100 of 1,000 images and records nothing. --time searches all 70,000 instead.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np
import record
from false_alarms import crops
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import fittingroom as fr
from fittingroom.audit.near_duplicates import near_duplicates

Images = NDArray[np.uint8]
CHOSEN_ON = 20_000  # training images, the first ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--time", action="store_true")
    args = parser.parse_args()
    data = fr.open_dataset("fashion-mnist")
    if args.time:
        assert data.test is not None
        begun = time.monotonic()
        found = near_duplicates(np.concatenate([data.train.images, data.test.images]))
        print(f"{len(found.pairs):,} pairs of 70,000 images in {time.monotonic() - begun:.1f} s")
        return

    assert data.train.labels is not None
    count, copies, sets = (1_000, 100, 1) if args.quick else (10_000, 2_000, 4)
    pairs, differ = [], []
    for number in range(sets):
        rows = slice(CHOSEN_ON + number * count, CHOSEN_ON + (number + 1) * count)
        both, labels = near_duplicates(data.train.images[rows]).pairs, data.train.labels[rows]
        pairs.append(float(len(both)))
        differ.append(float((labels[both[:, 0]] != labels[both[:, 1]]).sum()))
        print(f"rows {rows.start:,} to {rows.stop - 1:,}: {len(both)} pairs, {differ[-1]:.0f} of different classes")
    figures = [
        record.figure("Fashion-MNIST as it is", "pairs", pairs),
        record.figure("Fashion-MNIST as it is", "pairs of different classes", differ),
        *recall("Fashion-MNIST", data.train.images[CHOSEN_ON : CHOSEN_ON + count], copies),
        *recall("photographs in colour", crops(count // 5, side=32)[0], copies // 5),
    ]
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def recall(name: str, images: Images, copies: int) -> list[record.Figure]:
    """The share of the altered copies of random images that is found beside its original."""
    rows = np.random.default_rng(0).permutation(len(images))[:copies]
    figures = []
    for what, alter in ALTERATIONS.items():
        altered = np.stack([np.asarray(alter(Image.fromarray(image))) for image in images[rows]])
        pairs = near_duplicates(np.concatenate([images, altered])).pairs
        found = {tuple(pair) for pair in pairs.tolist()}
        hits = [float((int(row), len(images) + number) in found) for number, row in enumerate(rows)]
        figures.append(record.figure(name, f"recall: {what}", hits))
        print(f"{name}, {what}: {np.mean(hits):.1%}", flush=True)
    return figures


def tones(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Image.Image], Image.Image]:
    """A change of each value, 0–1."""
    return lambda image: image.point(
        np.tile(np.clip(np.rint(255 * change(np.arange(256) / 255)), 0, 255), len(image.getbands())).tolist()
    )


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def encoded(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert(image.mode)

    return encoded


def resized(share: float) -> Callable[[Image.Image], Image.Image]:
    """To another size and back."""
    bilinear = Image.Resampling.BILINEAR
    return lambda image: image.resize((round(image.width * share),) * 2, bilinear).resize(image.size, bilinear)


def zoomed(factor: float) -> Callable[[Image.Image], Image.Image]:
    def zoom(image: Image.Image) -> Image.Image:
        edge = image.width / 2 * (1 - 1 / factor)
        matrix = (1 / factor, 0, edge, 0, 1 / factor, edge)
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)

    return zoom


def turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(degrees, Image.Resampling.BILINEAR)


def cut_out(side: int) -> Callable[[Image.Image], Image.Image]:
    random = np.random.default_rng(1)

    def cut(image: Image.Image) -> Image.Image:
        pixels = np.array(image)
        top, left = random.integers(0, image.width - side, 2)
        pixels[top : top + side, left : left + side] = 0
        return Image.fromarray(pixels)

    return cut


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized to 8/7 and back": resized(8 / 7),
    "resized to 5/7 and back": resized(5 / 7),
    "blurred, radius 0.7": lambda image: image.filter(ImageFilter.GaussianBlur(0.7)),
    "gamma 0.6": tones(lambda value: value**0.6),
    "gamma 1.6": tones(lambda value: value**1.6),
    "JPEG 90": jpeg(90),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "inverted": tones(lambda value: 1 - value),
    "zoomed to 0.95": zoomed(0.95),
    "zoomed to 1.05": zoomed(1.05),
    "turned by 2°": turned(2),
    "turned by 5°": turned(5),
    "turned by 10°": turned(10),
    "turned by −5°": turned(-5),
    "turned by −10°": turned(-10),
    "cut out, 6 × 6": cut_out(6),
    "cut out, 8 × 8": cut_out(8),
}


if __name__ == "__main__":
    main()
