"""The check of labels: nothing is judged by a model that saw it, planted errors are found, nothing done is lost."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.audit.findings import Finding
from fittingroom.audit.official_part import Part, part_of
from fittingroom.data.cache import cache_entries, clear_cache
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.intervals import wilson_interval
from fittingroom.label_check import Fold, LabelCheck, check_labels, estimate_label_noise, out_of_fold
from fittingroom.label_check.folds import long_enough
from fittingroom.parallel.jobs import run_jobs
from fittingroom.parallel.ray_engine import connected
from fittingroom.rendering.languages import translated
from tests.support import SUPPORT
from tests.support.photo_patches import photo_patches

LINEAR = f"model='{SUPPORT / 'linear_net.py'}:net'"
PLAIN = ["batch_size=256", "shift=0", "rotate=0", "scale=0", "brightness=0", "contrast=0", "ema=0"]
QUICK = fr.load_recipe("plain", overrides=[LINEAR, "stages.0.epochs=4", "precision=float32", *PLAIN])
HOW = LabelCheck(recipe=QUICK, folds=4, keep=False)


@pytest.fixture(scope="module")
def sample() -> fr.Splits:
    return fr.open_dataset("sample")


def parts_of(data: fr.Splits) -> list[Part]:
    assert data.test is not None
    return [part_of("train", data.train), part_of("test", data.test)]


def labels_of(dataset: Dataset) -> NDArray[np.int64]:
    assert dataset.labels is not None
    return dataset.labels


def with_errors(dataset: Dataset, share: float) -> tuple[Dataset, set[int]]:
    """The set with a share of its labels made wrong, and which."""
    random = np.random.default_rng(7)
    rows = random.permutation(len(dataset))[: round(share * len(dataset))]
    labels = labels_of(dataset).copy()
    labels[rows] = (labels[rows] + random.integers(1, 10, len(rows))) % 10
    return replace(dataset, labels=labels), set(rows.tolist())


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[Fold]:
    """The folds that were carried out; nothing is trained, each image is judged by its brightness."""
    done: list[Fold] = []

    def predict(self: Fold) -> NDArray[np.float32]:
        done.append(self)
        share = self.judged.mean(axis=(1, 2)) / 255
        rest = (1 - share) / (self.train.num_classes - 1)
        columns = [share, *[rest] * (self.train.num_classes - 1)]
        return np.stack(columns, axis=1).astype(np.float32)

    monkeypatch.setattr(Fold, "predict", predict)
    return done


def keys(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_no_image_is_judged_by_a_model_that_saw_it_or_its_equal(sample: fr.Splits, folds: list[Fold]) -> None:
    twice = sample.train.subset([*range(300), *range(100)])
    assert sample.test is not None
    leaking = Dataset(
        np.concatenate([sample.test.images[:50], twice.images[:20]]),
        np.concatenate([labels_of(sample.test)[:50], labels_of(twice)[:20]]),
        twice.classes,
        "test",
    )

    parts = [part_of("train", twice), part_of("test", leaking)]
    probabilities = out_of_fold(parts, QUICK, HOW)

    assert len(folds) == 4
    for fold in folds:
        assert not keys(fold.train.images) & keys(fold.judged)
    assert keys(np.concatenate([fold.judged for fold in folds])) == keys(np.concatenate([twice.images, leaking.images]))

    assert probabilities.shape == (470, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_no_image_is_judged_by_a_model_that_saw_its_group_or_a_near_duplicate(
    sample: fr.Splits, folds: list[Fold]
) -> None:
    images = sample.train.images[:300]
    brighter = np.clip(images[:100].astype(np.int16) + 6 * (images[:100] > 0), 0, 255).astype(np.uint8)
    labels = labels_of(sample.train)[:300]
    groups = tuple(f"person {row % 25}" if row >= 200 else None for row in range(400))
    train = Dataset(
        np.concatenate([images, brighter]),
        np.concatenate([labels, labels[:100]]),
        sample.train.classes,
        "t",
        groups=groups,
    )
    out_of_fold([part_of("train", train)], QUICK, HOW)

    of_row = {image.tobytes(): row for row, image in enumerate(train.images)}
    for fold in folds:
        seen = {of_row[image.tobytes()] for image in fold.train.images}
        judged = {of_row[image.tobytes()] for image in fold.judged}
        assert not {groups[row] for row in seen if groups[row]} & {groups[row] for row in judged if groups[row]}
        assert sum(1 for row in judged if row < 100 and row + 300 in seen) <= 3  # plain clothes lose their detail
        assert len(judged) == pytest.approx(100, abs=20)

    one_group = replace(train, groups=tuple("all" if label == 3 else None for label in labels_of(train)))
    with pytest.raises(fr.errors.DataError, match="those of Dress are all of one group or near-duplicates"):
        out_of_fold([part_of("train", one_group)], QUICK, HOW)


def test_test_images_are_judged_by_every_model_and_trained_on_by_none(sample: fr.Splits, folds: list[Fold]) -> None:
    parts = parts_of(sample)
    out_of_fold(parts, QUICK, HOW)
    test = keys(parts[1].dataset.images)
    for fold in folds:
        assert test <= keys(fold.judged)
        assert not test & keys(fold.train.images)
    assert sum(len(fold.judged) - 1_000 for fold in folds) == 2_000


def test_the_folds_have_every_class_evenly_and_seeds_of_their_own(sample: fr.Splits, folds: list[Fold]) -> None:
    out_of_fold([part_of("", sample.train)], QUICK, replace(HOW, seed=5))
    for fold in folds:
        assert set(np.bincount(labels_of(fold.train)).tolist()) == {150}

    assert [fold.recipe.seed for fold in folds] == [5, 6, 7, 8]
    assert {fold.recipe.validation for fold in folds} == {QUICK.validation}


def test_a_fold_is_a_job_that_another_process_can_do(sample: fr.Splits) -> None:
    fold = Fold(sample.train.subset(np.arange(200)), sample.train.images[200:260], QUICK, "cpu")
    again: Fold = pickle.loads(pickle.dumps(fold))
    np.testing.assert_array_equal(again.predict(), fold.predict())


def test_colour_is_checked_apart_from_grey_of_the_same_size() -> None:
    photos = photo_patches(160)
    grey = replace(photos, images=photos.images[..., 1], name="grey")
    short = ["stages.0.epochs=10", "precision=float32", "batch_size=32", "validation=0"]
    recipe = fr.load_recipe("plain", overrides=short)
    findings, found = check_labels([part_of("colour", photos), part_of("grey", grey)], replace(HOW, recipe=recipe))
    assert [issues.n for issues in found] == [160, 160]
    assert findings[0].figures["agree"] > 0.7
    assert findings[0].figures["agree"] != findings[1].figures["agree"]


def test_which_fold_ends_first_changes_no_bit(sample: fr.Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(QUICK, stages=(replace(QUICK.stages[0], epochs=1),))
    in_order = out_of_fold(parts_of(sample), quick, HOW)
    monkeypatch.setattr(
        "fittingroom.label_check.folds.run_jobs", lambda *given, **named: reversed(list(run_jobs(*given, **named)))
    )
    assert out_of_fold(parts_of(sample), quick, HOW).tobytes() == in_order.tobytes()


def test_planted_errors_are_found_worst_first_with_the_class_that_they_had(sample: fr.Splits) -> None:
    data, planted = with_errors(sample.train, 0.1)
    (finding,), (found,) = check_labels([part_of("train", data)], HOW)

    rows = [issue.row for issue in found.issues]
    hits = [row in planted for row in rows]
    assert sum(hits) > 0.7 * len(planted)
    assert np.mean(hits[:50]) > np.mean(hits[-50:])

    # What is suggested is what the label was before it was made wrong.
    truth = labels_of(sample.train)
    right = [found.issues[i].suggested == data.classes[truth[row]] for i, row in enumerate(rows) if row in planted]
    assert np.mean(right) > 0.7

    for issue in found.issues:
        assert issue.given == data.classes[labels_of(data)[issue.row]] != issue.suggested
        assert issue.of_given < issue.of_suggested

    assert (finding.name, finding.where) == ("label-noise", data.name)
    assert len(finding.figures["suspects"]) == len(rows)
    assert finding.figures["agree"] < 0.9
    assert finding.figures["at_most"] is None
    assert [len(row.captions) for row in finding.examples] == [12] * 10
    assert "too little (below 90%) to say how many labels are wrong" in finding.message


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1])
def test_where_classes_are_easy_the_rate_is_the_planted_one_and_the_bound_is_above_it(share: float) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 5, 4_000)
    probabilities = np.full((4_000, 5), 0.025) + 0.875 * np.eye(5)[truth] + random.uniform(0, 1e-3, (4_000, 5))
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    wrong = random.permutation(4_000)[: round(4_000 * share)]
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, 5, len(wrong))) % 5

    noise = estimate_label_noise(labels, probabilities.astype(np.float32))
    assert set(noise.rows.tolist()) == set(wrong.tolist())
    assert noise.rate == pytest.approx(share, abs=1e-3)
    assert noise.agree == pytest.approx(1 - share)
    if share < 0.1:
        assert noise.at_most is not None
        assert share < noise.at_most < share + 0.01
    np.testing.assert_array_equal(noise.suggested, truth)


def test_judges_that_are_often_wrong_bound_nothing() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 5, 2_000)
    probabilities = random.dirichlet(np.ones(5), 2_000) + 0.9 * np.eye(5)[truth]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    hard = random.random(2_000) < 0.15  # images whose right label no model finds
    noise = estimate_label_noise(np.where(hard, (truth + 1) % 5, truth), probabilities.astype(np.float32))
    assert noise.agree < 0.9
    assert noise.at_most is None


@pytest.mark.parametrize(("images", "epochs"), [(60_000, 2), (2_000, 12), (200, 15)])
def test_judges_of_small_sets_are_trained_for_longer(images: int, epochs: int) -> None:
    labels = np.arange(images) % 10
    part = part_of("train", Dataset(np.zeros((images, 2, 2), np.uint8), labels, tuple("0123456789"), "blank"))
    recipe = long_enough([part], LabelCheck())
    learned_from = images * 4 // 5
    assert recipe.epochs * -(-learned_from // recipe.images_a_step) >= fr.load_recipe("swift").min_steps
    assert recipe.epochs == epochs
    assert long_enough([part], HOW) == HOW.resolved()  # one's own asks for none


def test_a_check_that_was_stopped_goes_on_with_what_was_done(
    sample: fr.Splits, folds: list[Fold], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    parts, how = parts_of(sample), replace(HOW, keep=True)
    whole = out_of_fold(parts, QUICK, HOW)

    carried_out = Fold.predict

    def stopped(self: Fold) -> NDArray[np.float32]:
        if len(folds) == 6:
            raise KeyboardInterrupt
        return carried_out(self)

    with monkeypatch.context() as patch:
        patch.setattr(Fold, "predict", stopped)
        with pytest.raises(KeyboardInterrupt):
            out_of_fold(parts, QUICK, how)

    # Two folds were kept: the others are trained, and the answer is that of a check that was never stopped.
    told: list[str] = []
    np.testing.assert_array_equal(out_of_fold(parts, QUICK, how, told.append), whole)
    assert told == ["fold 3 of 4", "fold 4 of 4"]
    assert len(folds) == 8

    assert [entry.kind for entry in cache_entries()] == ["label check", "near-duplicates"]
    clear_cache()
    assert cache_entries() == []


def test_a_damaged_fold_or_another_check_is_trained_anew(
    sample: fr.Splits, folds: list[Fold], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    parts, how = parts_of(sample), replace(HOW, keep=True)
    out_of_fold(parts, QUICK, how)

    (file,) = tmp_path.glob("label-checks/*/fold-1.npy")
    file.write_bytes(file.read_bytes()[:1_000])
    out_of_fold(parts, QUICK, how)
    assert len(folds) == 5

    # Another seed, recipe or data is another check, of four folds each.
    out_of_fold(parts, QUICK, replace(how, seed=1))
    out_of_fold(parts, replace(QUICK, batch_size=100), how)
    changed, _ = with_errors(sample.train, 0.001)
    out_of_fold([part_of("train", changed), parts[1]], QUICK, how)
    assert len(folds) == 17


def test_nothing_is_kept_where_nothing_should_be(
    sample: fr.Splits, folds: list[Fold], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    out_of_fold(parts_of(sample), QUICK, HOW)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_other_classes_or_sizes_are_checked_apart(sample: fr.Splits, folds: list[Fold]) -> None:
    cropped = replace(sample.train, images=sample.train.images[:, :20, :20], name="cropped")
    findings, _ = check_labels([*parts_of(sample), part_of("", cropped)], HOW)
    assert [finding.where for finding in findings] == ["sample train", "sample test", "cropped"]
    assert len(folds) == 8


def _unlabelled(sample: fr.Splits) -> Sequence[Part]:
    return [part_of("train", replace(sample.train, labels=None, classes=()))]


def _rare(sample: fr.Splits) -> Sequence[Part]:
    labels = labels_of(sample.train)
    return [part_of("train", sample.train.subset((labels != 3) | (np.cumsum(labels == 3) <= 3)))]


@pytest.mark.parametrize(
    ("parts", "how", "message"),
    [
        (_unlabelled, HOW, "labelled images expected, none found"),
        (_rare, HOW, r"at least 4 different images of each class.*Dress has 3.*give fewer folds"),
        (parts_of, replace(HOW, folds=1), "2 or more expected, 1 found"),
        (parts_of, replace(HOW, recipe="swfit"), "did you mean swift"),
    ],
)
def test_what_cannot_be_checked_is_said_before_anything_is_trained(
    sample: fr.Splits, folds: list[Fold], parts: object, how: LabelCheck, message: str
) -> None:
    assert callable(parts)
    with pytest.raises(fr.FittingRoomError, match=message):
        check_labels(parts(sample), how)
    assert folds == []


# What follows starts Ray in this process, once.


@pytest.fixture(scope="module")
def ray() -> Iterator[fr.RayEngine]:
    engine = fr.RayEngine()
    with connected(engine):
        yield engine


@pytest.mark.nightly
def test_folds_on_ray_find_the_same_issues_bit_for_bit(sample: fr.Splits, ray: fr.RayEngine) -> None:
    told: list[str] = []
    on_ray = check_labels(parts_of(sample), HOW, told.append, ray)
    assert told[:4] == [f"fold {number} of 4" for number in range(1, 5)]

    findings, issues = check_labels(parts_of(sample), replace(HOW, threads=1))
    assert [finding.figures for finding in on_ray[0]] == [finding.figures for finding in findings]
    assert on_ray[1] == issues

    one, other = (out_of_fold(parts_of(sample), QUICK, replace(HOW, threads=1), engine=each) for each in (ray, None))
    assert one.tobytes() == other.tobytes()


KILLED_ONCE = """
import os, signal
from pathlib import Path
from tests.support.linear_net import net as linear


def net(num_classes, image_size):
    marker = Path({marker!r})
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return linear(num_classes, image_size)
"""


@pytest.mark.nightly
def test_the_fold_of_a_worker_that_was_killed_is_trained_by_another(
    sample: fr.Splits, ray: fr.RayEngine, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    (tmp_path / "net.py").write_text(KILLED_ONCE.format(marker=str(marker)), encoding="utf-8")
    recipe = replace(QUICK, model=f"{tmp_path / 'net.py'}:net")
    on_ray = out_of_fold(parts_of(sample), recipe, HOW, engine=ray)
    assert marker.exists()
    assert on_ray.tobytes() == out_of_fold(parts_of(sample), QUICK, replace(HOW, threads=1)).tobytes()


def test_images_of_another_size_than_the_recipe_asks_for_are_refused(sample: fr.Splits) -> None:
    how = replace(HOW, recipe=replace(QUICK, size=(20, 20)))
    with pytest.raises(fr.RecipeError, match="images of 20×20 pixels asked for by the recipe's size"):
        check_labels(parts_of(sample), how)


def test_the_bound_of_wrong_labels_counts_copies_once() -> None:
    # 60 images in ten copies each; those of three are labelled wrongly together, and of others it could be eight.
    group_N = np.repeat(np.arange(60), 10)
    truth_G = np.arange(60) % 4
    labels = np.where(np.arange(60) < 3, (truth_G + 1) % 4, truth_G)[group_N]
    probabilities = np.full((600, 4), 0.02, np.float32)
    probabilities[np.arange(600), truth_G[group_N]] = 0.94

    alone, together = (estimate_label_noise(labels, probabilities, groups_N) for groups_N in (None, group_N))
    assert alone.rate == together.rate == pytest.approx(0.05)
    assert alone.at_most is not None
    assert together.at_most is not None
    assert alone.at_most < 0.08
    assert together.at_most >= wilson_interval(3, 60)[1]


def said_of(
    monkeypatch: pytest.MonkeyPatch, labels: NDArray[np.int64], said: NDArray[np.int64], sure: float
) -> Finding:
    """The finding of labels of which the models say other ones, as sure as that; nothing is trained."""
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), np.uint8)
    dataset = Dataset(images, labels, classes, "train")
    said_of_image = {image.tobytes(): label for image, label in zip(images, said, strict=True)}

    def predict(self: Fold) -> NDArray[np.float32]:
        probabilities = np.full((len(self.judged), len(classes)), (1 - sure) / (len(classes) - 1), np.float32)
        rows = [said_of_image[image.tobytes()] for image in self.judged]
        probabilities[np.arange(len(rows)), rows] = sure
        return probabilities

    monkeypatch.setattr(Fold, "predict", predict)
    (finding,), _ = check_labels([part_of("train", dataset)], HOW)
    return finding


def test_no_label_to_look_at_is_told_so_with_no_advice_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(400) % 4
    finding = said_of(monkeypatch, labels, labels, 0.97)
    assert finding.message.startswith("none of 400 labels stands out as worth a look. Models that didn't see the image")
    assert "They" not in finding.message
    assert "--sheet" not in finding.advice
    assert not finding.examples
    assert translated(finding.message, "check") is not None
    assert translated(finding.advice, "check") is not None


def test_figures_of_a_label_check_are_not_rounded_across_what_they_are_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1,201 of 12,000 are answered otherwise: 89.99% agree, which is below 90%
    labels = np.arange(12_000) % 2
    said = np.where(np.arange(12_000) < 1_201, 1 - labels, labels)
    message = said_of(monkeypatch, labels, said, 0.9).message
    assert "agree with 89.99% of the labels. That is too little (below 90%)" in message

    # all but one of 3,000 is not all, and a bound is never below what it bounds
    labels = np.arange(3_000) % 2
    finding = said_of(monkeypatch, labels, np.where(np.arange(3_000) < 1, 1 - labels, labels), 0.97)
    assert "agree with 99.9% of the labels" in finding.message
    bound = float(finding.message.split("At most ")[1].split("%")[0]) / 100
    assert finding.figures["at_most"] <= bound < finding.figures["at_most"] + 0.0001
