"""What a page of two languages has in English alone."""

from __future__ import annotations

import re
from collections.abc import Collection

from fittingroom.rendering import languages


def english(page: str) -> str:
    """The page without the marks of where its Chinese goes, and without what follows its content."""
    return re.sub(r' data-zh(?:-names)?="[^"]*"', "", page.partition("</main>")[0])


def left_in_english(page: str, *, names: Collection[str]) -> set[str]:
    """Texts without their Chinese.

    Args:
        page: as :func:`fittingroom.rendering.languages.with_chinese` wrote it.
        names: tags of elements that hold names and figures, which are as they are in any language.
    """
    body = languages.SKIPPED.sub("", page.partition("<body>")[2])
    left = set()
    for tag, attributes, inner in languages.ELEMENT.findall(body):
        text = " ".join(re.sub("<[^>]*>", "", inner).split())
        is_name = tag in names or 'scope="row"' in attributes or inner.startswith("<span>")
        if "data-zh=" not in attributes + inner and languages.WORD.search(text) and not is_name:
            left.add(text)
    return left
