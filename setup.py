"""What pyproject.toml can't say: README.md as an index shows it, where no file of the checkout lies beside it.

A link into the checkout becomes its text and the path in brackets; a picture, or a table of pictures, is left out.
"""

import re
from pathlib import Path

from setuptools import setup

ELSEWHERE = r"(?!https?://|#|mailto:)"  # what a link into the checkout doesn't begin with
LINK = re.compile(rf"(?<!!)\[([^\]]+)\]\({ELSEWHERE}([^)\s]+)\)")
PICTURE = re.compile(rf"!\[[^\]]*\]\({ELSEWHERE}[^)\s]+\)")
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def long_description(readme: str) -> str:
    """The text with nothing in it that leads into the checkout."""
    paragraphs = COMMENT.sub("", readme).split("\n\n")
    kept = [paragraph for paragraph in paragraphs if not PICTURE.search(paragraph)]
    return LINK.sub(_in_words, "\n\n".join(kept))


def _in_words(link: re.Match[str]) -> str:
    text, path = link.groups()
    return text if text.strip("`") == path else f"{text} ({path})"


if __name__ == "__main__":
    setup(
        long_description=long_description(Path("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
