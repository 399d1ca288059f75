"""Real sets of 50–5,000 small images, made from packages: what recipes for small sets are chosen and judged on.

    python benchmarks/small_sets.py OUT [NAME …]

Writes OUT/NAME.npz for each: ``images`` uint8 (N, H, W[, 3]), ``labels`` int64 (N,), ``classes``, and ``groups`` int64
(N,), whose images lie on one side of every cut. Nothing of it is chosen by hand.

| set | what | from |
| --- | --- | --- |
| clothes-100, -1000, -4000 | Fashion-MNIST's training images | Debian's dataset-fashion-mnist |
| digits | handwritten digits of 8×8 | scikit-learn |
| cyrillic | 33 capital letters, a font's faces on one side | Debian's fonts-dejavu-*, fonts-liberation |
| emoji | emoji by Unicode's groups | Debian's fonts-noto-color-emoji, unicode-data |
| flags | 40 flags, seen askew, near and far, in any light | fonts-noto-color-emoji |
| icons | icons by what they stand for | Debian's oxygen-icon-theme |
| folders | folders in 26 colours, by the sign on them | Debian's papirus-icon-theme, librsvg2-bin |
| faces | faces and no faces of 25×25 | scikit-image (lfw_subset) |
| textures | brick, grass, gravel, coins and others, halves of one photo on two sides | scikit-image, scikit-learn |
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SetOf = tuple[NDArray[np.uint8], list[str], list[str]]  # images, the class of each, the group of each ("" for none)

JUDGED = 1_000  # images that a repeat is judged on, at most
TRAIN_GROUPS = {"cyrillic": 6, "textures": 1}  # of families, of halves
OF_EACH_CLASS = {"textures": 12}
TRAIN = {  # images that a repeat learns from
    "clothes-100": 100,
    "clothes-1000": 1_000,
    "clothes-4000": 4_000,
    "digits": 300,
    "faces": 100,
    "emoji": 800,
    "icons": 800,
    "flags": 200,
    "folders": 200,
}

EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_TEST = Path("/usr/share/unicode/emoji/emoji-test.txt")
STRIKE = 109  # the one size in pixels that the font has
FONTS = Path("/usr/share/fonts/truetype")
OXYGEN = Path("/usr/share/icons/oxygen/base/48x48")
PAPIRUS = Path("/usr/share/icons/Papirus/64x64/places")
FLAGS = (
    "AR AU AT BE BR CA CL CN CO CZ DK EG FI FR DE GR HU IN ID IE "
    "IL IT JP KE MX NL NZ NO PL PT RO RU ZA KR ES SE CH TR UA GB"
)


def make(name: str) -> SetOf:
    """All images of a set, with the class and the group of each."""
    return MAKERS[name]()


def cut(folder: Path, name: str, repeat: int) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray], list[str]]:
    """(images, labels) to learn from, the same to be judged on, and the classes; other ones for each repeat."""
    kept = np.load(folder / f"{name}.npz")
    labels_N, group_N = kept["labels"], kept["groups"]
    random = np.random.default_rng([repeat, *name.encode()])

    groups = random.permutation(np.unique(group_N))
    if len(groups) < len(group_N):
        learned = np.isin(group_N, groups[: TRAIN_GROUPS[name]])
        train, judged = random.permutation(np.flatnonzero(learned)), random.permutation(np.flatnonzero(~learned))
        if most := OF_EACH_CLASS.get(name):
            train = np.concatenate([train[labels_N[train] == label][:most] for label in np.unique(labels_N)])
    else:
        # as many of each class as the set has of it, and one at least
        rows = random.permutation(len(labels_N))
        place_N = np.empty(len(rows))
        for label in np.unique(labels_N):
            of = rows[labels_N[rows] == label]
            place_N[of] = np.arange(len(of)) / len(of)
        order = np.lexsort((random.random(len(rows)), place_N))
        train, judged = order[: TRAIN[name]], random.permutation(order[TRAIN[name] :])
    judged = judged[:JUDGED]
    images = kept["images"]
    return (images[train], labels_N[train]), (images[judged], labels_N[judged]), kept["classes"].tolist()


def _clothes(count: int) -> Callable[[], SetOf]:
    def made() -> SetOf:
        import fittingroom as fr

        train = fr.open_dataset("fashion-mnist").train
        rows = np.random.default_rng(count).permutation(len(train))[: count + 6_000]
        assert train.labels is not None
        return train.images[rows], [train.classes[label] for label in train.labels[rows]], [""] * len(rows)

    return made


def _digits() -> SetOf:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return images, [str(label) for label in digits.target], [""] * len(images)


def _cyrillic() -> SetOf:
    letters = "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
    images, names, groups = [], [], []
    for path in sorted(FONTS.rglob("*.ttf")):
        if path.parent.name not in ("dejavu", "liberation") or "Math" in path.name:
            continue
        font = ImageFont.truetype(str(path), 24)
        drawn = []
        for letter in letters:
            picture = Image.new("L", (32, 32), 255)
            ImageDraw.Draw(picture).text((16, 16), letter, font=font, fill=0, anchor="mm")
            drawn.append(np.asarray(picture))
        images += drawn
        names += letters
        groups += [path.stem.partition("-")[0]] * len(letters)
    return np.stack(images), names, groups


def _emoji_picture(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    picture = Image.new("RGBA", (136, 128), "white")
    ImageDraw.Draw(picture).text((0, 0), text, font=font, embedded_color=True)
    return picture.convert("RGB")


def _emoji() -> SetOf:
    font = ImageFont.truetype(EMOJI_FONT, STRIKE)
    images, names, seen, group = [], [], set(), ""
    for line in EMOJI_TEST.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.partition(":")[2].strip()
        match = re.match(r"([0-9A-F ]+?)\s*; fully-qualified", line)
        codes = [] if match is None else [int(code, 16) for code in match[1].split()]

        # one skin tone, nobody twice as man and woman, and no flags, which are a set of their own
        if not codes or 0x200D in codes or any(0x1F3FB <= code <= 0x1F3FF for code in codes):
            continue
        if group in ("Component", "Flags"):
            continue
        small = _emoji_picture("".join(map(chr, codes)), font).resize((32, 32), Image.Resampling.BOX)
        if small.tobytes() not in seen:
            seen.add(small.tobytes())
            images.append(np.asarray(small))
            names.append(group)
    return np.stack(images), names, [""] * len(images)


def _flags() -> SetOf:
    font = ImageFont.truetype(EMOJI_FONT, STRIKE)
    random = np.random.default_rng(40)
    images, names = [], []
    for country in FLAGS.split():
        flag = _emoji_picture("".join(chr(0x1F1E6 + ord(letter) - ord("A")) for letter in country), font)
        for _ in range(20):
            images.append(_seen_somewhere(flag, random))
            names.append(country)
    return np.stack(images), names, [""] * len(images)


def _seen_somewhere(flag: Image.Image, random: np.random.Generator) -> NDArray[np.uint8]:
    """A flag on a ground of any colour, turned, near or far, askew, in another light, with noise: uint8 (40, 40, 3)."""
    ground = tuple(int(level) for level in random.integers(0, 256, 3))
    size = round(40 * random.uniform(0.6, 1.0))
    flag = flag.resize((size, round(size * 0.94)), Image.Resampling.BOX).convert("RGBA")
    shear = random.uniform(-0.2, 0.2)
    flag = flag.transform(flag.size, Image.Transform.AFFINE, (1, shear, -shear * size / 2, 0, 1, 0), fillcolor=(0,) * 4)
    flag = flag.rotate(random.uniform(-25, 25), Image.Resampling.BILINEAR, expand=True)
    picture = Image.new("RGB", (40, 40), ground)
    place = tuple(int((40 - side) / 2 + random.integers(-4, 5)) for side in flag.size)
    picture.paste(flag, place, flag)
    light = random.uniform(0.5, 1.3) * random.uniform(0.85, 1.15, 3)
    levels = np.asarray(picture) * light + random.normal(0, 8, (40, 40, 3))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _icons() -> SetOf:
    images, names, seen = [], [], set()
    for folder in ("actions", "apps", "devices", "mimetypes", "places", "status"):
        for path in sorted((OXYGEN / folder).glob("*.png")):
            icon = Image.open(path).convert("RGBA")
            if icon.size != (48, 48):
                continue
            picture = Image.new("RGB", icon.size, "white")
            picture.paste(icon, (0, 0), icon)
            if picture.tobytes() not in seen:
                seen.add(picture.tobytes())
                images.append(np.asarray(picture))
                names.append(folder)
    return np.stack(images), names, [""] * len(images)


def _folders() -> SetOf:
    found: dict[str, dict[str, Path]] = {}
    for path in PAPIRUS.glob("folder-*-*.svg"):
        _, colour, kind = path.stem.split("-", 2)
        found.setdefault(kind, {})[colour] = path
    colours = set.intersection(*(set(paths) for paths in found.values() if len(paths) > 20))
    kinds = sorted(kind for kind, paths in found.items() if colours <= set(paths))

    # signs that are drawn for another name as well are one class
    images, names, seen = [], [], set()
    for kind in kinds:
        source = found[kind][min(colours)].resolve()
        if source in seen:
            continue
        seen.add(source)
        for colour in sorted(colours):
            command = ["rsvg-convert", "-w", "48", "-h", "48", "-b", "white", str(found[kind][colour])]
            png = subprocess.run(command, check=True, capture_output=True).stdout
            images.append(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))
            names.append(kind)
        if len(seen) == 24:
            break
    return np.stack(images), names, [""] * len(images)


def _pictures_of_scikit_image() -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        sys.exit("scikit-image has the pictures: pip install scikit-image, or put its wheel on PYTHONPATH")
    return Path(spec.origin).parent / "data"


def _faces() -> SetOf:
    images = np.load(_pictures_of_scikit_image() / "lfw_subset.npy")  # 100 faces, then 100 patches without one
    names = ["face"] * 100 + ["none"] * 100
    return np.rint(images * 255).astype(np.uint8), names, [""] * 200


def _textures() -> SetOf:
    from sklearn.datasets import load_sample_images

    folder = _pictures_of_scikit_image()
    names = [
        "brick",
        "grass",
        "gravel",
        "coins",
        "hubble_deep_field",
        "ihc",
        "moon",
        "page",
        "astronaut",
        "chelsea",
        "coffee",
    ]
    photos = {name: Image.open(next(folder.glob(f"{name}.*"))).convert("RGB") for name in names}
    photos |= dict(zip(("temple", "flower"), map(Image.fromarray, load_sample_images().images), strict=True))

    random = np.random.default_rng(40)
    images, labels, groups = [], [], []
    for name, photo in photos.items():
        pixels = np.asarray(photo)
        for side in (0, 1):
            half = pixels[:, : pixels.shape[1] // 2] if side == 0 else pixels[:, pixels.shape[1] // 2 :]
            for _ in range(60):
                y, x = random.integers(0, half.shape[0] - 40), random.integers(0, half.shape[1] - 40)
                images.append(half[y : y + 40, x : x + 40])
                labels.append(name)
                groups.append(str(side))
    return np.stack(images), labels, groups


MAKERS: dict[str, Callable[[], SetOf]] = {
    "clothes-100": _clothes(100),
    "clothes-1000": _clothes(1_000),
    "clothes-4000": _clothes(4_000),
    "digits": _digits,
    "cyrillic": _cyrillic,
    "emoji": _emoji,
    "flags": _flags,
    "icons": _icons,
    "folders": _folders,
    "faces": _faces,
    "textures": _textures,
}


def main(arguments: list[str]) -> None:
    """Make the sets named, or all."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or MAKERS:
        images, names, groups = make(name)
        classes = sorted(set(names))
        labels = np.array([classes.index(each) for each in names], np.int64)
        known = sorted(set(groups))
        group_N = np.array([known.index(each) for each in groups]) if len(known) > 1 else np.arange(len(images))
        np.savez(folder / f"{name}.npz", images=images, labels=labels, classes=classes, groups=group_N)
        print(f"{name}: {len(images)} images {images.shape[1:]}, {len(classes)} classes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
