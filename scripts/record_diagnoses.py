"""Train anew what tests/golden/diagnosis holds: a real training for each state that a diagnosis can name.

    .venv/bin/python scripts/record_diagnoses.py [STATE …]

A state's folder gets the run's metrics.jsonl, recipe.toml and result.json as they are, and where the rule reads the
answers its validation predictions. The official Fashion-MNIST is read; all but a few trainings take seconds.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import fittingroom as fr
from fittingroom.cli import main as fittingroom

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "diagnosis"
FILES = ("metrics.jsonl", "recipe.toml", "result.json")
PREDICTIONS = "predictions-validation.parquet"
LINEAR = """from torch import nn


def linear(num_classes, in_channels=1, image_size=(28, 28)):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))
"""
CONSTANT = [
    "--recipe",
    "plain",
    "--set",
    "stages.0.schedule=constant",
    "--set",
    "mirror=none",
    "--set",
    "batch_size=100",
]


def defects(file: Path) -> None:
    """3 % boots among trousers, of 2,000: two classes that nobody mixes up."""
    train = fr.open_dataset("fashion-mnist").train
    good, bad = (np.flatnonzero(train.labels == label) for label in (1, 9))
    rows = np.r_[good[:1940], bad[:60]]
    np.savez(file, x_train=train.images[rows], y_train=np.r_[np.zeros(1940, int), np.ones(60, int)])


def lopsided(file: Path) -> None:
    """5 % shirts among T-shirts, of 4,000: two classes that everybody mixes up."""
    train = fr.open_dataset("fashion-mnist").train
    shirts, t_shirts = (np.flatnonzero(train.labels == label) for label in (6, 0))
    rows = np.r_[t_shirts[:3800], shirts[:200]]
    np.savez(file, x_train=train.images[rows], y_train=np.r_[np.zeros(3800, int), np.ones(200, int)])


def digits(file: Path) -> None:
    """scikit-learn's digits, twice as large: 16×16."""
    given = load_digits()
    images = np.kron(np.round(given.images * 255 / 16).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
    np.savez(file, x_train=images, y_train=given.target)


def tops(file: Path) -> None:
    """6,000 images of four classes, two of which look the same."""
    train = fr.open_dataset("fashion-mnist").train
    rows = np.flatnonzero(np.isin(train.labels, (0, 1, 6, 8)))[:6000]
    np.savez(file, x_train=train.images[rows], y_train=np.searchsorted((0, 1, 6, 8), train.labels[rows]))


def photos(file: Path) -> None:
    """98 images of three classes, as many as a person takes in an afternoon."""
    train = fr.open_dataset("fashion-mnist").train
    rows = np.concatenate([np.flatnonzero(train.labels == label)[:33] for label in (2, 4, 6)])[:98]
    np.savez(file, x_train=train.images[rows], y_train=np.unique(train.labels[rows], return_inverse=True)[1])


def wrong_labels(file: Path) -> None:
    """15,000 images of three classes that are told apart easily; one label of 700 is wrong."""
    train = fr.open_dataset("fashion-mnist").train
    rows = np.flatnonzero(np.isin(train.labels, (1, 8, 9)))[:15000]
    labels = np.searchsorted((1, 8, 9), train.labels[rows])
    labels[::700] = (labels[::700] + 1) % 3
    np.savez(file, x_train=train.images[rows], y_train=labels)


DATA = {
    "defects.npz": defects,
    "lopsided.npz": lopsided,
    "tops.npz": tops,
    "digits.npz": digits,
    "photos.npz": photos,
} | {"wrong-labels.npz": wrong_labels}
STATES: dict[str, list[str]] = {
    "swift": ["fashion-mnist"],
    "plain": ["fashion-mnist", "--recipe", "plain", "--model", "tutorial"],
    "over-fitting": ["sample", *CONSTANT, "--epochs", "30", "--lr", "0.003"],
    "still-improving": ["sample", *CONSTANT, "--epochs", "40", "--lr", "0.0001"],
    "unstable": ["sample", *CONSTANT, "--epochs", "30", "--lr", "0.05"],
    "not-learning": ["sample", *CONSTANT, "--epochs", "8", "--lr", "100"],
    "plateau": [
        "sample",
        "--model",
        "linear.py:linear",
        *CONSTANT,
        "--epochs",
        "40",
        "--lr",
        "0.002",
        "--set",
        "weight_decay=3.0",
    ],
    "under-fitting": [
        "sample",
        "--model",
        "linear.py:linear",
        *CONSTANT,
        "--epochs",
        "40",
        "--lr",
        "0.003",
        "--set",
        "weight_decay=30.0",
    ],
    "confusable-pair": ["tops.npz", *CONSTANT, "--epochs", "12", "--set", "validation=800"],
    "imbalance": ["lopsided.npz", "--recipe", "plain", "--epochs", "30", "--set", "validation=800"],
    "few-steps": ["photos.npz"],
    "too-short": ["fashion-mnist", *CONSTANT, "--epochs", "2", "--set", "batch_size=256"],
    "perfect": ["defects.npz", "--recipe", "plain", "--epochs", "20"],
    "digits": ["digits.npz", "--recipe", "plain", "--epochs", "60"],
    "suspicious-labels": ["wrong-labels.npz", "--recipe", "plain", "--epochs", "7", "--set", "validation=3000"],
}
"""Folder: what is given to ``fittingroom train``."""


def main() -> None:
    """Train each state that is asked for, and keep its files."""
    for state in sys.argv[1:] or STATES:
        command = STATES[state]
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            (where / "linear.py").write_text(LINEAR, encoding="utf-8")
            words = [str(where / word) if word.endswith(".npz") or ".py:" in word else word for word in command]
            if command[0].endswith(".npz"):
                DATA[command[0]](where / command[0])
            status = fittingroom(
                [
                    "train",
                    *words,
                    "--threads",
                    "1",
                    "--set",
                    "precision=float32",
                    "--no-test",
                    "--quiet",
                    "--out",
                    str(where / "run"),
                ]
            )
            assert status == 0, state
            kept = GOLDEN / state
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir()
            for name in FILES + (PREDICTIONS,) * (state == "suspicious-labels"):
                shutil.copy(where / "run" / name, kept)


if __name__ == "__main__":
    main()
