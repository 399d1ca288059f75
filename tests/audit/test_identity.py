"""Which known data a set is, whatever its order, format and share of strangers; Kaggle's re-cut above all."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.audit import Report, check, fast_findings
from fittingroom.audit.reference import MANIFEST, TEST, TRAIN, hashes_of, manifest
from fittingroom.data.convert import convert
from fittingroom.data.dataset import Dataset, concatenate
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.data.splits import Splits
from tests.support.jpeg import as_jpeg
from tests.support.planted import both, checked, fast_errors, names, only, replaced, write_folder

KAGGLE_ROWS = Path(__file__).parents[1] / "data" / "kaggle_rows.csv"


def identities(report: Report) -> list[str | None]:
    return [identity for path in report.checked for identity in path.identity.values()]


def strangers(n: int) -> np.ndarray:
    """Images that aren't official: as the release before 2017-08-31 has some."""
    return np.random.default_rng(5).integers(0, 256, (n, 28, 28), np.uint8)


def recut(official: Splits, n_train: int = TRAIN, others: int = 3) -> Splits:
    """Pool the 70,000 images, put a few others in, and cut them by chance, as Kaggle's CSV files are."""
    pool = concatenate(both(official), "pool")
    images = pool.images.copy()
    images[[7, 30_000, 69_000][:others]] = strangers(others)
    pool = replaced(pool, images)
    order = np.random.default_rng(20_17).permutation(len(pool))
    return Splits(pool.subset(order[:n_train], "train"), test=pool.subset(order[n_train:], "test"))


def test_manifest_is_small_enough_and_of_the_official_images(official: Splits) -> None:
    assert sum(file.stat().st_size for file in MANIFEST.iterdir()) <= 700_000
    train, test = both(official)
    np.testing.assert_array_equal(manifest().rows_of(hashes_of(train)), np.arange(TRAIN))
    np.testing.assert_array_equal(manifest().rows_of(hashes_of(test)), np.arange(TRAIN, TRAIN + TEST))
    labels = [part.labels for part in (train, test) if part.labels is not None]
    np.testing.assert_array_equal(manifest().labels, np.concatenate(labels))


def test_other_images_are_not_in_the_manifest(digits: Dataset) -> None:
    assert (manifest().rows_of(hashes_of(digits)) == -1).all()


def test_the_tutorials_printed_rows_are_the_official_images_named(official: Splits) -> None:
    """19 of 784 pixels and the label: what the tutorial prints of Kaggle's CSV files."""
    train, test = both(official)
    pool = concatenate([train, test], "pool")
    with KAGGLE_ROWS.open() as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith("pixel")]
    shown = pool.images.reshape(len(pool), -1)[:, [int(name.removeprefix("pixel")) - 1 for name in columns]]
    assert pool.labels is not None
    assert shown.shape == (70_000, 19)

    # a row whose pixels fit several images names none of them
    only_one: dict[str, list[int]] = {"fashion-mnist_train.csv": [], "fashion-mnist_test.csv": []}
    for row in rows:
        same_label = pool.labels == int(row["label"])
        fits = np.flatnonzero(same_label & (shown == [int(row[column]) for column in columns]).all(axis=1))
        only_one[row["file"]] += fits.tolist() if len(fits) == 1 else []

    assert [row - TRAIN for row in only_one["fashion-mnist_train.csv"] if row >= TRAIN] == [44]
    assert [row for row in only_one["fashion-mnist_test.csv"] if row < TRAIN] == [34_561, 17_236, 52_381, 25_494]


@pytest.fixture(scope="module")
def kaggle(official: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CSV files called as Kaggle's are, of a re-cut of our own."""
    folder = tmp_path_factory.mktemp("kaggle")
    cut = recut(official)
    assert cut.test is not None
    convert(Splits(cut.train), folder / "fashion-mnist_train.csv")
    convert(Splits(cut.test), folder / "fashion-mnist_test.csv")
    return folder


def test_kaggles_cut_is_seen_by_itself(kaggle: Path) -> None:
    report = checked(kaggle / "fashion-mnist_train.csv", kaggle / "fashion-mnist_test.csv")
    assert names(report, "error") == {"resplit"}

    train, test = (finding for finding in report.findings if finding.name == "resplit")
    assert test.figures["official_train"] + test.figures["official_test"] + test.figures["not_official"] == TEST
    assert train.figures["official_train"] + train.figures["official_test"] + train.figures["not_official"] == TRAIN
    assert train.figures["not_official"] + test.figures["not_official"] == 3
    assert 0.84 < test.figures["share"] < 0.88  # 6 of 7
    assert train.figures["looks_like_chance"]
    assert test.figures["looks_like_chance"]
    assert "Kaggle" in test.message


def test_training_on_kaggles_csv_and_testing_on_the_idx_files_is_an_overlap(
    kaggle: Path, official: Splits, tmp_path: Path
) -> None:
    _, test = both(official)
    write_folder(tmp_path / "idx", test)  # called train-…, and still known for what it is
    for file in (tmp_path / "idx").iterdir():
        file.rename(file.with_name(file.name.replace("train", "t10k")))
    report = checked(kaggle / "fashion-mnist_train.csv", tmp_path / "idx")

    overlap, resplit = only(report, "overlap"), only(report, "resplit")
    assert overlap.severity == "error"
    assert overlap.figures["overlap"] == resplit.figures["official_test"]
    assert identities(report)[1] == "Fashion-MNIST test, official"


@pytest.mark.parametrize("n_train", [60_000, 50_000])
def test_train_warns_of_a_recut_in_its_fast_part(n_train: int, official: Splits) -> None:
    assert fast_errors(recut(official, n_train)) == {"resplit"}


@pytest.mark.parametrize("form", ["idx", "csv", "npz", "parquet", "folder"])
def test_official_images_in_any_order_and_format_raise_no_error(form: str, official: Splits, tmp_path: Path) -> None:
    """Of the slow formats 3,000 + 1,000 images; test_official_files_in_all_formats takes all."""
    random = np.random.default_rng(0)
    train, test = (part.subset(random.permutation(len(part))) for part in both(official))
    if form != "idx":
        train, test = train.subset(np.arange(3_000)), test.subset(np.arange(1_000))

    report = checked(write_form(Splits(train, test=test), tmp_path, form))
    assert names(report) == (set() if form == "idx" else {"subset"})
    if form == "idx":
        order = "official, in another order"
        assert set(identities(report)) == {f"Fashion-MNIST train, {order}", f"Fashion-MNIST test, {order}"}


@pytest.mark.nightly
@pytest.mark.parametrize("form", ["idx", "csv", "npz", "parquet", "folder"])
def test_official_files_in_all_formats(form: str, official: Splits, tmp_path: Path) -> None:
    report = checked(write_form(official, tmp_path, form))
    assert names(report) == set()
    assert all(identity and "official" in identity for identity in identities(report))


def write_form(data: Splits, folder: Path, form: str) -> Path:
    if form == "folder":
        from PIL import Image

        for role, part in zip(("train", "test"), both(data), strict=True):
            assert part.labels is not None
            for row, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
                file = folder / "pictures" / role / f"{label}" / f"{row}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(file)
        return folder / "pictures"

    path = folder / (f"fashion.{form}" if form == "npz" else f"fashion-{form}")
    if form == "idx":
        return write_folder(path, *both(data))
    convert(data, path, to=form)
    return path


def test_cut_off_and_other_images_make_a_subset(sample: Splits) -> None:
    findings = {finding.name: finding for finding in fast_findings(sample)}
    assert set(findings) == {"subset"}
    assert findings["subset"].severity == "note"


def old_release(official: Splits) -> tuple[Dataset, Dataset]:
    """As the release before 2017-08-31: 43 pairs of equal images in train, 1 in test, 10 test images in train."""
    train, test = both(official)
    train_rows, test_rows = np.arange(TRAIN), np.arange(TEST)
    train_rows[1_000:1_043] = train_rows[2_000:2_043]
    test_rows[500] = 600
    copies = concatenate([train.subset(train_rows[:-10]), test.subset(np.arange(10))], "train")
    return copies, test.subset(test_rows)


def test_the_old_release_is_seen(official: Splits, tmp_path: Path) -> None:
    report = checked(write_folder(tmp_path, *old_release(official)))
    test, train = (finding for finding in report.findings if finding.name == "old-release")
    assert (train.figures["duplicate_pairs"], test.figures["duplicate_pairs"]) == (43, 1)
    assert names(report) == {"old-release", "overlap", "duplicates"}


@pytest.mark.parametrize(
    ("name", "classes", "severity"),
    [
        ("fashion-mnist", tuple("0123456789"), "error"),
        ("data", FASHION_MNIST_CLASSES, "error"),
        ("digits", tuple("0123456789"), "warning"),
    ],
)
def test_mnist_in_place_of_fashion_mnist_is_seen(
    name: str, classes: tuple[str, ...], severity: str, digits: Dataset, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / name, digits)
    (folder / "classes.txt").write_text("\n".join(classes))

    report = checked(folder)
    finding = only(report, "wrong-dataset")
    assert finding.severity == severity
    assert "MNIST" in finding.message
    assert identities(report) == ["MNIST, by the means of its classes"]


def test_noise_that_is_called_fashion_mnist_is_another_set(tmp_path: Path) -> None:
    noise = Dataset(strangers(300), np.arange(300) % 10, tuple("0123456789"), "noise")
    assert names(checked(write_folder(tmp_path / "fashion-mnist", noise)), "error") == {"wrong-dataset"}
    assert names(checked(write_folder(tmp_path / "noise", noise)), "error") == set()


@pytest.mark.parametrize(("wrong", "severity"), [(5, "warning"), (100, "error")])
def test_labels_that_differ_from_the_official_ones_are_counted(wrong: int, severity: str, sample: Splits) -> None:
    assert sample.train.labels is not None
    labels = sample.train.labels.copy()
    labels[:wrong] = (labels[:wrong] + 1) % 10
    findings = fast_findings(Splits(replaced(sample.train, labels=labels), test=sample.test))
    (finding,) = (finding for finding in findings if finding.name == "label-noise")
    assert (finding.figures["differ"], finding.severity) == (wrong, severity)


def test_classes_in_the_order_of_their_names_are_the_official_ones(sample: Splits) -> None:
    assert sample.train.labels is not None
    order = np.argsort(FASHION_MNIST_CLASSES)
    names_by_alphabet = tuple(FASHION_MNIST_CLASSES[old].replace("/", "-") for old in order)
    labels = np.argsort(order)[sample.train.labels]
    as_folder = Dataset(sample.train.images, labels, names_by_alphabet, "a folder")
    assert "label-noise" not in {finding.name for finding in fast_findings(Splits(as_folder))}


def relabelled(dataset: Dataset, to: dict[int, int], classes: tuple[str, ...]) -> Dataset:
    """The images of these official classes, under other numbers and names."""
    assert dataset.labels is not None
    kept = dataset.subset(np.flatnonzero(np.isin(dataset.labels, list(to))))
    assert kept.labels is not None
    return Dataset(kept.images, np.array([to[label] for label in kept.labels.tolist()]), classes, "of one's own")


SHOES = {label: int(label in (5, 7, 9)) for label in range(10)}
GERMAN = ("Oberteil", "Hose", "Pullover", "Kleid", "Mantel", "Sandale", "Hemd", "Turnschuh", "Tasche", "Stiefel")
OF_THEIR_OWN = {
    "a subset, one name short": ({0: 0, 1: 1, 3: 2, 8: 3}, ("T-shirt", "Trouser", "Dress", "Bag")),
    "a subset numbered anew": ({0: 0, 1: 1, 3: 2, 8: 3}, ("0", "1", "2", "3")),
    "a subset that keeps most numbers": ({0: 0, 1: 1, 2: 2, 3: 3, 9: 4}, tuple("01234")),
    "a subset from the second class on": ({1: 0, 2: 1, 3: 2, 4: 3}, tuple("0123")),
    "two groups": (SHOES, ("not shoe", "shoe")),
    "two groups, numbered": (SHOES, ("0", "1")),
    "groups under an official name": ({0: 0, 2: 0, 6: 0, 8: 1}, ("Shirt", "Bag")),
    "translated": ({label: label for label in range(10)}, GERMAN),
    "all ten in another order of numbers": ({label: (7 * label) % 10 for label in range(10)}, tuple("0123456789")),
}


@pytest.mark.parametrize("what", OF_THEIR_OWN)
def test_classes_of_ones_own_are_not_called_wrong(what: str, sample: Splits) -> None:
    data = relabelled(sample.train, *OF_THEIR_OWN[what])
    assert {finding.name for finding in fast_findings(Splits(data))} <= {"subset", "imbalance"}


@pytest.mark.parametrize(
    ("what", "wrong"),
    [("a subset, one name short", 3), ("groups under an official name", 1), ("a subset that keeps most numbers", 3)],
)
def test_a_wrong_label_among_classes_of_ones_own_is_still_found(what: str, wrong: int, sample: Splits) -> None:
    data = relabelled(sample.train, *OF_THEIR_OWN[what])
    labels = data.labels.copy()  # type: ignore[union-attr]
    rows = np.flatnonzero(labels == 0)[:8]
    labels[rows] = wrong  # an image whose own name is not known may have a name that is
    findings = fast_findings(Splits(replaced(data, labels=labels)))
    (finding,) = (finding for finding in findings if finding.name == "label-noise")
    assert finding.figures["differ"] == 8


def test_names_in_a_wrong_order_are_an_error(sample: Splits) -> None:
    swapped = list(FASHION_MNIST_CLASSES)
    swapped[2], swapped[4] = swapped[4], swapped[2]
    data = Dataset(sample.train.images, sample.train.labels, tuple(swapped), "swapped")
    (finding,) = (finding for finding in fast_findings(Splits(data)) if finding.name == "label-noise")
    assert (finding.figures["share"], finding.severity) == (pytest.approx(0.2, abs=0.03), "error")


@pytest.mark.parametrize(("last", "low", "high"), [("10", 1, 10), ("9", 0, 9)])
def test_labels_that_are_all_one_off_are_one_error_with_what_to_do(
    last: str, low: int, high: int, sample: Splits
) -> None:
    assert sample.train.labels is not None
    labels = sample.train.labels + 1 if last == "10" else (sample.train.labels + 1) % 10
    data = Dataset(sample.train.images, labels, tuple(map(str, range(high + 1))), "from R")
    findings = [finding for finding in fast_findings(Splits(data)) if finding.name != "subset"]
    assert [finding.name for finding in findings] == ["label-range"]
    assert findings[0].figures == {"offset": 1, "displaced": 2_000, "n": 2_000, "low": low, "high": high}
    assert "all one off" in findings[0].message
    assert findings[0].advice.startswith("Subtract 1 from each label")


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, set()), (0.001, set()), (0.02, {"resplit"}), (0.5, {"resplit"}), (1.0, {"resplit"})]
)
def test_a_few_test_images_in_train_are_no_recut(share: float, expected: set[str], official: Splits) -> None:
    train, test = both(official)
    taken = round(share * 3_000)
    pool = concatenate([train.subset(np.arange(3_000)), test.subset(np.arange(3_000))], "mixed")
    mixed = pool.subset(np.arange(taken, 3_000 + taken))
    other = test.subset(np.arange(5_000, 6_000))
    assert fast_errors(Splits(mixed, test=other)) == expected


@pytest.mark.parametrize("change", [lambda x: x, lambda x: np.roll(x, 1, axis=2), lambda x: x // 2])
def test_changed_images_are_official_no_more(change: Callable[[np.ndarray], np.ndarray], sample: Splits) -> None:
    changed = replaced(sample.train, change(sample.train.images))
    known = manifest().rows_of(hashes_of(changed)) >= 0
    assert known.mean() == (1.0 if change(sample.train.images) is sample.train.images else 0.0)


@pytest.mark.parametrize("how", ["JPEG", "one grey level brighter"])
def test_known_images_with_other_pixels_are_known_by_their_classes(how: str, tmp_path: Path) -> None:
    sample = fr.open_dataset("sample").train
    images = np.minimum(sample.images, 254) + 1 if how != "JPEG" else as_jpeg(sample.images, 90)
    assert sample.labels is not None
    order = np.argsort(sample.classes)  # as a folder by name has them
    names, labels = [sample.classes[i] for i in order], np.argsort(order)[sample.labels]
    np.savez(tmp_path / "again.npz", x_train=images.astype(np.uint8), y_train=labels, classes=names)
    (said,) = check([tmp_path / "again.npz"], near=False).checked[0].identity.values()
    assert said is not None
    assert said.startswith(
        "Fashion-MNIST by the means of its classes, with other pixels than officially in 2,000 images"
    )
