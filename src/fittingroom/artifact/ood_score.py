"""Does an image look like anything that the model was trained on? An out-of-distribution score, and its scale.

Two measurements go into it, both high where an image is strange. The energy of Liu, Wang, Owens and Li 2020
(arXiv 2010.03759), ``-log Σ exp(logits)``, is low where some class is strongly supported. The residual,
:mod:`fittingroom.artifact.feature_space`, is how far the network's features are from those of the training images.

What is high for a model is read off its validation images: each measurement becomes the share of them that is at least
as strange, a mean of the two shares joins them (Vovk and Wang 2020, arXiv 1212.4966), and that is ranked among those of
the validation images once more. This rank is ``typical``. Where groups are known it is that among as many images as
there are groups, as those of a group, or copies of one, are strange together. Of means to a power, the exponent 0 adds
up evidence, as Fisher's method does, and -∞ takes the stranger of the two; exponent and weights were chosen on
validation images, as ``benchmarks/log.md`` tells. Files of before 0.2 have the energy alone.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FALSE_ALARMS = 0.05  # the share of images like those of the training that is flagged
STRONG = 0.01  # the share of them that is said to be unlike the training images
MIN_IMAGES = 100  # fewer validation images can't show what 1 in 100 is
MAX_IMAGES = 10**7
EXPONENT = -0.25
RESIDUAL_WEIGHT = 2.0  # beside the energy's 1
KEPT = 500  # of the strangest values, and as many of the others

Level = Literal["usual", "somewhat unusual", "unlike the training images"]


@dataclass(frozen=True, eq=False)
class Ranks:
    """The ranks of one measurement: how many of the validation images are at least as strange as a value.

    Attributes:
        values: float32, falling, the strangest first: all, or of many the strangest and a choice of the rest.
        n: validation images that they were measured on.
    """

    values: NDArray[np.float32]
    n: int

    @classmethod
    def of(cls, values_N: NDArray[np.floating[Any]]) -> Ranks:
        """The ranks of the values of all the validation images, (N,); one that is not a number is the strangest."""
        falling_N = -np.sort(-np.where(np.isnan(values_N), np.inf, values_N).astype(np.float32))
        return cls(falling_N[_kept_of(len(falling_N))], len(falling_N))

    def at_least(self, values_N: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How many validation images are at least as strange, float64 (N,): exact among the strangest 5%."""
        values_N = np.where(np.isnan(values_N), np.inf, values_N).astype(np.float32)
        found: NDArray[np.float64] = self.counts[np.searchsorted(self._rising, -values_N, side="right")]
        return found

    @cached_property
    def _rising(self) -> NDArray[np.float32]:
        return -self.values

    @cached_property
    def counts(self) -> NDArray[np.float64]:
        """0, then how many validation images there are up to and including each value that was kept."""
        counts: NDArray[np.float64] = np.r_[0.0, _kept_of(self.n) + 1]
        return counts

    def to_text(self) -> str:
        """The values as base64 of little-endian float32."""
        return base64.b64encode(self.values.astype("<f4").tobytes()).decode()

    @classmethod
    def from_text(cls, text: str, n: int) -> Ranks:
        """The reverse of :meth:`to_text`. Raises ValueError for what isn't that."""
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
        if len(values) != len(_kept_of(n)) or np.isnan(values).any() or (np.diff(values) > 0).any():
            raise ValueError(f"falling values of {n:,} validation images expected")
        return cls(values, n)


@dataclass(frozen=True, eq=False)
class OodScale:
    """Turns measurements into ``typical``: how strange an image is among the validation images.

    Attributes:
        n: validation images that it was made of, ≥ 100.
        energy: their energies.
        residual: their residuals; None for a network that has no features to measure, and in files of before 0.2.
        joined: of both together; None with ``residual``.
        groups: of which the images are, one in none counted as one; 0 where no two are of one.
    """

    n: int
    energy: Ranks
    residual: Ranks | None = None
    joined: Ranks | None = None
    groups: int = 0

    @classmethod
    def of(
        cls, energies_N: NDArray[np.float32], residuals_N: NDArray[np.float32] | None = None, *, groups: int = 0
    ) -> OodScale | None:
        """The scale by the measurements of validation images, (N,), none of which was trained on.

        ``groups`` is the number of their groups, where any two are of one. None for fewer than 100 images: they can't
        show what is rare.
        """
        n = len(energies_N)
        if n < MIN_IMAGES:
            return None
        energy = Ranks.of(energies_N)
        if residuals_N is None:
            return cls(n, energy, groups=groups)

        # Each counts itself among those that are at least as strange, as a new image does.
        residual = Ranks.of(residuals_N)
        strangeness_N = _joined(energy.at_least(energies_N), residual.at_least(residuals_N), n)
        return cls(n, energy, residual, Ranks.of(strangeness_N), groups)

    def typical(
        self, energies_N: NDArray[np.float32], residuals_N: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        """(k + 1)/(n + 1), k the validation images that are at least as strange: float64 (N,), above 0 and up to 1.

        Of images in g groups it is (kg/n + 1)/(g + 1), as if each group were one.
        A conformal p-value (Bates, Candès, Lei, Romano and Sesia 2023): of images like those of validation, at most one
        in twenty has 0.05 or less. What is not a number is the strangest there is.
        """
        at_least_N = self.energy.at_least(energies_N)
        if self.residual is not None and self.joined is not None and residuals_N is not None:
            beside_N = self.residual.at_least(residuals_N)
            at_least_N = self.joined.at_least(_joined(at_least_N + 1, beside_N + 1, self.n))
        units = self.groups or self.n
        return (at_least_N * units / self.n + 1) / (units + 1)

    def to_json(self) -> dict[str, Any]:
        """The scale for the metadata of a file."""
        ranks = {"energy": self.energy, "residual": self.residual, "joined": self.joined}
        of_groups = {"groups": self.groups} if self.groups else {}
        return {"n": self.n} | of_groups | {key: value.to_text() for key, value in ranks.items() if value is not None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> OodScale | None:
        """The reverse of :meth:`to_json`; of 0.1's percentiles of the energy too. None for too few images.

        Raises KeyError, TypeError or ValueError for what others wrote.
        """
        n, groups = values["n"], values.get("groups", 0)
        if type(n) is not int or type(groups) is not int:  # a stranger's file may say anything
            raise TypeError("whole numbers of validation images and groups expected")
        if n < MIN_IMAGES:
            return None
        if n > MAX_IMAGES:
            raise ValueError(f"at most {MAX_IMAGES:,} validation images expected, {n:,} found")
        if "percentiles" in values:
            return cls(n, _ranks_of_percentiles(values["percentiles"], n))
        ranks = {key: Ranks.from_text(values[key], n) for key in ("energy", "residual", "joined") if key in values}
        if not 0 <= groups <= n:
            raise ValueError(f"groups of {n:,} validation images expected, {groups:,} found")
        return cls(n, **ranks, groups=groups)


def level_of(typical: float) -> Level:
    """What ``typical`` comes to in words."""
    if typical > FALSE_ALARMS:
        return "usual"
    return "somewhat unusual" if typical > STRONG else "unlike the training images"


def explained(typical: float, n: int) -> str | None:
    """A sentence on an image that is not usual, without its full stop; None for a usual one.

    Args:
        typical: of the image.
        n: validation images.
    """
    level = level_of(typical)
    if level == "usual":
        return None
    rare = "1 in 20" if level == "somewhat unusual" else "1 in 100"
    return f"{level}: fewer than {rare} of the {n:,} validation images are as strange (typical {typical:.2g})"


def is_out_of_distribution(typical_N: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an image is flagged, by ``typical``: bool (N,), at 5% false alarms."""
    flags_N: NDArray[np.bool_] = typical_N <= FALSE_ALARMS
    return flags_N


def _joined(
    energy_at_least_N: NDArray[np.float64], residual_at_least_N: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """How strange by both, of how many images are at least as strange by each, the image itself included."""
    energy_N, residual_N = (energy_at_least_N / (n + 1)) ** EXPONENT, (residual_at_least_N / (n + 1)) ** EXPONENT
    joined_N: NDArray[np.float64] = energy_N + RESIDUAL_WEIGHT * residual_N
    return joined_N


def _kept_of(n: int) -> NDArray[np.int64]:
    """Which of ``n`` falling values a scale keeps: the strangest one by one, as they decide, and some of the others."""
    strangest = min(n, max(KEPT, n // 16))
    rest = np.linspace(strangest, n - 1, min(KEPT, n - strangest)).round().astype(np.int64)
    return np.concatenate([np.arange(strangest, dtype=np.int64), rest])


def _ranks_of_percentiles(percentiles: Sequence[float], n: int) -> Ranks:
    """The ranks that 101 rising percentiles of a file of before 0.2 stand for."""
    rising = np.asarray(percentiles, dtype=np.float64)
    if rising.shape != (101,) or np.isnan(rising).any() or (np.diff(rising) < 0).any():
        raise ValueError("101 rising percentiles expected")
    at = 1 - _kept_of(n) / max(1, n - 1)
    return Ranks(np.interp(at, np.linspace(0, 1, 101), rising).astype(np.float32), n)
