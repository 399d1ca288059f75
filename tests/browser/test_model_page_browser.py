"""The page that ``export --format page`` writes, in Debian's Chromium: its figures are those of ``result.json``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fittingroom as fr
from fittingroom.cli import main
from tests.browser.pages import open_page
from tests.support.small_run import train_small

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    run = train_small(tmp_path_factory.mktemp("runs") / "one")
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def file(run: fr.Run) -> Path:
    file = run.path.parent / "model.html"
    assert main(["export", str(run.path), "--format", "page", "--out", str(file)]) == 0
    return file


def test_its_figures_stand_under_their_labels_as_in_the_result(browser: Browser, run: fr.Run, file: Path) -> None:
    page, asked = open_page(browser, file)
    scores, classes = run.result["test"], run.artifact.classes
    low, high = (f"{bound:.2%}" for bound in scores["interval"])
    assert page.inner_text("h1") == f"{scores['accuracy']:.2%} accuracy"
    lead = f"{scores['correct']:,} of {scores['n']:,} test images correct; 95% interval {low} to {high}"
    assert page.inner_text(".lead").startswith(lead)
    assert f"{run.artifact.parameters:,} parameters" in page.inner_text("footer")
    assert page.inner_text(".eyebrow") == f"Fitting Room · {run.path.name} · {len(classes)} classes"

    recalls = {row["class"]: row["recall"] for row in scores["per_class"]}
    weakest = re.match(
        r"Weakest class: (.+?)(?: and \d+ other class(?:es)?)?, recall ([\d.]+%) \(95% .*; n\s=\s\d+\)\.",
        page.inner_text("#worst"),
    )
    assert weakest
    assert (recalls[weakest[1]], weakest[2]) == (min(recalls.values()), f"{min(recalls.values()):.2%}")
    counts = scores["confusion"]
    both = {(a, b): counts[i][j] + counts[j][i] for i, a in enumerate(classes) for j, b in enumerate(classes) if i < j}
    pair = re.search(r"Most often confused: (.+) and (.+), \d+ of the \d+ mistakes\.$", page.inner_text("#worst"))
    assert pair
    assert both[pair[1], pair[2]] == max(both.values())

    # Right answers of each class, and the model's own probability of each.
    rows = page.eval_on_selector_all(
        "#answers .answers > div",
        "all => all.map(d => [d.querySelector('span').textContent, d.querySelectorAll('img').length])",
    )
    right = {name: counts[i][i] for i, name in enumerate(classes)}
    assert rows == [[name, min(12, right[name])] for name in classes if right[name]]
    assert [address for address in asked if not address.startswith("data:")] == []
