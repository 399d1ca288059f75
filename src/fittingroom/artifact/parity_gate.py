"""The gate that every exported form goes through: it has to say of thousands of images what the network says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.artifact.feature_space import rows_to_fit
from fittingroom.artifact.ood_score import MIN_IMAGES
from fittingroom.artifact.shipped import Shipped
from fittingroom.data.dataset import Dataset
from fittingroom.errors import ArtifactError
from fittingroom.evaluation.predictions import Predictions
from fittingroom.evaluation.threshold import Threshold, is_a_tie

TOLERANCE = 1e-4  # in probability
MEASURED = 1e-2  # how far an exported form's energies and residuals may be off, absolutely and as a share


class ExportError(ArtifactError):
    """The network has no exported form that agrees with it; the message has the reasons."""


@dataclass(frozen=True)
class ParityGate:
    """What an exported form has to agree with: the images, and the network's own answers to them.

    Energies and residuals are compared where there are validation images enough for a scale of them: nothing is made of
    them elsewhere, and the residuals of a handful of images are all rounding.
    """

    sets: tuple[Dataset, ...]
    expected: tuple[Predictions, ...]
    has_scale: bool = True
    held_out: Predictions | None = None
    held_out_set: Dataset | None = None
    threshold: Threshold | None = None

    @classmethod
    def of(
        cls, shipped: Shipped, train: Dataset, validation: Dataset | None, held_out: Predictions | None = None
    ) -> ParityGate:
        """5,000 images from all over ``train``, those of the feature space, and all of ``validation``.

        ``held_out`` is what others of its kind say of images that they didn't learn from, for a network without
        validation images.
        """
        rows = rows_to_fit(len(train)).numpy()
        sets, expected, held_out_set = [train.subset(rows)], [shipped.answer_rows(train, rows)], train
        if validation is not None:
            sets.append(validation)
            expected.append(shipped.answer(validation.images))
            held_out, held_out_set = expected[1], validation  # the network's own

        # of images that were trained on, energies and residuals are too low to compare others with
        has_scale = held_out is not None and len(held_out) >= MIN_IMAGES
        return cls(tuple(sets), tuple(expected), has_scale, held_out, held_out_set, shipped.threshold)

    def check(self, answer: Callable[[NDArray[np.uint8]], Predictions]) -> None:
        """Compare: probabilities within 1e-4, and equal labels.

        Labels may differ where the network's two largest probabilities differ by less than 1e-4, or one is as near to
        the threshold. The first image of each set goes through alone too, so that a batch of one is tried.

        Raises:
            ExportError: they differ; the message counts the images and names the first.
        """
        for dataset, expected in zip(self.sets, self.expected, strict=True):
            for part in (slice(0, 1), slice(None)):
                found = answer(dataset.images[part])
                _compare(found, expected.subset(part), dataset, self.threshold)
                if self.has_scale:
                    _compare_measurements(found, expected.subset(part), dataset)


def _compare(
    exported: Predictions, expected: Predictions, dataset: Dataset, threshold: Threshold | None = None
) -> None:
    largest_N = np.abs(exported.probabilities - expected.probabilities).max(axis=1)

    # Where two classes are as probable as each other, rounding decides: either label is right.
    is_tie_N = is_a_tie(expected.probabilities, threshold, TOLERANCE)
    agrees_N = (largest_N <= TOLERANCE) & ((exported.predicted == expected.predicted) | is_tie_N)  # false for NaN
    if agrees_N.all():
        return

    row = int(agrees_N.argmin())
    raise ExportError(
        f"the network's probabilities within {TOLERANCE:g} expected; on {np.count_nonzero(~agrees_N):,} of "
        f"{len(agrees_N):,} images of {dataset.name} they differ, first at row {row:,} by {largest_N[row]:.2g}: "
        f"{dataset.classes[expected.predicted[row]]} expected, {dataset.classes[exported.predicted[row]]} found"
    )


def _compare_measurements(exported: Predictions, expected: Predictions, dataset: Dataset) -> None:
    """The scale is made of the network's own energies and residuals, so the exported form has to give the same."""
    for name in ("energies", "residuals"):
        found_N, expected_N = getattr(exported, name), getattr(expected, name)
        if expected_N is None:
            continue
        agrees_N = np.isclose(found_N, expected_N, rtol=MEASURED, atol=MEASURED, equal_nan=True)
        if not agrees_N.all():
            row = int(agrees_N.argmin())
            raise ExportError(
                f"the network's {name} within {MEASURED:.0%} expected; on {np.count_nonzero(~agrees_N):,} of "
                f"{len(agrees_N):,} images of {dataset.name} they differ, first at row {row:,}: "
                f"{expected_N[row]:.4g} expected, {found_N[row]:.4g} found"
            )
