"""What is left of images that went through JPEG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def as_jpeg(images: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """uint8 (N, H, W) or (N, H, W, 3) of any N ≥ 1, each compressed by itself."""
    result = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        result.append(np.asarray(Image.open(file)))
    return np.stack(result)
