"""The page of a study has the figures of its ``result.json`` and of its trials, under the right labels."""

from __future__ import annotations

import html
import re
import tomllib

from fittingroom.tune import Study
from fittingroom.tune.page import value_text
from tests.support.bilingual import english


def page_of(study: Study) -> str:
    return html.unescape(english((study.path / "report.html").read_text(encoding="utf-8")))


def test_the_facts_are_those_of_the_result(study: Study) -> None:
    facts = {
        label: (value, small)
        for label, value, small in re.findall("<dt>(.*?)</dt><dd>(.*?)<small>(.*?)</small></dd>", page_of(study))
    }
    result, fresh = study.result, study.result["final"]
    best = f"The search's own best, trial {result['best']['trial']}"
    assert facts[best][0] == f"{result['best']['value']:.2%}"
    assert facts[f"The best recipe, with {len(fresh['seeds'])} fresh seeds"][0] == f"{fresh['mean']:.2%}"
    assert facts["The baseline, trial 0"][0] == f"{result['as_it_is']:.2%}"
    trials = result["trials"]
    counted = ", ".join(f"{count} {state}" for state, count in trials.items())
    assert facts["Trials"] == (str(sum(trials.values())), counted)


def test_the_heading_says_whether_anything_beat_the_baseline(study: Study) -> None:
    heading = re.search("<h1>(.*)</h1>", page_of(study))
    assert heading
    nothing_did = study.result["best"]["trial"] == 0
    fresh = f"{study.result['final']['mean']:.2%} accuracy with fresh seeds"
    assert heading[1] == (f"Nothing beat {study.recipe.name}" if nothing_did else fresh)


def test_every_trial_has_a_row_with_its_own_values_the_best_marked(study: Study) -> None:
    table = page_of(study).partition("<h2>All trials</h2>")[2]
    heads: list[str] = re.findall("<th.*?>(.*?)</th>", table.partition("</tr>")[0])
    assert heads == ["trial", "", "accuracy", "epochs", "seconds", *study.space]

    rows: dict[int, tuple[bool, dict[str, str]]] = {}
    for mark, row in re.findall(r'<tr( class="best")?[^>]*>(.*?)</tr>', table, re.DOTALL)[1:]:
        cells = re.findall("<t[hd].*?>(.*?)</t[hd]>", row)
        rows[int(cells[0])] = (bool(mark), dict(zip(heads, cells, strict=True)))
    assert sorted(rows) == [trial.number for trial in study.trials()]
    for trial in study.trials():
        is_best, shown = rows[trial.number]
        assert is_best == (trial.number == study.result["best"]["trial"])
        assert shown["accuracy"] == ("–" if trial.value is None else f"{trial.value:.2%}")
        assert shown["epochs"] == str(len(trial.curve))
        assert {key: shown[key] for key in trial.values} == {k: value_text(v) for k, v in trial.values.items()}


def test_the_recipe_on_it_is_the_best_trials(study: Study) -> None:
    shown = re.search("<h2>The best recipe</h2>\\s*<pre>(.*?)</pre>", page_of(study), re.DOTALL)
    assert shown
    assert tomllib.loads(shown[1]) == tomllib.loads((study.path / "best.toml").read_text(encoding="utf-8"))
