"""The page of results says what results.csv says, of every script that has written there."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_pages import GENERATED

MEASURED = GENERATED.measured
NUMBER = re.compile(r"[+−]?\d[\d,]*(?:\.\d+)?")


def newest() -> dict[tuple[str, str, str], dict[str, str]]:
    """Read here by itself: the last line of each figure."""
    with (ROOT / "benchmarks" / "results.csv").open(encoding="utf-8", newline="") as file:
        return {(row["script"], row["name"], row["metric"]): row for row in csv.DictReader(file) if not row["epoch"]}


def cells(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|") and "---" not in line:
            yield [cell.strip().replace("\\-", "-") for cell in line.strip("|").split(" | ")]


def test_every_script_that_recorded_a_figure_is_on_the_page() -> None:
    with (ROOT / "benchmarks" / "results.csv").open(encoding="utf-8", newline="") as file:
        recorded = {row["script"] for row in csv.DictReader(file)}
    assert recorded == {section.script for section in MEASURED.SECTIONS} | set(MEASURED.SHOWN_ELSEWHERE)


@pytest.mark.parametrize("section", MEASURED.SECTIONS, ids=[section.script for section in MEASURED.SECTIONS])
def test_each_figure_of_a_table_is_the_recorded_one(section: Any) -> None:
    rows = newest()
    text = MEASURED.page().partition(f"## {section.title}\n")[2].partition("\n## ")[0]
    (head, *lines) = cells(text)
    columns = {column.title: column for column in section.columns}
    compared = 0
    for line in lines:
        for title, cell in list(zip(head, line, strict=True))[1:]:
            of_name = (line[0], title) if title in columns else (title, line[0])
            if not cell or title == "n":
                continue
            row = rows[section.script, of_name[0], columns[of_name[1]].metric]
            value, *_ = (float(found.replace(",", "").replace("−", "-")) for found in NUMBER.findall(cell))
            recorded = float(row["mean"] if columns[of_name[1]].mean else row["median"])
            scale = 100 if cell.endswith("%") else 1
            decimals = len(NUMBER.findall(cell)[0].partition(".")[2])
            assert abs(value - scale * recorded) <= 0.5001 * 10**-decimals, (line[0], title, cell)
            compared += 1
            assert row["commit"] in text
    assert compared >= 3
