"""Does an image look like anything that the model was trained on? An out-of-distribution score, and its scale.

The score is made of the energy of Liu, Wang, Owens and Li 2020 (arXiv 2010.03759), ``-log Σ exp(logits)``: low where
some class is strongly supported, high where none is. What is high for a model is read off its validation images.
JSON and files call the score ``doubt``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FALSE_ALARMS = 0.05  # the share of images like those of the training that is flagged


@dataclass(frozen=True)
class OodScale:
    """Turns energies into scores, 0 to 1: the share of the validation images whose energy is lower.

    Attributes:
        percentiles: of the energy on the validation images, the 0th to the 100th: 101 numbers, ascending.
        n: validation images that they were measured on.
    """

    percentiles: tuple[float, ...]
    n: int

    @classmethod
    def of(cls, energies_N: NDArray[np.float32]) -> OodScale:
        """The scale by the energies of validation images, (N,) with N ≥ 1, none of which was trained on."""
        return cls(tuple(np.percentile(energies_N, range(101)).tolist()), len(energies_N))

    def scores(self, energies_N: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 (N,). An energy outside of all that validation showed is 0 or 1; one that is not a number is 1."""
        scores_N = np.interp(energies_N, self.percentiles, np.linspace(0, 1, len(self.percentiles)))
        return np.where(np.isnan(energies_N), 1.0, scores_N)


def is_out_of_distribution(scores_N: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an image is unlike the training images, by its score: bool (N,), at 5 % false alarms."""
    flags_N: NDArray[np.bool_] = scores_N > 1 - FALSE_ALARMS
    return flags_N
