"""`try_ideas` on the sample: what is claimed, what is kept, what goes on after a stop."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.errors import Interrupted
from fittingroom.events import Event, Hooks, JobDone, JobEvent
from fittingroom.ideas.asked import ideas_of
from fittingroom.ideas.page import headline, judged_on
from fittingroom.ideas.side import Side
from fittingroom.ideas.table import points
from fittingroom.rendering.languages import translated
from tests.support import SUPPORT
from tests.support.bilingual import english
from tests.support.stopping import stop_after

HOPELESS, SAME = "stages.0.lr=1e-9", "label_smoothing=0.0001"
LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"  # what is claimed goes by the answers, whatever network gives them
SHORT = [LINEAR, "stages.0.epochs=1", "batch_size=256", "precision=float32"]


@pytest.fixture(scope="module")
def baseline() -> fr.Recipe:
    return fr.load_recipe("plain", overrides=SHORT)


def go_on(study: Path, data: fr.Splits | None = None, **options: Any) -> fr.Tried:
    """Go on with a study, whose network is that of the tests."""
    return fr.resume_ideas(study, data=data, trust_code=True, **options)


@pytest.fixture(scope="module")
def options() -> fr.Options:
    return fr.Options(threads=1)


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    """The sample, with a validation set of its own."""
    whole = fr.open_dataset("sample")
    return fr.Splits(whole.train.subset(np.arange(1600)), whole.train.subset(np.arange(1600, 2000)), whole.test)


@pytest.fixture
def own_net(tmp_path: Path) -> str:
    file = tmp_path / "own.py"
    shutil.copy(Path(__file__).parents[1] / "support" / "plain_net.py", file)
    return f"{file}:Net"


@pytest.fixture(scope="module")
def tried(
    tmp_path_factory: pytest.TempPathFactory, data: fr.Splits, baseline: fr.Recipe, options: fr.Options
) -> fr.Tried:
    out = tmp_path_factory.mktemp("studies") / "whole"
    return fr.try_ideas(data, [HOPELESS], baseline, out=out, options=options, test=True)


def test_an_idea_that_learns_nothing_is_worse_and_test_is_not_opened_for_it(tried: fr.Tried) -> None:
    assert tried.verdicts == {HOPELESS: "worse"}
    (idea,) = tried.result["ideas"]
    assert idea["pairs"] == 3
    assert idea["interval"][1] < 0
    assert idea["changes"] == ["stages.0.lr: 0.003 → 1e-09"] or "1e-09" in idea["changes"][0]
    assert tried.result["test"] is None  # nothing was found better
    assert all(
        member.result["test"] is None
        for side in ("baseline", "idea-1")
        for member in fr.open_run(tried.path / side).members
    )


def test_groups_are_counted_where_it_is_said_what_judged(
    tmp_path: Path, data: fr.Splits, baseline: fr.Recipe, options: fr.Options
) -> None:
    assert data.validation is not None
    groups = tuple(f"person {row % 20}" for row in range(400))
    in_groups = dataclasses.replace(data, validation=dataclasses.replace(data.validation, groups=groups))
    tried = fr.try_ideas(in_groups, [HOPELESS], baseline, out=tmp_path / "groups", options=options)
    assert tried.result["groups"] == 20
    said = "Judged on 400 validation images in 20 groups that no training of this study learned from."
    assert judged_on(tried.result) == said
    assert translated(said, "ideas") is not None
    assert tried.verdicts == {HOPELESS: "worse"}


def test_both_sides_are_runs_on_the_same_seeds(tried: fr.Tried) -> None:
    assert tried.result["n"] == 400
    seeds = [
        [member.recipe.seed for member in fr.open_run(tried.path / side).members] for side in ("baseline", "idea-1")
    ]
    assert seeds == [[0, 1, 2], [0, 1, 2]]
    accuracies = [member.result["validation"]["accuracy"] for member in fr.open_run(tried.path / "baseline").members]
    assert tried.result["baseline"]["accuracies"] == accuracies
    compared = fr.compare_runs([tried.path / "baseline", tried.path / "idea-1"], on="validation").as_dict()
    assert compared["comparisons"][0]["difference"] == pytest.approx(tried.result["ideas"][0]["difference"])


def test_each_pair_is_cut_into_folds_of_its_own(
    data: fr.Splits, baseline: fr.Recipe, options: fr.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what a recipe owes to just the images that a fold's model learned from would be the same in all pairs."""
    begun: list[tuple[int, int]] = []

    def begin(_: object, recipe: fr.Recipe, *_rest: object, seed: int, folds: int) -> None:
        begun.append((seed, recipe.split_seed))

    monkeypatch.setattr(Side, "_train", begin)
    side = Side(name="baseline", path=tmp_path, recipe=baseline, folds=5, options=options, splits=data)
    side.train_up_to(4, Hooks.of(None, None), first=3, may_begin=lambda: None)
    assert begun == [(0, 0), (1, 1), (2, 2), (3, 3)]


@pytest.mark.nightly
def test_few_images_are_judged_by_folds_and_many_by_a_fifth_of_them(
    baseline: fr.Recipe, options: fr.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.ideas.FOLDS", 2)  # in place of five, which take more than twice the time
    events: list[Event] = []
    tried = fr.try_ideas("sample", [HOPELESS], baseline, out=tmp_path / "few", options=options, observe=events.append)
    assert tried.verdicts == {HOPELESS: "worse"}
    assert tried.result["n"] == 2000
    for seed in range(3):  # both sides of a pair are cut alike, and each pair anew
        runs = [fr.open_run(tmp_path / "few" / side / f"seed-{seed}") for side in ("baseline", "idea-1")]
        assert {(run.environment.folds, run.recipe.split_seed) for run in runs} == {(2, seed)}
    kept = tried.result["ideas"]
    shutil.copytree(tmp_path / "few" / "idea-1" / "seed-0", tmp_path / "few" / "idea-1" / "seed-0-old")  # is no member
    assert go_on(tmp_path / "few").result["ideas"] == kept

    # what a training reports has the names of idea, seed and fold
    jobs = {event.job for event in events if isinstance(event, JobEvent)}
    assert {"baseline seed-0", "baseline seed-2 fold 2 of 2", f"{HOPELESS} seed-1 fold 1 of 2"} <= jobs
    assert all(isinstance(event, JobEvent | JobDone) for event in events)

    whole = fr.open_dataset("sample").train
    assert whole.labels is not None
    images = np.tile(whole.images, (3, 1, 1))
    images[:, 0, 0] = np.arange(6000) * 37 % 256  # or all copies would be on one side of the cut
    many = fr.Dataset(images, np.tile(whole.labels, 3), whole.classes, "many")
    with pytest.raises(Interrupted):
        fr.try_ideas(many, [HOPELESS], baseline, out=tmp_path / "many", options=options, should_stop=lambda: True)
    study = json.loads((tmp_path / "many" / "study.json").read_text(encoding="utf-8"))
    assert (study["validation"], study["folds"]) == (1200, None)


def test_the_result_and_a_page_are_kept(tried: fr.Tried) -> None:
    assert json.loads((tried.path / "result.json").read_text(encoding="utf-8")) == tried.result
    page = (tried.path / "report.html").read_text(encoding="utf-8")
    assert HOPELESS in page
    assert "worse" in page
    assert "<script" not in page.partition("</main>")[0]  # below it is the switch of language alone


def test_the_pages_figures_stand_under_their_labels_as_in_json(tried: fr.Tried) -> None:
    page = html.unescape(english((tried.path / "report.html").read_text(encoding="utf-8")))
    table = page.partition("<h2>Every idea</h2>")[2].partition("</table>")[0]
    heads, *rows = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table, re.S)]
    baseline, idea = (dict(zip(heads, row, strict=True)) for row in rows)
    result, (of_idea,) = tried.result, tried.result["ideas"]

    assert (baseline["idea"], baseline["mean accuracy"]) == ("baseline", f"{result['baseline']['mean']:.2%}")
    assert baseline["pairs"] == str(result["baseline"]["seeds"])
    assert (idea["idea"], idea["mean accuracy"]) == (HOPELESS, f"{of_idea['mean']:.2%}")
    assert (idea["pairs"], idea["difference, points"]) == (str(of_idea["pairs"]), points(of_idea["difference"]))
    assert idea["interval"].startswith(" to ".join(points(bound) for bound in of_idea["interval"]))
    assert idea["verdict"].startswith(of_idea["verdict"])

    # The drawing: the dot lies between the ends of its whisker, and on the worse side of no difference.
    low, high = (float(x) for x in re.findall(r'class="whisker" x1="(.*?)" x2="(.*?)"', page)[0])
    dot, zero = (float(re.findall(form, page)[0]) for form in (r'class="point" cx="(.*?)"', r'class="zero" x1="(.*?)"'))
    assert low < dot < high < zero
    assert f"<h1>{headline(result)}</h1>" in page


def test_a_study_that_is_stopped_goes_on_as_if_it_had_not_been(
    tried: fr.Tried, data: fr.Splits, baseline: fr.Recipe, options: fr.Options, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted) as stopped:
        fr.try_ideas(
            data,
            [HOPELESS],
            baseline,
            out=tmp_path / "stopped",
            options=options,
            should_stop=stop_after(27),
        )
    assert stopped.value.resume_command == f"fittingroom try --resume {tmp_path / 'stopped'}"
    resumed = go_on(tmp_path / "stopped", data)
    kept = ("name", "pairs", "difference", "interval", "p_value", "verdict", "accuracies")
    assert [{key: idea[key] for key in kept} for idea in resumed.result["ideas"]] == [
        {key: idea[key] for key in kept} for idea in tried.result["ideas"]
    ]

    # a side whose folder a kill left without its first file is begun anew
    shutil.rmtree(tmp_path / "stopped" / "idea-1")
    (tmp_path / "stopped" / "idea-1").mkdir()
    again = go_on(tmp_path / "stopped", data)
    assert again.result["ideas"][0]["accuracies"] == tried.result["ideas"][0]["accuracies"]


def test_what_the_budget_leaves_open_is_said_and_gone_on_with(
    data: fr.Splits, baseline: fr.Recipe, options: fr.Options, tmp_path: Path
) -> None:
    tried = fr.try_ideas(data, [SAME], baseline, out=tmp_path / "short", options=options, budget=0.01, effect=1e-6)
    assert tried.verdicts == {SAME: "cannot tell"}
    assert tried.result["ideas"][0]["reason"] == "within the budget"
    assert headline(tried.result) == "It can’t be told yet"
    assert not (tried.path / "idea-1").exists()

    spent = tried.result["seconds"]
    more = go_on(tried.path, data, budget=spent + 0.01)
    assert (more.result["ideas"][0]["pairs"], more.verdicts) == (3, {SAME: "cannot tell"})
    assert headline(more.result) == "It can’t be told"


def test_the_best_idea_is_compared_on_test_once_with_fresh_seeds(
    data: fr.Splits, baseline: fr.Recipe, options: fr.Options, tmp_path: Path
) -> None:
    slow = fr.load_recipe("plain", overrides=[*SHORT, "stages.0.lr=1e-9"])
    tried = fr.try_ideas(data, {"learn": baseline}, slow, out=tmp_path / "better", options=options, test=True)
    assert tried.verdicts == {"learn": "better"}
    assert tried.result["test"]["verdict"] == "better"
    assert tried.result["test"]["winner"] == "learn"
    fresh = [member.recipe.seed for member in fr.open_run(tried.path / "test-idea-1").members]
    assert not set(fresh) & {member.recipe.seed for member in fr.open_run(tried.path / "idea-1").members}

    # Going on with what is finished looks at nothing: the ledger stays as it is, and so does the result.
    ledger = tmp_path / "test-looks.jsonl"
    looks = ledger.read_text(encoding="utf-8").splitlines()
    assert len(looks) == 2 * len(fresh) + 1  # each model once, and the comparison
    assert go_on(tried.path, data).result == tried.result
    assert ledger.read_text(encoding="utf-8").splitlines() == looks

    # Nor does it look at another idea, where one that is better still is found later: test would have chosen.
    file = tried.path / "study.json"
    study = json.loads(file.read_text(encoding="utf-8"))
    longer = [{"epochs": 2, "lr": 0.003, "schedule": "one-cycle"}]
    study["ideas"]["learn longer"] = study["ideas"]["learn"] | {"stages": longer}
    file.write_text(json.dumps(study), encoding="utf-8")
    assert go_on(tried.path, data).result["test"] == tried.result["test"]
    (tried.path / "test.json").unlink()  # as by a kill before the comparison
    more = go_on(tried.path, data).result
    assert [idea["verdict"] for idea in more["ideas"]] == ["better", "better"]
    assert more["ideas"][1]["difference"] > more["ideas"][0]["difference"]
    assert more["test"]["winner"] == "learn"


@pytest.mark.parametrize(
    ("ideas", "message"),
    [
        ([], "one idea or more"),
        (["mirror=none", "mirror='none'"], "the same as mirror=none"),
        (["mirror=random"], "changes nothing"),
        (["mirrors=random"], "did you mean mirror"),
    ],
)
def test_an_idea_that_is_none_is_refused(ideas: list[str], message: str) -> None:
    recipe = fr.load_recipe("plain", overrides=["mirror=random"])
    with pytest.raises(fr.RecipeError, match=message):
        ideas_of(ideas, recipe)


def test_a_study_goes_on_only_with_its_own_data(tried: fr.Tried) -> None:
    other = fr.open_dataset("sample").test
    assert other is not None
    with pytest.raises(fr.DataError, match="its training set has changed"):
        fr.resume_ideas(tried.path, data=other)
    with pytest.raises(fr.ArtifactError, match=r"study\.json is missing"):
        fr.resume_ideas(tried.path / "baseline")


def test_a_study_that_came_by_mail_executes_no_code(
    data: fr.Splits, options: fr.Options, tmp_path: Path, own_net: str
) -> None:
    recipe = fr.load_recipe("plain", overrides=[f"model={own_net!r}", "stages.0.epochs=1", "batch_size=256"])
    idea = dataclasses.replace(recipe, label_smoothing=0.1)
    with pytest.raises(Interrupted):
        fr.try_ideas(data, {"smooth": idea}, recipe, out=tmp_path / "mailed", options=options, should_stop=lambda: True)
    own = Path(own_net.rpartition(":")[0])
    own.write_text("raise SystemExit('executed')", encoding="utf-8")
    with pytest.raises(fr.ArtifactError, match="going on executes code"):
        fr.resume_ideas(tmp_path / "mailed", data=data)

    # the copy that it keeps is what it goes on with, whatever became of the file
    went_on = fr.resume_ideas(tmp_path / "mailed", data=data, trust_code=True, budget=0.1)
    assert went_on.path == tmp_path / "mailed"


@pytest.mark.parametrize(
    "change", [{"ideas": {}}, {"options": {"keep": "x"}}, {"baseline": {"model": 3}}, {"folds": 1}, {"format": 2}]
)
def test_a_damaged_study_is_one_message(tried: fr.Tried, tmp_path: Path, change: dict[str, Any]) -> None:
    shutil.copytree(tried.path, tmp_path / "damaged")
    file = tmp_path / "damaged" / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(fr.FittingRoomError, match=r"study\.json"):
        fr.resume_ideas(tmp_path / "damaged", data=fr.open_dataset("sample"))
