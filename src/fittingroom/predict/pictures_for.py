"""What has to be known of a model to make pictures ready for it."""

from __future__ import annotations

from typing import Protocol

from fittingroom.artifact.artifact import Artifact
from fittingroom.data.preprocessing import FORMATS, SeenPicture


class SeesPictures(Protocol):
    """A model that pictures are made ready for: :class:`fittingroom.Classifier` is one."""

    @property
    def artifact(self) -> Artifact:
        """What it is."""

    @property
    def background(self) -> int | tuple[int, int, int]:
        """What is around the things in its training images, 0–255."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image: (H, W), or (H, W, 3) in colour."""

    def see(self, content: bytes, where: str, *, formats: tuple[str, ...] = FORMATS, look: bool = False) -> SeenPicture:
        """The bytes of a picture file → the image that it takes, with the picture's own size."""
