"""What a comparison says of real runs: figures, verdicts, and what is unfair about it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import fittingroom as fr
from fittingroom.cli import console
from fittingroom.cli.compare import _print_classes
from fittingroom.compare.answers import Answers, read_answers
from fittingroom.compare.comparison import Decision, p_text, points
from fittingroom.compare.verdict import compare_answers
from fittingroom.data.formats.npz import write_npz
from fittingroom.evaluation.predictions import Predictions, read_predictions, write_predictions
from fittingroom.runs.compare_ledger import level_of_look
from fittingroom.runs.ledger import read_evaluations
from fittingroom.training.inference import judge
from tests.support import NARROW


@pytest.fixture(scope="module")
def sample() -> fr.Splits:
    return fr.open_dataset("sample")


@pytest.fixture(scope="module")
def trained(sample: fr.Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of one epoch on 300 images. Judged on 200: one and two; on 200 of which 100 differ: moved."""
    folder = tmp_path_factory.mktemp("trained")
    test = sample.test
    assert test is not None
    few = sample.train.subset(np.arange(300))

    # Each is wrong in one way: tested on other images, trained on test images, chosen by test images.
    parts = {
        "usual": fr.Splits(few, None, test.subset(np.arange(200))),
        "moved": fr.Splits(few, None, test.subset(np.arange(100, 300))),
        "leaked": fr.Splits(test.subset(np.arange(50, 350)), None, test.subset(np.arange(200))),
        "elsewhere": fr.Splits(few, None, test.subset(np.arange(500, 700))),
        "swapped": fr.Splits(test.subset(np.arange(200)), None, few),
        "chosen": fr.Splits(few, test.subset(np.arange(150, 250)), test.subset(np.arange(200))),
    }
    for name, data in parts.items():
        write_npz(folder / f"{name}.npz", data)

    runs = folder / "runs"
    train(folder / "usual.npz", runs / "one")
    train(folder / "usual.npz", runs / "two", seed=1)
    for name in ("moved", "leaked", "elsewhere", "swapped"):
        train(folder / f"{name}.npz", runs / name)
    train(folder / "chosen.npz", runs / "chosen", "keep=best")
    return folder


def train(data: Path, out: Path, *overrides: str, seed: int = 0) -> fr.Run:
    small = ("stages.0.epochs=1", "precision=float32", "batch_size=64", "validation=60", NARROW)
    run = fr.train(data, fr.load_recipe("plain", overrides=[*small, *overrides]), out=out, seed=seed)
    run.evaluate()
    return run


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """The runs, to be changed at will."""
    return Path(shutil.copytree(trained / "runs", tmp_path / "runs"))


def answer(run: Path, right: np.ndarray, *, order: np.ndarray | None = None) -> None:
    """Make the run's predictions on test right where ``right`` (N,) is true, and the next class elsewhere."""
    opened = fr.open_run(run)
    data = opened.open_data().test
    assert data is not None
    assert data.labels is not None
    said = np.where(right, data.labels, (data.labels + 1) % 10)
    order = np.arange(len(data)) if order is None else order
    probabilities = np.full((len(data), 10), 0.01, np.float32)
    probabilities[np.arange(len(data)), said] = 0.91
    judged = judge(Predictions.of(probabilities[order]), data.subset(order))
    write_predictions(opened.predictions_file("test"), judged)


def marks(n: int, *wrong: int) -> np.ndarray:
    right = np.ones(n, dtype=bool)
    right[list(wrong)] = False
    return right


def test_two_models_are_paired_by_image_whatever_the_order(runs: Path) -> None:
    answer(runs / "one", marks(200, *range(30)))
    answer(runs / "two", marks(200, *range(22, 32)), order=np.random.default_rng(0).permutation(200))

    (comparison,) = fr.compare_runs([runs / "one", runs / "two"]).comparisons
    assert comparison.overall.difference == pytest.approx(20 / 200)
    assert comparison.overall.p_value == pytest.approx(stats.binomtest(2, 24).pvalue)
    assert (comparison.overall.n, comparison.seeds, comparison.overall.verdict) == (200, (1, 1), "better")
    assert comparison.overall.interval[0] > 0

    assert comparison.sentence.startswith("two is better than one by 10.00 points (95% ")
    assert comparison.sentence.endswith(", one seed each, 200 images)")
    assert "can't speak for their recipes" in comparison.scope
    assert "two's own accuracy on it now tends to be a little too good" in comparison.notes[0]


def test_the_other_way_round_it_is_worse_by_as_much(runs: Path) -> None:
    answer(runs / "one", marks(200, *range(30)))
    answer(runs / "two", marks(200, *range(22, 32)))
    (there,) = fr.compare_runs([runs / "one", runs / "two"]).comparisons
    (back,) = fr.compare_runs([runs / "two", runs / "one"]).comparisons
    assert back.overall.verdict == "worse"
    assert back.overall.difference == -there.overall.difference
    assert back.overall.interval == pytest.approx((-there.overall.interval[1], -there.overall.interval[0]))
    assert there.sentence.split(" by ")[1] == back.sentence.split(" by ")[1]


def test_models_that_can_not_be_told_apart_get_a_number_of_images(runs: Path) -> None:
    answer(runs / "one", marks(200, 1, 2, 3, 4))
    answer(runs / "two", marks(200, 3, 4, 5))
    (comparison,) = fr.compare_runs([runs / "one", runs / "two"], minimum_effect=0.01).comparisons
    assert comparison.overall.verdict == "cannot tell"
    assert comparison.sentence.startswith("can't tell two from one: +0.50 points (95% −")
    assert "to detect a difference of 1 between two such models you need about " in comparison.sentence
    low, high = comparison.plan["images_range"]
    assert low < comparison.plan["images"] < high
    assert "Whichever you choose now" in comparison.notes[0]


def test_classes_are_compared_with_a_correction_for_all_of_them(runs: Path) -> None:
    data = fr.open_run(runs / "one").open_data().test
    assert data is not None
    assert data.labels is not None
    of_bag = np.flatnonzero(data.labels == data.classes.index("Bag"))
    answer(runs / "one", marks(200, *of_bag[:14]))
    answer(runs / "two", marks(200))

    (comparison,) = fr.compare_runs([runs / "one", runs / "two"]).comparisons
    assert [row.name for row in comparison.per_class] == list(data.classes)
    assert sum(row.n for row in comparison.per_class) == 200

    (bag,) = [row for row in comparison.per_class if row.differs]
    assert bag.name == "Bag"
    assert bag.p_holm == pytest.approx(10 * stats.binomtest(14, 14).pvalue)
    assert bag.difference == pytest.approx(14 / bag.n)
    assert bag.interval is not None
    assert bag.interval[0] > 0
    assert all(
        row.interval is not None and row.interval[0] <= 0 <= row.interval[1]
        for row in comparison.per_class
        if row != bag
    )


def test_a_comparison_on_test_goes_on_record_and_one_on_validation_does_not(runs: Path) -> None:
    data = fr.open_run(runs / "one").environment.data.test
    assert data is not None
    before = len(read_evaluations(runs, data.images))

    fr.compare_runs([runs / "one", runs / "two"])
    *_, evaluation = evaluations = read_evaluations(runs, data.images)

    assert len(evaluations) == before + 1
    assert evaluation["run"] == "one, two"

    (comparison,) = fr.compare_runs([runs / "one", runs / "two"], on="validation").comparisons
    assert len(read_evaluations(runs, data.images)) == before + 1
    assert comparison.overall.n == 60
    assert comparison.notes == []


def test_more_evaluations_than_the_models_need_are_counted(runs: Path) -> None:
    (runs / "test-looks.jsonl").unlink()
    for name in ("one", "two"):
        fr.open_run(runs / name).evaluate()
    (first,) = fr.compare_runs([runs / "one", runs / "two"]).comparisons
    (second,) = fr.compare_runs([runs / "one", runs / "two"]).comparisons
    assert first.warnings == []
    assert "was evaluated on 3 times before, 2 of them to judge these models" in second.warnings[0]


def warnings(runs: Path, *names: str) -> list[str]:
    (comparison,) = fr.compare_runs([runs / name for name in names]).comparisons
    return [warning for warning in comparison.warnings if "was evaluated on" not in warning]


def test_different_test_images_are_compared_where_they_meet_and_that_is_said_first(runs: Path) -> None:
    (comparison,) = fr.compare_runs([runs / "one", runs / "moved"]).comparisons
    assert comparison.overall.n == 100
    assert comparison.warnings[0] == (
        "they were judged on different test images, 200 and 200; compared on the 100 that they have in common"
    )


def test_test_images_that_were_trained_on_are_counted(runs: Path) -> None:
    first, second, *rest = warnings(runs, "one", "leaked")
    assert first == "the training data of leaked hold 150 of 200 test images of one; 150 of them are compared"
    assert second.startswith("they were trained on different images")
    assert not rest
    assert warnings(runs, "one", "two") == []


def test_what_is_the_same_of_both_is_said_once_and_equal_images_count_one_by_one(runs: Path, trained: Path) -> None:
    train(trained / "leaked.npz", runs / "again", seed=1)
    said = "the training data of both hold 150 of their 200 test images; 150 of them are compared"
    assert warnings(runs, "leaked", "again") == [said]

    from fittingroom.compare.validity import TrainingImages

    answers = read_answers(fr.open_run(runs / "one"), "one", "test")
    (first, _), (second, _), *others = answers.images
    twice = replace(answers, images=[(first, 0), (first, 1), *others], sources=None)
    assert TrainingImages(frozenset({first, second})).among(twice) == 2


def test_training_on_the_others_whole_test_set_is_seen_without_the_data(runs: Path, trained: Path) -> None:
    one, swapped = (read_answers(fr.open_run(runs / name), name, "test") for name in ("one", "swapped"))
    from fittingroom.compare.validity import TrainingImages, find_warnings

    nothing = TrainingImages(frozenset(), "gone")
    known = {side.run.environment.data.train.content: nothing for side in (one, swapped) if side.run}
    sentences = find_warnings(one, swapped, one, "test", known)
    assert "the training data of swapped are the very images that one was tested on" in sentences


def test_data_that_is_gone_is_named(runs: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_run: fr.Run) -> fr.Splits:
        raise fr.DataError("usual.npz: nothing there")

    monkeypatch.setattr(fr.Run, "open_data", gone)
    sentences = warnings(runs, "one", "two")
    assert sentences[0] == "whether the training data of one hold test images isn't known: usual.npz: nothing there"


def test_a_checkpoint_chosen_by_the_images_compared_is_named(runs: Path) -> None:
    assert "chosen chose its checkpoint by 50 of the 200 images compared" in warnings(runs, "one", "chosen")


def test_what_was_chosen_on_validation_is_flattered_on_validation(runs: Path, trained: Path) -> None:
    train(trained / "usual.npz", runs / "best", "keep=best")
    (comparison,) = fr.compare_runs([runs / "two", runs / "best"], on="validation").comparisons
    assert comparison.warnings == ["best chose its checkpoint by 60 of the 60 images compared"]


def test_three_runs_are_two_comparisons_with_the_first(runs: Path) -> None:
    shutil.copytree(runs / "two", runs / "three")
    compared = fr.compare_runs([runs / "one", runs / "two", runs / "three"])
    assert [comparison.run for comparison in compared.comparisons] == ["two", "three"]
    for comparison in compared.comparisons:
        overall = comparison.overall
        assert overall.decision.interval_name == "simultaneous 95%"
        assert overall.p_decisive == min(1, 2 * overall.p_value)  # Holm's, of two that are equal
        assert overall.interval[0] < overall.unadjusted_interval[0]
        assert overall.unadjusted_interval[1] < overall.interval[1]
        assert comparison.notes[0].startswith("2 runs against one baseline: decided by Holm's p")
        assert comparison.notes[1].startswith("Unadjusted: 95% ")
    assert compared.as_dict()["baseline"] == "one"
    assert compared.interval_names == "simultaneous 95%"

    # A pair that was looked at before is held to less: the table names either interval.
    answer(runs / "three", marks(200, 7))
    compared = fr.compare_runs([runs / "one", runs / "two", runs / "three"])
    assert [each.overall.decision.look for each in compared.comparisons] == [1, 2]
    assert compared.interval_names == "simultaneous 95% or 99.39%, as each sentence says"


def test_holm_may_decide_what_the_simultaneous_interval_leaves_open_and_that_is_said(runs: Path) -> None:
    shutil.copytree(runs / "two", runs / "three")
    recipe = runs / "three" / "recipe.toml"  # another recipe, or it would be one pair that is looked at twice
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace("batch_size = 64", "batch_size = 32"), encoding="utf-8"
    )
    answer(runs / "one", marks(200, *range(40)))
    answer(runs / "two", marks(200, *range(10)))  # 30 to 0: beyond doubt

    # 6 to 0 has p 0.031: below 0.05, and above the half of it that Bonferroni's interval of two runs goes by.
    answer(runs / "three", marks(200, *range(6, 40)))
    _, three = fr.compare_runs([runs / "one", runs / "two", runs / "three"]).comparisons
    assert three.overall.p_value == three.overall.p_decisive == pytest.approx(2 / 2**6)
    assert three.overall.verdict == "better"
    assert three.overall.interval[0] <= 0
    assert any("p and the interval disagree" in note for note in three.notes)


def test_looking_again_with_other_members_costs_and_with_the_same_ones_does_not(runs: Path) -> None:
    answer(runs / "two", marks(200))
    pair = [runs / "one", runs / "two"]
    decisions = [fr.compare_runs(both).comparisons[0].overall.decision for both in (pair, pair, pair[::-1])]
    assert [(decision.look, decision.level) for decision in decisions] == [(1, 0.05)] * 3
    ledger = runs / "compare-looks.jsonl"
    assert len(ledger.read_text(encoding="utf-8").splitlines()) == 1

    # One run of other answers is a member that was not seen before, wherever it lies and whatever it is called.
    shutil.copytree(runs / "two", runs / "again")
    answer(runs / "again", marks(200, 7))
    (comparison,) = fr.compare_runs([runs / "one", runs / "again"]).comparisons
    assert comparison.overall.decision.look == 2
    assert comparison.overall.decision.level == pytest.approx(0.00608, abs=1e-5)
    assert comparison.notes[0].startswith("Look 2 at this pair: p has to be below 0.006079")
    assert "(99.39% " in comparison.sentence
    assert fr.compare_runs(pair).comparisons[0].overall.decision.look == 1

    # Another question: validation.
    assert fr.compare_runs(pair, on="validation").comparisons[0].overall.decision.look == 1


def test_looks_that_can_not_be_recorded_are_said_and_the_plain_interval_is_used(runs: Path) -> None:
    (runs / "compare-looks.jsonl").mkdir()
    (comparison,) = fr.compare_runs([runs / "one", runs / "two"], on="validation").comparisons
    assert comparison.overall.decision.look == 1
    assert any("compare-looks.jsonl can't be written" in warning for warning in comparison.warnings)


def test_the_old_name_of_the_minimum_effect_is_still_taken(runs: Path) -> None:
    with pytest.warns(DeprecationWarning, match="minimum_effect"):
        (comparison,) = fr.compare_runs([runs / "one", runs / "two"], worth_seeing=0.01).comparisons
    assert comparison.plan["difference"] == 0.01


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one"], "two or more different runs expected"),
        (["one", "one"], "two or more different runs expected"),
        (["one", "nowhere"], "a run's folder expected"),
        (["one", "elsewhere"], r"judged on different images \(200 and 200, 0 in common\)"),
    ],
)
def test_what_can_not_be_compared_is_refused(names: list[str], message: str, runs: Path) -> None:
    with pytest.raises(fr.FittingRoomError, match=message):
        fr.compare_runs([runs / name for name in names])


def test_other_class_names_are_refused_with_both_lists(runs: Path, sample: fr.Splits) -> None:
    data = fr.open_run(runs / "two").open_data().test
    assert data is not None
    answer(runs / "two", marks(200))

    # The same labels by number, under names of their own.
    numbers = tuple(map(str, range(10)))
    said = Predictions.of(np.eye(10, dtype=np.float32)[data.labels])
    write_predictions(runs / "two" / "predictions.parquet", judge(said, replace(data, classes=numbers)))
    config = runs / "two" / "config.json"
    text = config.read_text(encoding="utf-8")
    for number, name in enumerate(data.classes):
        text = text.replace(f'"{name}"', f'"{number}"')
    config.write_text(text, encoding="utf-8")

    with pytest.raises(fr.DataError, match=r"don't agree what is on 200 of 200 images.*T-shirt/top.*of two: 0, 1, 2"):
        fr.compare_runs([runs / "one", runs / "two"])


@pytest.mark.parametrize(("on", "message"), [("test", "fittingroom evaluate"), ("validation", "it held none out")])
def test_a_run_that_was_not_judged_says_what_to_do(on: str, message: str, runs: Path) -> None:
    (runs / "two" / ("predictions.parquet" if on == "test" else "predictions-validation.parquet")).unlink()
    with pytest.raises(fr.ArtifactError, match=message):
        fr.compare_runs([runs / "one", runs / "two"], on=on)  # type: ignore[arg-type]


def test_damaged_predictions_are_named(runs: Path) -> None:
    (runs / "two" / "predictions.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(fr.ArtifactError, match=r"two/predictions\.parquet"):
        fr.compare_runs([runs / "one", runs / "two"])


# Several seeds: answers made up, so that the verdict is known.


@pytest.fixture
def recipes(runs: Path) -> Callable[..., tuple[Answers, Answers]]:
    """Two recipes of so many seeds on 200 images, by the share that each gets right."""
    base = read_answers(fr.open_run(runs / "one"), "one", "test")

    def make(first: float, second: float, seeds: tuple[int, int]) -> tuple[Answers, Answers]:
        generator = np.random.default_rng(0)
        ease = generator.random(len(base.images))
        sides = []
        for name, share, count in zip(("A", "B"), (first, second), seeds, strict=True):
            right = ease + generator.normal(0, 0.03, (count, len(ease))) < share
            predicted = np.where(right, base.truth, "another")
            sides.append(replace(base, name=name, predicted=predicted))
        return sides[0], sides[1]

    return make


def test_recipes_are_better_by_the_difference_of_their_means(recipes: Callable[..., tuple[Answers, Answers]]) -> None:
    first, second = recipes(0.6, 0.8, (4, 4))
    comparison = compare_answers(first, second, "test", minimum_effect=0.002, warnings=[])
    assert comparison.overall.verdict == "better"
    assert comparison.overall.difference == pytest.approx(
        np.mean(comparison.accuracies[1]) - np.mean(comparison.accuracies[0])
    )
    assert comparison.sentence.startswith("B is better than A by ")
    assert comparison.sentence.endswith(", 4 + 4 seeds)")
    assert comparison.scope == ""
    assert "degrees of freedom" in comparison.method


def test_recipes_that_can_not_be_told_apart_get_a_number_of_seeds_or_none(
    recipes: Callable[..., tuple[Answers, Answers]],
) -> None:
    first, second = recipes(0.7, 0.7, (3, 3))
    small, large, plenty = (
        compare_answers(first, second, "test", minimum_effect=size, warnings=[]) for size in (1e-4, 0.02, 0.3)
    )
    assert small.overall.verdict == "cannot tell"
    assert small.plan["seeds"] is None
    assert small.sentence.endswith("; 200 images are too few to say what it would take")  # one of them is 0.5 points
    low, high = large.plan["seeds_range"]
    assert low <= large.plan["seeds"] <= (high or math.inf)
    assert "to detect a difference of 2 you need " in large.sentence
    assert plenty.overall.verdict == "smaller than the effect"
    assert plenty.sentence.startswith("B and A differ by less than 30 points: ")


def test_one_model_against_a_recipe_speaks_for_the_model_alone(recipes: Callable[..., tuple[Answers, Answers]]) -> None:
    first, second = recipes(0.6, 0.8, (1, 5))
    comparison = compare_answers(first, second, "test", minimum_effect=0.002, warnings=[])
    assert comparison.seeds == (1, 5)
    assert comparison.scope.startswith("A has one seed: this is about that model against the recipe of B")


def test_a_class_that_differs_while_its_interval_holds_0_is_explained(
    recipes: Callable[..., tuple[Answers, Answers]], capsys: pytest.CaptureFixture[str]
) -> None:
    # Two classes: the one is won 4 times and lost 16, which leaves all of 5% to the other, won 14 times and lost 4.
    first, second = recipes(2.0, 2.0, (1, 1))
    names = np.where(np.arange(200) < 100, "zero", "one")
    sides = []
    for side, wrong in ((first, (*range(4), *range(150, 164))), (second, (*range(10, 26), *range(170, 174)))):
        predicted = np.where(marks(200, *wrong), names, "another")[None]
        sides.append(replace(side, predicted=predicted, truth=names, classes=("zero", "one")))
    comparison = compare_answers(sides[0], sides[1], "validation", minimum_effect=0.002, warnings=[])
    zero, one = comparison.per_class
    assert zero.differs
    assert not zero.interval_disagrees
    assert one.interval is not None
    assert one.differs
    assert one.interval[0] < 0 < one.interval[1]

    _print_classes(comparison, console.stdout())
    assert "where an interval holds 0 and the class differs, p decides" in capsys.readouterr().out


def test_seeds_that_agree_by_luck_make_no_claim_that_is_taken_back(
    recipes: Callable[..., tuple[Answers, Answers]],
) -> None:
    first, second = recipes(0.6, 0.6, (2, 2))
    for side, starts in ((first, (0, 20)), (second, (60, 90))):  # nearly as many right for each seed, not the same ones
        for row, start in enumerate(starts):
            side.predicted[row] = np.where(marks(200, *range(start, start + 40 + row)), side.truth, "another")
    comparison = compare_answers(first, second, "test", minimum_effect=0.002, warnings=[])
    assert not comparison.warnings

    # At least what these very models would have on other images.
    by_image = second.correct.mean(axis=0) - first.correct.mean(axis=0)
    low, high = comparison.overall.interval
    assert high - low >= 2 * 1.959 * by_image.std(ddof=1) / np.sqrt(200)
    assert comparison.overall.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("share", "near", "signed", "text"),
    [
        (0.0042, 1.0, False, "0.42"),
        (-0.0042, 1.0, True, "−0.42"),
        (0.0042, 1.0, True, "+0.42"),
        (0.0, 1.0, True, "0.00"),
        (-1e-6, 1.0, False, "0.00"),
        (0.000012, 0.000012, False, "0.001"),
    ],
)
def test_points_are_written_as_one_reads_them(share: float, near: float, signed: bool, text: str) -> None:
    assert points(share, nearest_zero=near, signed=signed) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0312, "0.031"), (1.0, "1"), (2e-5, "< 0.0001"), (0.00012, "0.00012"), (0.0496, "0.0496"), (0.0504, "0.05")],
)
def test_p_values_are_written_as_one_reads_them(p: float, text: str) -> None:
    assert p_text(p) == text
    assert p_text(p, sign=True) == (text if "<" in text else f"= {text}")


@pytest.mark.parametrize("look", [1, 2, 13, 20, 1000])
def test_no_interval_is_said_to_hold_in_100_percent(look: int) -> None:
    name = Decision(look=look, level=level_of_look(look)).interval_name
    assert float(name.rstrip("%")) == pytest.approx(100 * (1 - level_of_look(look)), abs=0.01)
    assert float(name.rstrip("%")) < 100


# The images.


def test_discordant_images_are_those_of_one_side_alone(runs: Path) -> None:
    answer(runs / "one", marks(200, 5, 6))
    answer(runs / "two", marks(200, 6, 7, 8))

    (disagreements,) = fr.compare_runs([runs / "one", runs / "two"]).disagreements
    data = fr.open_run(runs / "one").open_data().test
    assert data is not None
    assert data.labels is not None
    hashes = [digest.hex() for digest in data.image_hashes()]

    assert [(image.image, image.won_by_second) for image in disagreements.images] == [
        (hashes[5], True),
        (hashes[7], False),
        (hashes[8], False),
    ]

    next_class = dict(zip(data.classes, (*data.classes[1:], data.classes[0]), strict=True))
    assert all(image.predicted == next_class[image.truth] for image in disagreements.images)

    assert disagreements.missing == ""
    assert (disagreements.pixels[hashes[7]] == data.images[7]).all()

    sheet = disagreements.sheet()
    assert sheet is not None
    assert sheet.width > 100


def test_runs_that_never_differ_have_no_sheet(runs: Path) -> None:
    for name in ("one", "two"):
        answer(runs / name, marks(200, 5))
    compared = fr.compare_runs([runs / "one", runs / "two"])
    assert compared.disagreements[0].sheet() is None
    assert "the same answer to every image" in compared.comparisons[0].warnings[-1]


def test_a_class_that_nothing_can_be_said_of_is_not_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fittingroom.cli import main

    data = fr.open_run(runs / "one").open_data().test
    assert data is not None
    assert data.labels is not None
    kept = {name: np.flatnonzero(data.labels == i)[: 3 if i else None] for i, name in enumerate(data.classes)}
    few = np.concatenate([kept[name] for name in data.classes])  # three images of every class but the first
    for name in ("one", "two"):
        run = fr.open_run(runs / name)
        table = read_predictions(run.predictions_file("test"), run.artifact.classes)
        rows = np.isin(np.array(table.images), [data.image_hashes()[row].hex() for row in few])
        write_predictions(
            run.predictions_file("test"),
            judge(Predictions.of(table.probabilities[rows]), data.subset(np.flatnonzero(rows))),
        )
    assert main(["compare", str(runs / "one"), str(runs / "two")]) == 0
    printed = capsys.readouterr().out
    assert "9 of 10 classes are not listed: too few images or seeds" in printed
    assert data.classes[0] in printed
