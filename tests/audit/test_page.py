"""The data check's page says what its JSON says."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from tests.support.bilingual import english

Captured = pytest.CaptureFixture[str]


def checked(path: Path, capsys: Captured) -> tuple[dict[str, Any], str]:
    """What the command says of a file, as JSON and as a page."""
    page = path.with_suffix(".html")
    main(["data", "check", str(path), "--json", "--html", str(page), "--no-near-duplicates", "--no-cache"])
    return json.loads(capsys.readouterr().out), english(page.read_text(encoding="utf-8"))


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """A file with an image twice, one of a single value, and a class that lacks."""
    train = fr.open_dataset("sample").train.subset(np.arange(300))
    assert train.labels is not None
    images = train.images.copy()
    images[1], images[2] = images[0], 7
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.where(train.labels == 3, 4, train.labels))
    return tmp_path / "a.npz"


def test_the_heading_counts_what_json_lists(flawed: Path, capsys: Captured) -> None:
    found, page = checked(flawed, capsys)
    severities = [finding["severity"] for finding in found["findings"]]
    assert len(severities) > 2
    counts = [(severities.count(kind), kind) for kind in ("error", "warning", "note")]
    heading = ", ".join(f"{count} {kind}" + "s" * (count != 1) for count, kind in counts)
    assert f"<h1>{heading}</h1>" in page


def test_each_finding_has_the_words_of_json_in_its_order(flawed: Path, capsys: Captured) -> None:
    found, page = checked(flawed, capsys)
    articles = re.findall("<article>(.*?)</article>", page, re.DOTALL)
    assert len(articles) == len(found["findings"])
    for article, finding in zip(articles, found["findings"], strict=True):
        text = html.unescape(article)
        assert f'class="{finding["severity"]}">{finding["severity"]}</span> {finding["name"]}</h2>' in text
        for key in ("where", "message", "effect", "advice"):
            assert f"<dd>{finding[key]}</dd>" in text


def test_no_heading_says_0_errors_alone_of_what_could_not_be_read(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 no archive")
    found, page = checked(tmp_path / "a.npz", capsys)
    heading = re.search("<h1>(.*)</h1>", page)
    assert heading
    assert "error" not in {finding["severity"] for finding in found["findings"]}
    assert heading[1].endswith(", 1 not read")
