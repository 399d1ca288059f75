"""What each process of a test does: judge images together, and train a network with batch norm together.

    python -m tests.support.in_each_process RUN

leaves rank<N>.npy, rank<N>.pt and rank<N>.threads in the working folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import fittingroom as fr
from fittingroom.data.normalization import Normalization
from fittingroom.models import ModelSource
from fittingroom.parallel.process_group import ALONE, ProcessGroup, process_group
from fittingroom.training.context import TrainContext
from fittingroom.training.inference import predict_dataset
from fittingroom.training.loop import fit_network


class Normed(nn.Module):
    """Batch norm, a parameter that no gradient reaches, and buffers that stay what they are."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(784, num_classes)
        self.register_buffer("mask", torch.tensor([0.1, -torch.inf]))
        self.register_buffer("flag", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(x).flatten(1))
        return logits


def judge(run: Path, group: ProcessGroup = ALONE) -> NDArray[np.float32]:
    """Probabilities of 997 images in 20 batches, which processes can't share evenly."""
    opened = fr.open_run(run)
    test = fr.open_dataset("sample").test
    assert test is not None
    network = opened.artifact.network(trust_code=True)
    images = test.subset(np.arange(997))
    return predict_dataset(network, images, opened.artifact.normalization, batch_size=50, group=group).probabilities


def train_normed(group: ProcessGroup = ALONE) -> dict[str, Tensor]:
    """The state after two batches of 60 and one of 1, of which only the first process has a part."""
    data = fr.open_dataset("sample").train.subset(np.arange(121))
    recipe = fr.Recipe(
        model="net",
        batch_size=60,
        weight_decay=0.5,
        validation=0,
        precision="float32",
        stages=(fr.Stage(epochs=1, lr=0.01),),
    )
    model_source = ModelSource("net", Normed, None)
    context = TrainContext(group=group)
    trained = fit_network(data, None, recipe, model_source, Normalization(100.0, 50.0), context)
    weights: dict[str, Tensor] = trained.model.state_dict()
    return weights


def threads() -> list[str]:
    """The names of this process's threads, those of PyTorch among them; none where there is no /proc."""
    return [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    with process_group() as together:
        np.save(f"rank{together.rank}.npy", judge(Path(sys.argv[1]), together))
        torch.save(train_normed(together), f"rank{together.rank}.pt")
    Path(f"rank{together.rank}.threads").write_text("\n".join(threads()))
