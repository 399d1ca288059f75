"""By what a data set is recognised, in whatever file format or row order it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 sums (64 hexadecimal digits each) by which a data set is recognised.

    Attributes:
        content: over the sorted hashes of (shape, pixels, class name); the same for every row order.
        images: over the sorted hashes of (shape, pixels); the same whatever the labels are.
        order: over the hashes of (shape, pixels, class name) in file order.
        sources: over the sorted hashes of the files' bytes, which no version of a decoder changes; None for arrays.
        sources_in_order: over the hashes of (file's bytes, class name) in file order; None for arrays.

    Example:
        >>> import fittingroom as fr
        >>> train = fr.open_dataset("sample").train
        >>> backwards = train.subset(range(len(train))[::-1])
        >>> backwards.fingerprint.content == train.fingerprint.content
        True
        >>> backwards.fingerprint.order == train.fingerprint.order
        False
    """

    content: str
    images: str
    order: str
    sources: str | None = None
    sources_in_order: str | None = None

    def is_of_images(self, other: Fingerprint) -> bool:
        """Whether both are of the same images: by the files where both sets were read from such, else by the pixels."""
        return same_images((self.images, self.sources), (other.images, other.sources))


def same_images(one: tuple[str, str | None], other: tuple[str, str | None]) -> bool:
    """Whether two pairs of fingerprints, of pixels and of files, are of one set of images.

    By the files where both have them: another version of a decoder may make other pixels of the same file.
    """
    both_have_files = one[1] is not None and other[1] is not None
    return one[1] == other[1] if both_have_files else one[0] == other[0]


def repeats_among(hashes: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """The rows whose hash came before, each with the first row that has it: int64 (R, 2), in file order."""
    order = np.argsort(hashes, kind="stable")
    is_first = np.concatenate([[True], hashes[order][1:] != hashes[order][:-1]])
    first_N = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    pairs = np.stack([order, first_N], axis=1)[~is_first]
    return np.asarray(pairs[np.argsort(pairs[:, 0], kind="stable")], np.int64)
