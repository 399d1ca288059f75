"""Anybody's predictions beside a run and beside each other: paired right or refused, judged by the same figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.compare.foreign import name_of
from fittingroom.data.cut import groups_for_intervals
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from tests.support.small_run import train_small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    run = train_small(tmp_path_factory.mktemp("trained") / "runs/ours")
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def sample() -> fr.Dataset:
    test = fr.open_dataset("sample").test
    assert test is not None
    return test


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def judged(run: fr.Run) -> JudgedPredictions:
    return read_predictions(run.predictions_file("test"), run.artifact.classes)


def write_csv(file: str, **columns: object) -> str:
    pl.DataFrame(columns).write_csv(file)
    return file


def test_a_runs_own_answers_as_a_file_get_the_runs_own_scores(run: fr.Run, sample: fr.Dataset) -> None:
    own = judged(run)
    np.savez("mine.npz", label=own.truth, predicted=own.predicted, probabilities=own.probabilities)
    scores, expected = fr.evaluate_files("mine.npz", sample), run.result["test"]
    for key in ("accuracy", "correct", "n", "interval", "top2", "per_class", "confusion"):
        assert scores[key] == expected[key]
    assert scores["loss"] == pytest.approx(expected["loss"])


@pytest.mark.parametrize("by", ["image", "row", "order"])
def test_a_file_is_paired_with_a_run_by_image_by_row_or_by_order(by: str, run: fr.Run) -> None:
    own = judged(run)
    order = np.arange(len(own)) if by == "order" else np.random.default_rng(0).permutation(len(own))
    columns: dict[str, dict[str, object]] = {
        "image": {"image": [own.images[row] for row in order]},
        "row": {"row": order},
        "order": {},
    }
    told = columns[by]
    write_csv("same.csv", label=own.truth[order], predicted=own.predicted[order], **told)
    (comparison,) = fr.compare_runs([run, "same.csv"]).comparisons
    assert comparison.overall.difference == 0
    assert comparison.overall.n == len(own)
    assert any("they give the same answer to every image" in warning for warning in comparison.warnings)
    assert any("numbers, understood as in ours: 0 is T-shirt/top, 9 is Ankle boot" in note for note in comparison.notes)


def test_a_shuffled_file_that_says_no_row_is_refused_with_what_to_add(run: fr.Run) -> None:
    own = judged(run)
    order = np.random.default_rng(0).permutation(len(own))
    write_csv("shuffled.csv", label=own.truth[order], predicted=own.predicted[order])
    with pytest.raises(fr.DataError, match=r"don't agree what is on .* give it a column image, file or id"):
        fr.compare_runs([run, "shuffled.csv"])
    write_csv("fewer.csv", label=own.truth[:900], predicted=own.predicted[:900])
    with pytest.raises(fr.DataError, match="has 1,000 images and fewer 900, and fewer doesn't say which they are"):
        fr.compare_runs([run, "fewer.csv"])
    write_csv("ids.csv", id=np.arange(1000), label=own.truth, predicted=own.predicted)
    with pytest.raises(fr.DataError, match="ids tells its images by id"):
        fr.compare_runs([run, "ids.csv"])


def test_files_are_compared_as_runs_with_the_same_answers_are(run: fr.Run, sample: fr.Dataset) -> None:
    """Two models by McNemar's test, counted by hand; two recipes by seeds and images."""
    own, rng = judged(run), np.random.default_rng(0)
    names = np.array(own.classes)
    right = own.truth.copy()
    sides = {}
    for side, share in (("good", 0.05), ("bad", 0.15)):
        for seed in range(3):
            wrong = rng.random(len(right)) < share
            said = np.where(wrong, (right + 1) % 10, right)
            write_csv(f"{side}-{seed}.csv", label=names[right], predicted=names[said])
            sides[side, seed] = said == right
    compared = fr.compare_runs(["good-0.csv", "bad-0.csv"])
    (models,) = compared.comparisons
    assert models.overall.difference == pytest.approx(sides["bad", 0].mean() - sides["good", 0].mean())
    assert (models.seeds, models.overall.verdict) == ((1, 1), "worse")
    assert "McNemar" in models.method
    assert [side.differs for side in compared.sides] == [None, None]

    recipes = fr.compare_runs(["good-*.csv", [f"bad-{seed}.csv" for seed in range(3)]], data=sample)
    (comparison,) = recipes.comparisons
    assert (comparison.baseline, comparison.run, comparison.seeds) == ("good", "bad", (3, 3))
    assert recipes.sides[0].mean == pytest.approx(np.mean([sides["good", seed].mean() for seed in range(3)]))
    assert "recipe" in recipes.sides[0].whose
    scores = fr.evaluate_files("good-*.csv")
    assert scores["mean"] == pytest.approx(recipes.sides[0].mean)
    assert scores["interval"] == pytest.approx(list(recipes.sides[0].interval))
    assert scores["members"][0]["loss"] is None

    # With the data there are pictures, without it there is a reason.
    assert recipes.disagreements[0].sheet() is not None
    assert "give it as `data`" in compared.disagreements[0].missing


def test_labels_are_taken_from_the_data_where_a_file_has_none(run: fr.Run, sample: fr.Dataset) -> None:
    own = judged(run)
    write_csv("bare.csv", image=list(own.images), predicted=own.predicted)
    with pytest.raises(fr.DataError, match="label expected"):
        fr.evaluate_files("bare.csv")
    assert fr.evaluate_files("bare.csv", sample)["accuracy"] == run.result["test"]["accuracy"]

    write_csv("wrong.csv", label=(own.truth + 1) % 10, predicted=own.predicted)
    with pytest.raises(fr.DataError, match="don't agree what is on 1,000 of 1,000 images"):
        fr.evaluate_files("wrong.csv", sample)


def test_seeds_about_other_images_or_labels_are_refused(run: fr.Run) -> None:
    label = np.arange(100) % 3
    write_csv("a-0.csv", id=np.arange(100), label=label, predicted=label)
    write_csv("a-1.csv", id=np.arange(50, 150), label=label, predicted=label)
    with pytest.raises(fr.DataError, match=r"a-1\.csv: the images of a-0\.csv expected, 100 found, of which 50"):
        fr.evaluate_files("a-*.csv")
    write_csv("a-1.csv", id=np.arange(100), label=(label + 1) % 3, predicted=label)
    with pytest.raises(fr.DataError, match=r"a-1\.csv: the labels of a-0\.csv expected, 100 of 100 differ"):
        fr.evaluate_files("a-*.csv")

    # In another order they are the same.
    order = np.random.default_rng(0).permutation(100)
    write_csv("a-1.csv", id=order, label=label[order], predicted=label[order])
    assert fr.evaluate_files("a-*.csv")["mean"] == 1.0


def test_looking_again_at_files_with_more_seeds_is_counted(tmp_path: Path) -> None:
    label = np.arange(200) % 2
    for side in ("a", "b"):
        for seed in range(2):
            said = np.where(np.random.default_rng([seed, len(side), ord(side)]).random(200) < 0.2, 1 - label, label)
            write_csv(f"{side}-{seed}.csv", label=label, predicted=said)
    assert fr.compare_runs(["a-*.csv", "b-*.csv"]).comparisons[0].overall.decision.look == 1
    said = np.where(np.random.default_rng(9).random(200) < 0.2, 1 - label, label)
    write_csv("b-2.csv", label=label, predicted=said)
    assert fr.compare_runs(["a-*.csv", "b-*.csv"]).comparisons[0].overall.decision.look == 2


def test_the_command_judges_and_compares_files_and_writes_page_and_sheet(
    run: fr.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    own = judged(run)
    for seed in range(2):
        said = np.where(np.random.default_rng(seed).random(1000) < 0.1, (own.truth + 1) % 10, own.truth)
        np.savez(f"theirs-{seed}.npz", label=own.truth, predicted=said)
    assert main(["evaluate", "theirs-0.npz", "sample", "--csv", "mistakes.csv"]) == 0
    assert "Ankle boot" in capsys.readouterr().out
    assert Path("mistakes.csv").read_text(encoding="utf-8").startswith("file,row,label,predicted,probability\n")

    assert main(["compare", str(run.path), "theirs-*.npz", "--json", "--html", "page.html", "--sheet", "s.png"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["comparisons"][0]["verdict"] == "better"
    assert [side["run"] for side in answer["sides"]] == ["ours", "theirs"]
    assert answer["sides"][0]["accuracy"] == pytest.approx(run.result["test"]["accuracy"])
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count('<img class="tile"') > 5
    assert Path("s.png").stat().st_size > 1_000

    assert main(["compare", "theirs-0.npz", "no.npz"]) == 2
    assert main(["evaluate", "theirs-0.npz", "--subsets"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_several_runs_are_one_table_with_their_own_accuracies_and_what_differs(
    run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train_small(run.path.parent / "gentle", "stages.0.lr=1e-4")
    other.evaluate()
    own = judged(run)
    np.savez("theirs.npz", label=own.truth, predicted=own.truth)
    capsys.readouterr()
    assert main(["compare", str(run.path), str(other.path), "theirs.npz"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    (head,) = [i for i, row in enumerate(rows) if row[:3] == ["run", "seeds", "accuracy"]]
    assert [row[0] for row in rows[head + 1 : head + 4]] == ["ours", "gentle", "theirs"]
    assert f"{run.result['test']['accuracy']:.2%}" in printed
    assert "stages.0.lr: 0.004 → 0.0001" in printed
    assert printed.count("This was a test-set evaluation. Whichever") <= 1


@pytest.mark.parametrize(
    ("stems", "name"),
    [
        (["loop-0", "loop-1"], "loop"),
        (["loop-10", "loop-11", "loop-12"], "loop"),  # and not loop-1
        (["loop1", "loop12"], "loop"),
        (["resnet18-a", "resnet18-b"], "resnet18"),
        (["seed-3", "seed-4"], "mine"),
        (["alone-7"], "alone-7"),
    ],
)
def test_files_of_several_seeds_are_called_by_what_their_names_have_in_common(stems: list[str], name: str) -> None:
    assert name_of([Path("mine") / f"{stem}.csv" for stem in stems]) == name


def test_copies_of_an_image_count_once_in_a_file_as_they_do_in_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    images = np.repeat(random.integers(0, 256, (100, 8, 8), np.uint8), 5, axis=0)
    labels = np.repeat(np.arange(100) % 4, 5)
    data = fr.Dataset(images, labels, tuple("abcd"), "copies")
    right = np.repeat(random.random(100) < 0.85, 5)
    said = JudgedPredictions(
        np.eye(4, dtype=np.float32)[np.where(right, labels, (labels + 1) % 4)],
        np.where(right, labels, (labels + 1) % 4),
        classes=data.classes,
        truth=labels,
        images=tuple(digest.hex() for digest in data.image_hashes()),
        groups=groups_for_intervals(data),
    )
    answers = {"label": labels, "predicted": said.predicted}
    write_csv("hashes.csv", image=list(said.images), **answers)
    write_csv("rows.csv", **answers)
    write_csv("other.csv", image=list(said.images), label=labels, predicted=labels)
    expected = pytest.approx(said.scores()["interval"])
    assert fr.evaluate_files("hashes.csv")["interval"] == expected
    assert fr.evaluate_files("rows.csv", data)["interval"] == expected
    assert fr.evaluate_files("rows.csv")["interval"] != expected  # what says nothing of copies can't count them

    assert main(["compare", "hashes.csv", "other.csv"]) == 0
    assert "the 500 images compared come in 100 groups" in " ".join(capsys.readouterr().out.split())
