"""What a run's network sees in images: the features that enter its last linear layer, scaled to length 1.

The same ones that the out-of-distribution score is measured in: of features of length 1, the nearest by Euclid's
distance is the nearest by the cosine.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fittingroom.artifact.artifact import Artifact
from fittingroom.artifact.feature_space import FeatureTap, unit_length
from fittingroom.errors import ArtifactError
from fittingroom.models.tensors import as_tensor, normalize
from fittingroom.training.inference import batch_size_for


class FeatureReader:
    """Reads the features of any number of images, batch by batch, in float32 on the CPU.

    Args:
        artifact: the trained model.
        trust_code: permits executing the source that the user's own network came with.

    Raises:
        ArtifactError: the network has no features to read, or can't be opened.
    """

    def __init__(self, artifact: Artifact, *, trust_code: bool = False):
        self._normalization = artifact.normalization
        self._network = artifact.network(trust_code=trust_code)
        self.batch_size = batch_size_for(artifact.image_size)

        colours = (3,) if artifact.channels == 3 else ()
        example = torch.zeros(2, *artifact.image_size, *colours, dtype=torch.uint8)
        self._tap = FeatureTap(self._network, self._normalized(example))
        if self._tap.features is None:
            raise ArtifactError(
                f"{artifact.path}: a network whose last linear layer takes one row of features for each image expected "
                f"for a map; model {artifact.model} has none: write the report without it"
            )

    @torch.inference_mode()
    def read(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 (N, H, W[, 3]) → float32 (N, F), each of length 1."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            batch = as_tensor(np.ascontiguousarray(images[start : start + self.batch_size]))
            self._network(self._normalized(batch))
            parts.append(unit_length(self._tap.take()))
        return torch.cat(parts)

    def _normalized(self, images: Tensor) -> Tensor:
        return normalize(images, self._normalization.mean, self._normalization.std)


def nearest_rows(
    reader: FeatureReader, queries: NDArray[np.uint8], images: NDArray[np.uint8], count: int
) -> NDArray[np.int64]:
    """The ``count`` nearest of N images for each of Q queries: int64 (Q, count), the nearest first.

    No more than a batch of images is looked at at a time, whatever N is.

    Args:
        reader: of the network by whose features it goes.
        queries, images: uint8 (Q, H, W[, 3]) and (N, H, W[, 3]).
        count: at most N are given.
    """
    queries_QF = reader.read(queries)
    cosines_QK, rows_QK = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(images), reader.batch_size):
        batch_BF = reader.read(images[start : start + reader.batch_size])
        rows_QB = torch.arange(start, start + len(batch_BF)).expand(len(queries), -1)

        # The nearest so far come first, so that a stable sort leaves equal ones in the order of the images.
        both = torch.cat([cosines_QK, queries_QF @ batch_BF.T], dim=1)
        cosines_QK, order = both.sort(dim=1, descending=True, stable=True)
        cosines_QK, order = cosines_QK[:, :count], order[:, :count]
        rows_QK = torch.cat([rows_QK, rows_QB], dim=1).gather(1, order)
    return np.asarray(rows_QK.numpy())
