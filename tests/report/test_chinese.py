"""The report's Chinese: every sentence is there as a whole, with the figures and names of the English one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.rendering import languages
from fittingroom.rendering.languages import read_catalogue, translated, with_chinese
from fittingroom.report.page import write_report
from tests.report.test_diagnosis import STATES, diagnoses_of

FIGURE = re.compile(r"\d(?:[\d.,]*\d)?%?")
CHINESE = re.compile(r"[一-鿿]")
# These are as they are in any language.
NAMES = {"English 中文", "fittingroom", "python", "torch", "numpy", "polars", "safetensors", "pillow"}


def figures(text: str) -> Counter[str]:
    return Counter(FIGURE.findall(text))


@pytest.mark.parametrize("state", STATES)
def test_every_diagnosis_is_said_in_chinese_with_its_own_figures(state: str) -> None:
    for diagnosis in diagnoses_of(state).values():
        texts = {diagnosis.sentence, diagnosis.suggestion, *diagnosis.evidence} - {"", "n"}
        for text in texts:
            chinese = translated(text, "report")
            assert chinese is not None, text
            assert CHINESE.search(chinese)
            assert figures(chinese) == figures(text)
            assert re.findall(r"--[a-z-]+", chinese) == re.findall(r"--[a-z-]+", text)


def test_a_text_is_translated_as_a_whole_or_not_at_all() -> None:
    assert translated("Train longer: --epochs 20.", "report") == "训练更久：--epochs 20。"
    assert translated("Train longer: --epochs 20. And sing.", "report") is None
    page = "<body><p>Train longer: --epochs 20. And sing.</p><h2>Curves</h2><!--languages-->"
    assert with_chinese(page, "report") == (
        '<body><p>Train longer: --epochs 20. And sing.</p><h2 data-zh="0">Curves</h2>["曲线"]'
    )


def test_each_entry_takes_over_what_it_takes_out() -> None:
    for entry in read_catalogue("report"):
        places = [place[1] + place[2] for place in languages.PLACE.finditer(entry.chinese)]
        assert sorted(places) == sorted(entry.pattern.groupindex), entry.chinese


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("judged", [True, False], ids=["test", "validation"])
def test_no_text_of_a_report_is_left_in_english(tmp_path: Path, seeds: int, judged: bool) -> None:
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])
    run = fr.train("sample", recipe, seeds=seeds if seeds > 1 else None, out=tmp_path / "run", look_at_test=judged)
    page = write_report(run).read_text(encoding="utf-8")
    body = languages.SKIPPED.sub("", page.partition("<body>")[2])

    left = []
    for tag, attributes, inner in languages.ELEMENT.findall(body):
        text = " ".join(re.sub(r"<[^>]*>", "", inner).split())
        is_name = tag in ("td", "dd", "span") or 'scope="row"' in attributes or inner.startswith("<span>")
        if "data-zh=" not in attributes + inner and languages.WORD.search(text) and not is_name:
            left.append(text)
    assert set(left) <= NAMES
    for tag in languages.ATTRIBUTES.findall(body):
        for name, text in languages.ATTRIBUTE.findall(tag):
            assert f"{name}:" in tag or not languages.WORD.search(text) or CHINESE.search(text), text
