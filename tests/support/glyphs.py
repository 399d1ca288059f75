"""Letters and digits in the fonts that Matplotlib ships: small pictures of many classes, which any machine can draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import fittingroom as fr

HELD_OUT = "AEGKQRabeg"  # ten classes that are kept from whatever is trained before
OTHERS = "".join(c for c in "BCDFHIJLMNOPSTUVWXYZcdfhijklmnopqrstuvwxyz0123456789&%?#" if c not in HELD_OUT)
PLAIN_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "cmr10", "cmss10", "cmtt10", "STIXGeneral")
SIDE = 32


def glyphs(characters: Sequence[str], each: int, *, seed: int, name: str = "glyphs") -> fr.Dataset:
    """Draw ``each`` pictures of every character, in fonts, sizes, places and angles by chance: uint8 (N, 32, 32)."""
    draw_from = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = sorted(file for file in folder.glob("*.ttf") if file.stem.startswith(PLAIN_FONTS))
    fonts = [file for file in fonts if "Display" not in file.stem]
    images, labels = [], []
    for label, character in enumerate(characters):
        for _ in range(each):
            font = ImageFont.truetype(str(fonts[draw_from.integers(len(fonts))]), int(draw_from.integers(16, 27)))
            picture = Image.new("L", (SIDE, SIDE), 0)
            where = tuple(SIDE / 2 + draw_from.uniform(-4, 4, 2))
            ImageDraw.Draw(picture).text(
                where, character, fill=int(draw_from.integers(120, 256)), font=font, anchor="mm"
            )
            picture = picture.rotate(float(draw_from.uniform(-25, 25)), resample=Image.Resampling.BILINEAR)
            noise = draw_from.normal(0, 12, (SIDE, SIDE))
            images.append(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
            labels.append(label)
    return fr.Dataset(np.stack(images), np.array(labels), tuple(characters), name)
