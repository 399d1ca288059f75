"""What the docs may take as given, besides an empty folder: see `lay_out`."""

from __future__ import annotations

import csv
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.data import Dataset, concatenate
from fittingroom.data.fetch.known_sets import locate
from tests.docs.pages import ROOT, blocks_of

RUNS = ("swift", "plain")


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the docs' examples name, made once; each page works in a copy of it."""
    folder = tmp_path_factory.mktemp("given")
    lay_out(folder)
    return folder


def lay_out(folder: Path) -> None:
    """Put down what pages and docstrings name without making it: data in small, a photo, and two trained runs.

    runs/plain-1 and runs/swift-1 are trained on the sample for 2 epochs; fashion-mnist_train.csv and …_test.csv are a
    cut by chance of it, as Kaggle's are of the whole; things.csv and digits.npz hold some of its rows; net.py is
    that of docs/how-to/own-model.md; photos/ has 40 pictures a class, originals/ 10 in colour and of many sizes;
    shoe.jpg is a photo.
    """
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    for name in RUNS:
        recipe = fr.load_recipe(name, overrides=["stages.0.epochs=2", "precision=float32"])
        fr.train(sample, recipe, out=folder / "runs" / f"{name}-1", look_at_test=True)

    everything = concatenate([sample.train, sample.test], "all")
    rows = np.random.default_rng(0).permutation(len(everything))
    _write_csv(folder / "fashion-mnist_train.csv", everything.subset(rows[:2000]))
    _write_csv(folder / "fashion-mnist_test.csv", everything.subset(rows[2000:]))
    _write_named_csv(folder / "things.csv", sample.train.subset(range(1200)))
    np.savez(folder / "digits.npz", x_train=everything.images[:500], y_train=_labelled(everything)[1][:500])
    own_model = blocks_of(ROOT / "docs" / "how-to" / "own-model.md")
    (folder / "net.py").write_text(next(block.text for block in own_model if block.file == "net.py"), encoding="utf-8")
    for kind in ("images-idx3", "labels-idx1"):
        file = locate("sample") / f"train-{kind}-ubyte.gz"
        (folder / f"train-{kind}-ubyte").write_bytes(gzip.decompress(file.read_bytes()))

    _write_pictures(folder / "photos" / "train", sample.train, 40, ".png")
    _write_pictures(folder / "photos" / "test", sample.test, 20, ".png")
    _write_originals(folder / "originals", sample.test)
    shoe = next(image for image, label in zip(*_labelled(sample.test), strict=True) if label == 7)
    Image.fromarray(255 - shoe).resize((300, 300)).save(folder / "shoe.jpg")


def copy_of(given: Path, folder: Path) -> Path:
    """A folder to work in, with all that is given."""
    shutil.copytree(given, folder, dirs_exist_ok=True)
    return folder


def _labelled(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    assert dataset.labels is not None
    return dataset.images, dataset.labels


def _write_csv(file: Path, dataset: Dataset) -> None:
    images, labels = _labelled(dataset)
    pixels = images.reshape(len(images), -1)
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["label", *(f"pixel{i + 1}" for i in range(pixels.shape[1]))])
        table.writerows(np.column_stack([labels, pixels]).tolist())


def _write_named_csv(file: Path, dataset: Dataset) -> None:
    """As people have it: classes by their names, and a column too many."""
    images, labels = _labelled(dataset)
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["file", *(f"pixel{i + 1}" for i in range(images[0].size)), "kind"])
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            table.writerow([f"{number}.png", *image.ravel().tolist(), dataset.classes[label]])


def _write_pictures(folder: Path, dataset: Dataset, of_each: int, suffix: str) -> None:
    images, labels = _labelled(dataset)
    for label, name in enumerate(dataset.classes):
        place = folder / name.replace("/", "-")
        place.mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:of_each]):
            darker = (image * 0.8).astype(np.uint8)  # so that these are none of the official images
            Image.fromarray(darker).save(place / f"{number:03d}{suffix}")


def _write_originals(folder: Path, dataset: Dataset) -> None:
    """As people have them: in colour, of many sizes, four models a class, one level of classes."""
    images, labels = _labelled(dataset)
    random = np.random.default_rng(0)
    for label, name in enumerate(dataset.classes):
        place = folder / name.replace("/", "-")
        place.mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:10]):
            tint = random.integers(64, 256, 3) / 255
            picture = Image.fromarray((image[..., None] * tint).astype(np.uint8))
            width, height = random.integers(40, 200, 2).tolist()
            picture.resize((width, height)).save(place / f"model{number % 4}_{number}.jpg")
