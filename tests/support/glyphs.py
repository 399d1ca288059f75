"""Letters and digits in the fonts that Matplotlib ships: small pictures of many classes, which any machine can draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import fittingroom as fr

HELD_OUT = "AEGKQRabeg"  # ten classes that are kept from whatever is trained before
OTHERS = "".join(c for c in "BCDFHIJLMNOPSTUVWXYZcdfhijklmnopqrstuvwxyz0123456789&%?#" if c not in HELD_OUT)
PLAIN_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "cmr10", "cmss10", "cmtt10", "STIXGeneral")
SIDE = 32


def glyphs(characters: Sequence[str], each: int, *, seed: int, name: str = "glyphs") -> fr.Dataset:
    """Draw ``each`` pictures of every character, in fonts, sizes, places and angles by chance: uint8 (N, 32, 32)."""
    draw_from, fonts = np.random.default_rng(seed), _fonts()
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


def letters_in_photos(
    characters: Sequence[str], each: int, *, seed: int, name: str = "letters in photos"
) -> fr.Dataset:
    """Draw ``each`` pictures of every character as a photo of a sign shows it: uint8 (N, 32, 32, 3).

    The same fonts; ground, colours, size, place, slant, light and sharpness are by chance. The ground is a piece of
    one of scikit-learn's two photographs, and the letter is lighter or darker than it.
    """
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    draw_from, fonts = np.random.default_rng(seed), _fonts()
    images, labels = [], []
    for label, character in enumerate(characters):
        for _ in range(each):
            photo = photos[int(draw_from.integers(len(photos)))]
            side = int(draw_from.integers(SIDE, 4 * SIDE))
            left, top = (int(draw_from.integers(length - side)) for length in photo.size)
            ground = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BOX)
            picture = Image.composite(_ink(ground, draw_from), ground, _letter(character, fonts, draw_from))
            picture = picture.filter(ImageFilter.GaussianBlur(float(draw_from.uniform(0, 0.8))))
            light = draw_from.uniform(0.6, 1.2)
            levels = np.asarray(picture) * light + draw_from.normal(0, 8, (SIDE, SIDE, 3))
            images.append(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
            labels.append(label)
    return fr.Dataset(np.stack(images), np.array(labels), tuple(characters), name)


def _letter(character: str, fonts: Sequence[Path], draw_from: np.random.Generator) -> Image.Image:
    """Where the character lies, as a mask: drawn at twice the size, slanted, turned, and made small."""
    font = ImageFont.truetype(str(fonts[int(draw_from.integers(len(fonts)))]), 2 * int(draw_from.integers(14, 27)))
    mask = Image.new("L", (2 * SIDE, 2 * SIDE), 0)
    x, y = SIDE + 2 * draw_from.uniform(-5, 5, 2)
    ImageDraw.Draw(mask).text((x, y), character, fill=255, font=font, anchor="mm")
    slant = draw_from.uniform(-0.25, 0.25)
    mask = mask.transform(mask.size, Image.Transform.AFFINE, (1, slant, -slant * SIDE, 0, 1, 0))
    mask = mask.rotate(float(draw_from.uniform(-25, 25)), resample=Image.Resampling.BILINEAR)
    return mask.resize((SIDE, SIDE), Image.Resampling.BOX)


def _ink(ground: Image.Image, draw_from: np.random.Generator) -> Image.Image:
    """One colour, which stands out by 60 grey levels or more from the mean of the ground."""
    mean = float(np.asarray(ground.convert("L")).mean())
    while True:
        colour = tuple(int(level) for level in draw_from.integers(0, 256, 3))
        ink = Image.new("RGB", ground.size, colour)
        if abs(np.asarray(ink.convert("L"))[0, 0] - mean) >= 60:
            return ink


def _fonts() -> list[Path]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = sorted(file for file in folder.glob("*.ttf") if file.stem.startswith(PLAIN_FONTS))
    return [file for file in fonts if "Display" not in file.stem]
