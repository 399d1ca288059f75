"""Whether fine-tuning beats training from scratch on few images: a network of timm, pretrained here on other classes.

    python benchmarks/finetune.py [--seeds 5] [--network test_resnet] [--record] [--provisional]

The network learns letters and digits in many fonts, without ten of them; these ten it is then to learn from 200 images,
others for each seed. Judged on 1,000 further images of them as validation; no test set has a part in it. From scratch
it is given its best number of epochs of several, chosen on other seeds than it is judged on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import fittingroom as fr

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from record import add_options, figure, keep, show  # noqa: E402
from tests.support.glyphs import HELD_OUT, OTHERS, glyphs  # noqa: E402

EACH_BEFORE, EACH, EACH_JUDGED = 80, 20, 100  # images of each class: pretraining, training, validation
EPOCHS = (25, 50, 100)  # from scratch
CHOOSING = (100, 101)  # seeds
OPTIONS = fr.Options(device="cpu", threads=1)


def pretrained(network: str, folder: Path) -> fr.Run:
    """The network after it has learned the other classes."""
    others = glyphs(OTHERS, EACH_BEFORE, seed=1, name="other glyphs")
    recipe = _plain(network, epochs=30, batch_size=128)
    return fr.train(fr.Splits(others), recipe, weights="none", out=folder / "before", options=OPTIONS)


def scratch(network: str, seed: int, epochs: int, folder: Path) -> float:
    """Validation accuracy of the network trained from new weights."""
    recipe, out = _plain(network, epochs=epochs, batch_size=32), folder / f"scratch-{epochs}-{seed}"
    return _accuracy(fr.train(few(seed), recipe, seed=seed, weights="none", out=out, options=OPTIONS))


def tuned(before: fr.Run, seed: int, folder: Path) -> float:
    """Validation accuracy of the pretrained network, trained by the recipe ``finetune``."""
    recipe, out = fr.load_recipe("finetune", overrides=["precision=float32"]), folder / f"tuned-{seed}"
    return _accuracy(fr.train(few(seed), recipe, seed=seed, from_run=before, out=out, options=OPTIONS))


def few(seed: int) -> fr.Splits:
    """200 images of the ten classes, and the 1,000 by which they are judged."""
    train = glyphs(HELD_OUT, EACH, seed=1_000 + seed, name="few glyphs")
    return fr.Splits(train, validation=glyphs(HELD_OUT, EACH_JUDGED, seed=2, name="glyphs to judge by"))


def _plain(network: str, *, epochs: int, batch_size: int) -> fr.Recipe:
    changes = ("min_steps=0", "precision=float32", f"batch_size={batch_size}", f"stages.0.epochs={epochs}")
    return fr.load_recipe("plain", overrides=[f"model='timm:{network}'", *changes])


def _accuracy(run: fr.Run) -> float:
    return float(run.result["validation"]["accuracy"])


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="test_resnet", help="of timm")
    add_options(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    network = args.network

    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.perf_counter()
        before = pretrained(network, folder)
        seconds = time.perf_counter() - started
        print(
            f"pretrained on {len(OTHERS)} other classes: {_accuracy(before):.2%} of these, {seconds:.0f} s", flush=True
        )

        means = {epochs: np.mean([scratch(network, seed, epochs, folder) for seed in CHOOSING]) for epochs in EPOCHS}
        epochs = max(means, key=means.__getitem__)
        print(f"from scratch {epochs} epochs are the best of {means}, on seeds {CHOOSING}", flush=True)

        alone = [scratch(network, seed, epochs, folder) for seed in range(args.seeds)]
        after = [tuned(before, seed, folder) for seed in range(args.seeds)]

    gains = [b - a for a, b in zip(alone, after, strict=True)]
    figures = [
        figure(f"timm:{network}, 200 glyphs", "validation accuracy, from scratch", alone),
        figure(f"timm:{network}, 200 glyphs", "validation accuracy, fine-tuned", after),
        figure(f"timm:{network}, 200 glyphs", "gain", gains),
    ]
    show(figures)
    keep("finetune.py", figures, args)


if __name__ == "__main__":
    main()
