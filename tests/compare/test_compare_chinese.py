"""The page of a comparison in Chinese: whole, and with the figures of the English one."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest

from fittingroom.compare import compare_runs
from fittingroom.compare.answers import read_answers
from fittingroom.compare.page import page_of
from fittingroom.compare.verdict import compare_answers
from fittingroom.rendering import languages
from fittingroom.runs.run import Run
from tests.support.bilingual import left_in_english
from tests.support.small_run import train_small

HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    trained = [train_small(folder / name, f"seed={seed}") for seed, name in enumerate(("one", "two", "three"))]
    for run in trained:
        run.evaluate()
    return trained


@pytest.mark.parametrize("count", [2, 3])
def test_no_text_of_a_comparison_is_left_in_english(runs: list[Run], count: int) -> None:
    english = page_of(compare_runs(runs[:count]))
    assert left_in_english(english, names=("td",)) <= {"English 中文", "one", "two", "three"}


def test_the_figures_are_those_of_the_english_page(runs: list[Run]) -> None:
    english = page_of(compare_runs(runs[:2]))
    chinese = languages.in_chinese(english)
    heading = [re.findall("<h1[^>]*>(.*?)</h1>", page)[0] for page in (english, chinese)]
    assert HAN.search(heading[1])
    figures = [re.findall(r"[−+]?\d[\d.,]*\d|\d", html.unescape(text)) for text in heading]
    assert sorted(figures[0]) == sorted(figures[1])
    for page in (english, chinese):
        assert re.findall(r'<td class="number"[^>]*>(.*?)</td>', page) == re.findall(
            r'<td class="number"[^>]*>(.*?)</td>', english
        )


@pytest.mark.parametrize("n", [20, 200])
def test_what_decides_between_recipes_is_said_in_chinese_of_few_images_too(runs: list[Run], n: int) -> None:
    base = read_answers(runs[0], "one", "test").subset(np.arange(n))
    twice_SN = np.repeat(base.predicted, 2, axis=0)
    both = [
        replace(base, name="one", predicted=twice_SN),
        replace(base, name="two", predicted=np.roll(twice_SN, 1, axis=1)),
    ]
    method = compare_answers(both[0], both[1], "test", minimum_effect=0.01, warnings=[]).method
    chinese = languages.translated(f"Decided by: {method}.", "compare")
    assert chinese is not None, method
    assert not re.search("images|seeds", chinese)
