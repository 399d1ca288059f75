"""A page in its second language, where its own switch can't run, as in a frame; and the catalogues of all pages."""

from __future__ import annotations

import re

import pytest

from fittingroom.rendering.languages import FOLDER, PLACE, in_chinese, read_catalogue, with_chinese

PAGE = (
    '<!doctype html>\n<html lang="en">\n<body><h1><span id="accuracy">91.82%</span> accuracy</h1><p>A name</p>'
    '<img alt="Bag, taken for Shirt" src="data:,"><h2>Confusion matrix</h2>'
    '<script type="application/json" id="languages-texts"><!-- languages --></script></body></html>'
)


def test_a_page_without_script_says_in_chinese_what_its_switch_would() -> None:
    page = in_chinese(with_chinese(PAGE, "report"))
    assert '<html lang="zh-Hans">' in page
    assert '>准确率 <span id="accuracy">91.82%</span></h1>' in page
    assert "<p>A name</p>" in page
    assert ">混淆矩阵</h2>" in page
    assert "accuracy</h1>" not in page


@pytest.mark.parametrize(
    "texts", ["", "[", "{}", "[1]", "[[]]", '["a"', "0" * 200_000, "[" * 100_000], ids=lambda text: text[:5]
)
def test_a_strangers_page_stays_as_it_is(texts: str) -> None:
    page = with_chinese(PAGE, "report").partition('id="languages-texts">')[0] + f'id="languages-texts">{texts}</script>'
    assert in_chinese(page) == page


def test_marks_that_lead_nowhere_are_left_alone() -> None:
    head = '<h1 data-zh="7">a</h1><h2 data-zh="99999999">b</h2><p data-zh="0" data-zh-names="alt:9 x:0 alt:²">c' * 9
    page = f'{head}<script type="application/json" id="languages-texts">["d"]</script>'
    assert in_chinese(page) == page


@pytest.mark.parametrize("catalogue", sorted(file.name.removesuffix(".zh.txt") for file in FOLDER.glob("*.zh.txt")))
def test_each_entry_takes_over_what_it_takes_out(catalogue: str) -> None:
    for entry in read_catalogue(catalogue):
        places = [place[1] + place[2] for place in PLACE.finditer(entry.chinese)]
        english = re.findall(r"\(\?P[<=](\w+)", entry.pattern.pattern)
        assert set(places) == set(english), entry.chinese
        # A text may stand there again; anything else only as often as in the English.
        for place in {place for place in places if not place.startswith("t")}:
            assert places.count(place) in (1, english.count(place)), entry.chinese
