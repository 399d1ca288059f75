from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fittingroom as fr
from fittingroom.training.lone_image import lone_image


@pytest.mark.parametrize("count", [17, 1])
def test_an_image_alone_in_its_batch_is_learned_from(count: int, tmp_path: Path) -> None:
    """Images of 8×8 come out as 1×1, where batch norm has one value a channel of the last batch of 17 = 16 + 1."""
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8)
    data = fr.Dataset.from_arrays(images, np.arange(count) % 2)
    run = fr.train(data, "plain", epochs=1, batch_size=16, validation=0, threads=1, out=tmp_path / "run")
    assert fr.load(run).predict_proba(images).shape == (count, 2)


def test_statistics_stay_and_the_layer_learns_again_afterwards() -> None:
    norm = nn.BatchNorm1d(3)
    network = nn.Sequential(norm)
    with lone_image(network, 1):
        assert torch.allclose(network(torch.ones(1, 3)), torch.ones(1, 3), atol=1e-4)
    assert norm.training
    assert norm.running_mean is not None
    assert not norm.running_mean.any()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.ones(1, 3))  # nothing of it is left behind
