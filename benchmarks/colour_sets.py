"""Two sets of small colour pictures, made of what Debian packages bring, to choose recipes on.

    python benchmarks/colour_sets.py emoji OUT    # fonts-noto-color-emoji, unicode-data: 3,600 emoji, 9 groups
    python benchmarks/colour_sets.py icons OUT    # oxygen-icon-theme, papirus-icon-theme, librsvg2-bin: 6 contexts

Both are cut by ``train``; nothing here is a test set. What was measured on them stands in benchmarks/log.md.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

EMOJI_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI_LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
FONT_SIZE = 109  # the only one that the font has
ICONS = Path("/usr/share/icons")
CONTEXTS = ("actions", "apps", "devices", "mimetypes", "places", "status")
MOST = 1800  # icons of a context of one theme: Papirus alone has 3,600 of programs


def make_emoji(out: Path) -> int:
    """Every fully qualified emoji as a PNG of 64×64 with transparent ground, in the folder of its group."""
    font = ImageFont.truetype(EMOJI_FONT, FONT_SIZE)
    group, count = "", 0
    for line in EMOJI_LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = re.sub(r"[^a-z]+", "-", line.split(":")[1].strip().lower())
        if "; fully-qualified" not in line:
            continue
        points = line.split(";")[0].split()
        text = "".join(chr(int(point, 16)) for point in points)
        if round(font.getlength(text)) != round(font.getlength("😀")):
            continue  # a sequence that this font has no picture of

        picture = Image.new("RGBA", (136, 136))
        ImageDraw.Draw(picture).text((0, 4), text, font=font, embedded_color=True)
        if picture.getbbox() is None:
            continue
        file = out / group / f"{'-'.join(points).lower()}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((64, 64), Image.Resampling.BOX).save(file)
        count += 1
    return count


def make_icons(out: Path) -> int:
    """Icons of two themes as PNGs with transparent ground, in the folder of their context; equal ones once."""
    sources = [("oxygen", ICONS / "oxygen/base/48x48", "*.png"), ("papirus", ICONS / "Papirus/64x64", "*.svg")]
    seen, count = set(), 0
    for theme, folder, pattern in sources:
        for context in CONTEXTS:
            files = [file for file in sorted((folder / context).glob(pattern)) if not file.is_symlink()]
            if context == "places":  # the same folder in each of fifty colours
                files = [file for file in files if not re.match(r"(user|folder)-[a-z]+-", file.name)]
            random.Random(0).shuffle(files)
            for source in files[:MOST]:
                file = out / context / f"{theme}-{source.stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix == ".svg":
                    command = ["rsvg-convert", "-w", "64", "-h", "64", "-o", str(file), str(source)]
                    if subprocess.run(command, check=False, capture_output=True).returncode:
                        continue
                else:
                    with Image.open(source) as picture:
                        picture.convert("RGBA").resize((64, 64), Image.Resampling.BILINEAR).save(file)
                content = Image.open(file).tobytes()
                if content in seen:
                    file.unlink()
                    continue
                seen.add(content)
                count += 1
    return count


if __name__ == "__main__":
    makers = {"emoji": make_emoji, "icons": make_icons}
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    print(makers[sys.argv[1]](Path(sys.argv[2])), "pictures")
