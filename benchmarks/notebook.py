"""How long does the tutorial notebook take on this machine, from its CSV files to its accuracy?

Its whole process: pandas reads both files as the notebook does (once to look at, once to train on), float64 arrays,
items one by one through a DataLoader, 80 epochs of its network, its evaluation loop. The other scripts run one epoch of
it as their yardstick. It imports what the notebook imports, but for torchvision, which it doesn't use.

    benchmarks/.venv/bin/python benchmarks/notebook.py [--epochs 80] [--quick]

The last line printed is JSON. Nothing is recorded: throughput.py, curves.py, memory.py and data_path.py do that.

Last result: see those.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  (part of the notebook's memory and start)
import numpy as np
import pandas as pd
import torch

from fittingroom.bench import NOTEBOOK_EPOCHS, NOTEBOOK_STAGES, Notebook, NotebookData


def read_csv(file: Path) -> NotebookData:
    """Kaggle's CSV as the notebook's Dataset reads it."""
    frame = pd.read_csv(file)
    return NotebookData(np.array(frame.iloc[:, 1:]).reshape(-1, 28, 28), np.array(frame.iloc[:, 0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=NOTEBOOK_EPOCHS)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()

    import official

    folder = official.csv_folder(quick=args.quick)
    start = time.perf_counter()
    looked_at = [pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")]  # the notebook keeps them
    looked_at[0].max()
    train, test = read_csv(folder / "train.csv"), read_csv(folder / "test.csv")
    read_seconds = time.perf_counter() - start
    notebook = Notebook(device="cuda" if torch.cuda.is_available() else "cpu")
    loader, test_loader = train.loader(shuffle=True), test.loader(shuffle=False)
    epoch_seconds: list[float] = []
    for epochs, lr in NOTEBOOK_STAGES:
        notebook.start_stage(lr)
        for _ in range(min(epochs, args.epochs - len(epoch_seconds))):
            start = time.perf_counter()
            notebook.train_epoch(loader)
            epoch_seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    accuracy = notebook.evaluate(test_loader)
    evaluation_seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "read_seconds": read_seconds,
                "epoch_seconds": epoch_seconds,
                "evaluation_seconds": evaluation_seconds,
                "accuracy": accuracy,
            }
        )
    )


if __name__ == "__main__":
    main()
