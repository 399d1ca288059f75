"""What a data set is, in figures: what ``fittingroom data info`` prints."""

from dataclasses import dataclass

from fittingroom.data.dataset import Dataset, Fingerprint
from fittingroom.data.fetch.known_sets import known_identity
from fittingroom.data.normalization import pixel_mean_std


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One part of a data set.

    Attributes:
        name: what messages call it.
        images: how many there are, of ``height`` by ``width`` pixels.
        channels: 1 for grey, 3 for RGB.
        images_dtype, labels_dtype: NumPy's names; ``labels_dtype`` is None for a set without labels.
        class_counts: images by class name, empty for a set without labels.
        low, high: the smallest and largest pixel, on the scale of 0–255.
        mean, sd: of all pixels, on the scale of 0–1; of colour, over the three channels together.
        fingerprint: of its images, labels and names.
        identity: the known set that it is, None where it is none.
    """

    name: str
    images: int
    height: int
    width: int
    channels: int
    images_dtype: str
    labels_dtype: str | None
    class_counts: dict[str, int]
    low: int
    high: int
    mean: float
    sd: float
    fingerprint: Fingerprint
    identity: str | None


def summary_of(dataset: Dataset) -> Summary:
    """Measure a data set; reads every pixel."""
    mean, sd = pixel_mean_std(dataset)
    height, width = dataset.image_size

    return Summary(
        name=dataset.name,
        images=len(dataset),
        height=height,
        width=width,
        channels=dataset.channels,
        images_dtype=str(dataset.images.dtype),
        labels_dtype=None if dataset.labels is None else str(dataset.labels.dtype),
        class_counts=dict(zip(dataset.classes, dataset.class_counts().tolist(), strict=True)),
        low=int(dataset.images.min()),
        high=int(dataset.images.max()),
        mean=mean / 255,
        sd=sd / 255,
        fingerprint=dataset.fingerprint,
        identity=known_identity(dataset),
    )
