"""The page on environment variables names every variable of ours that the code reads."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT


def test_every_variable_of_ours_is_on_the_page() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r"FITTINGROOM_[A-Z]+(?:_[A-Z]+)*", text)}
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(FITTINGROOM_[A-Z_]+)", page))
    assert len(listed) >= 5
    assert read == listed
