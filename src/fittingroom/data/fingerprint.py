"""What a data set is recognised by, in whatever file format or row order it comes.

SHA-256 sums over one hash for each image.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


def fingerprint_of(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    classes: Sequence[str],
    sources: Sequence[bytes] | None,
) -> tuple[Fingerprint, NDArray[np.int64]]:
    """The fingerprints of what a :class:`fittingroom.Dataset` holds, and which images are there again.

    Returns:
        The fingerprints, and :func:`repeats_among` of the images, which have all been hashed for them.
    """
    names = [name.encode("utf-8", "surrogateescape") for name in classes]

    # lists would take four times as much memory
    of_images, content = np.empty(len(images), "S32"), np.empty(len(images), "S32")
    for row, digest in enumerate(digests_of(images)):
        of_images[row] = digest.digest()
        if labels is not None:
            digest.update(names[labels[row]])
        content[row] = digest.digest()
    repeats = repeats_among(of_images)

    # sorted, the hashes no longer tell the order of the file
    order = hashlib.sha256(content.data)
    of_images.sort()
    content.sort()
    of_sources = {} if sources is None else _of_sources(sources, labels, names)
    return Fingerprint(
        content=hashlib.sha256(content.data).hexdigest(),
        images=hashlib.sha256(of_images.data).hexdigest(),
        order=order.hexdigest(),
        **of_sources,
    ), repeats


def _of_sources(sources: Sequence[bytes], labels: NDArray[np.int64] | None, names: Sequence[bytes]) -> dict[str, str]:
    named = [b""] * len(sources) if labels is None else [names[label] for label in labels.tolist()]
    in_order = hashlib.sha256()
    for source, name in zip(sources, named, strict=True):
        in_order.update(hashlib.sha256(source + name).digest())
    of_images = hashlib.sha256(b"".join(sorted(sources)))
    return {"sources": of_images.hexdigest(), "sources_in_order": in_order.hexdigest()}


def hashes_of(images: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """The SHA-256 of (shape, pixels) of each image, in file order: S32 (N,)."""
    hashes = np.empty(len(images), "S32")
    for row, digest in enumerate(digests_of(images)):
        hashes[row] = digest.digest()
    return hashes


def digests_of(images: NDArray[np.uint8]) -> Iterator[hashlib._Hash]:
    """Yield a SHA-256 object for each image, fed with ``HxW:``, or ``HxWx3:``, and the pixels."""
    shape = hashlib.sha256(("x".join(map(str, images.shape[1:])) + ":").encode())
    values_per_image = math.prod(images.shape[1:])
    values = images.reshape(-1).data
    for start in range(0, len(values), values_per_image):
        digest = shape.copy()
        digest.update(values[start : start + values_per_image])
        yield digest
