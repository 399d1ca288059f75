"""Label issues are written, read back and matched by image; what ships is about the official test images."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fittingroom.audit.label_issues import (
    LabelIssue,
    LabelIssues,
    label_issues_of,
    read_label_issues,
    write_label_issues,
)
from fittingroom.audit.reference import MANIFEST, TRAIN, hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.data.fetch.fingerprints import FASHION_MNIST_CLASSES
from fittingroom.data.open import open_dataset
from fittingroom.errors import ArtifactError, DataError


@pytest.fixture
def judged() -> Dataset:
    test = open_dataset("sample").test
    assert test is not None
    return test.subset(np.arange(200))


@pytest.fixture
def three_issues(judged: Dataset) -> LabelIssues:
    """The labels of rows 3, 30 and 100 are issues."""
    assert judged.labels is not None
    hashes = hashes_of(judged)

    issues = [
        LabelIssue(
            image=f"{hashes[row]:016x}",
            row=row,
            given=judged.classes[judged.labels[row]],
            suggested="Bag",
            of_given=0.1,
            of_suggested=0.6,
        )
        for row in (3, 30, 100)
    ]

    # the file is matched by what was judged, not by its name
    images = judged.fingerprint.images
    return LabelIssues(reference="recipe x", name=judged.name, n=200, images=images, issues=tuple(issues))


def test_what_is_written_is_read_back(three_issues: LabelIssues, tmp_path: Path) -> None:
    write_label_issues(tmp_path / "s.json", [three_issues, three_issues])
    assert read_label_issues(tmp_path / "s.json") == [three_issues, three_issues]


def test_a_file_is_kept_where_there_is_one_and_rows_are_written_as_before(
    three_issues: LabelIssues, tmp_path: Path
) -> None:
    first, *others = three_issues.issues
    named = replace(three_issues, issues=(replace(first, file="bag/7.png"), *others))
    write_label_issues(tmp_path / "s.json", [named])
    written = json.loads((tmp_path / "s.json").read_text())["parts"][0]["suspects"]

    assert [issue.get("file") for issue in written] == ["bag/7.png", None, None]
    assert "file" not in written[1]
    assert read_label_issues(tmp_path / "s.json") == [named]
    assert [issue.place for issue in named.issues] == ["bag/7.png", "row 30", "row 100"]


def test_the_mask_is_by_image_whatever_the_order(three_issues: LabelIssues, judged: Dataset) -> None:
    assert np.flatnonzero(three_issues.mask(judged)).tolist() == [3, 30, 100]
    turned = judged.subset(np.arange(200)[::-1])
    assert three_issues.are_of(turned)
    assert np.flatnonzero(three_issues.mask(turned)).tolist() == [99, 169, 196]


def test_a_label_that_was_corrected_is_no_longer_an_issue(three_issues: LabelIssues, judged: Dataset) -> None:
    assert judged.labels is not None
    labels = judged.labels.copy()
    labels[30] = (labels[30] + 1) % 10
    assert np.flatnonzero(three_issues.mask(replace(judged, labels=labels))).tolist() == [3, 100]


def test_label_issues_of_other_images_are_refused_with_both_named(
    three_issues: LabelIssues, judged: Dataset, tmp_path: Path
) -> None:
    write_label_issues(tmp_path / "s.json", [three_issues])
    assert label_issues_of(judged, tmp_path / "s.json") == three_issues
    with pytest.raises(DataError, match=r"sample test \(199\) expected; these are of sample test \(200 images\)"):
        label_issues_of(judged.subset(np.arange(199)), tmp_path / "s.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "can't be read"),
        ('{"format": 2, "parts": []}', "format 1 expected, 2 found"),
        ('{"format": 1}', "a file of label issues expected"),
        ('{"format": 1, "parts": 3}', "a file of label issues expected"),
        ('{"format": 1, "parts": [{"reference": "x"}]}', "a file of label issues expected"),
        ('{"format": 1, "parts": [{"suspects": [{"image": "zz"}]}]}', "a file of label issues expected"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, judged: Dataset, content: str, message: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises((DataError, ArtifactError), match=rf"s\.json: .*{message}"):
        label_issues_of(judged, tmp_path / "s.json")


def test_what_ships_are_official_test_images_with_their_official_labels(judged: Dataset) -> None:
    shipped = label_issues_of(judged)
    assert shipped is not None

    assert shipped.n == 10_000
    hashes = np.array([int(issue.image, 16) for issue in shipped.issues], np.uint64)
    rows = manifest().rows_of(hashes)
    assert [TRAIN + issue.row for issue in shipped.issues] == rows.tolist()
    official = manifest().labels[rows]
    assert [FASHION_MNIST_CLASSES[label] for label in official] == [issue.given for issue in shipped.issues]
    assert all(issue.given != issue.suggested for issue in shipped.issues)
    assert sum(file.stat().st_size for file in MANIFEST.iterdir()) <= 700_000


def test_nothing_ships_for_other_images(judged: Dataset) -> None:
    assert label_issues_of(replace(judged, images=255 - judged.images)) is None
    assert label_issues_of(replace(judged, images=judged.images[:, :20, :20])) is None
    assert label_issues_of(open_dataset("sample").train) is None
