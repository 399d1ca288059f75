"""Values that aren't grey 8-bit pixels are named, and brought to them where that is exact."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fittingroom.audit import fast_findings
from fittingroom.data.convert import convert
from fittingroom.data.splits import Splits
from tests.support.planted import checked, names, only, parts, replaced


def write_npz(path: Path, images: NDArray[Any], labels: NDArray[Any] | None) -> Path:
    np.savez(path, x_train=images, **({} if labels is None else {"y_train": labels}))  # type: ignore[arg-type]  # taken for its option allow_pickle
    return path


def tinted(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([images, images // 2, images], axis=-1)


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (lambda x: (x / 255).astype(np.float32), "scaled-range"),
        (lambda x: x / 255, "scaled-range"),
        (lambda x: x.astype(np.uint16) * 257, "sixteen-bit"),
        (lambda x: x.astype(np.int32) * 256, "sixteen-bit"),
    ],
)
def test_exactly_scaled_pixels_are_named_and_brought_back(
    scale: Any, name: str, tmp_path: Path, sample: Splits
) -> None:
    report = checked(write_npz(tmp_path / "a.npz", scale(sample.train.images), sample.train.labels))
    assert names(report, "error") == {name}
    np.testing.assert_array_equal(parts(report)["train"].images, sample.train.images)
    assert report.checked[0].changes


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (lambda x: x / 255 * 2 - 1, "scaled-range"),
        (lambda x: (x / 255 - 0.286) / 0.353, "scaled-range"),
        (lambda x: np.where(x == 3, np.nan, x.astype(np.float32)), "scaled-range"),
        (lambda x: x.astype(np.uint16) * 200 + 7, "sixteen-bit"),
    ],
)
def test_what_would_need_a_guess_is_named_and_left(scale: Any, name: str, tmp_path: Path, sample: Splits) -> None:
    report = checked(write_npz(tmp_path / "a.npz", scale(sample.train.images[:300]), None))
    assert names(report, "error") == {name}
    assert parts(report) == {}


def test_a_range_of_0_to_16_in_bytes_is_named(tmp_path: Path, sample: Splits) -> None:
    report = checked(write_npz(tmp_path / "a.npz", sample.train.images // 16, sample.train.labels))
    finding = only(report, "scaled-range")
    assert finding.figures == {"low": 0, "high": 15}
    assert finding.severity == "warning"


def test_train_warns_of_a_range_of_0_to_16(sample: Splits) -> None:
    dark = replaced(sample.train, sample.train.images // 16)
    assert "scaled-range" in {finding.name for finding in fast_findings(Splits(dark))}
    assert "scaled-range" not in {finding.name for finding in fast_findings(sample)}


@pytest.mark.parametrize("labels", [[0.5], [-1], [np.nan], [100_000]])
def test_labels_that_are_no_classes_are_named(labels: list[float], tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    numbers = sample.train.labels.astype(np.float64)
    numbers[7] = labels[0]

    report = checked(write_npz(tmp_path / "a.npz", sample.train.images, numbers))
    assert names(report, "error") == {"label-range"}
    finding = only(report, "label-range")
    assert finding.figures["first_row"] == 7


def write_csv(path: Path, table: NDArray[Any], header: bool = True) -> Path:
    names_ = ",".join(["label", *(f"pixel{n}" for n in range(1, table.shape[1]))])
    np.savetxt(path, table, delimiter=",", fmt="%.7g", header=names_ if header else "", comments="")
    return path


@pytest.mark.parametrize("header", [True, False])
def test_csv_of_0_to_1_is_named_and_brought_back(header: bool, tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    table = np.column_stack([sample.train.labels[:200], sample.train.images[:200].reshape(200, -1) / 255])
    report = checked(write_csv(tmp_path / "a.csv", table, header))
    assert names(report, "error") == {"scaled-range"}
    np.testing.assert_array_equal(parts(report)["train"].images, sample.train.images[:200])
    np.testing.assert_array_equal(parts(report)["train"].labels, sample.train.labels[:200])


def test_csv_of_16_bits_is_named(tmp_path: Path, sample: Splits) -> None:
    table = np.column_stack([np.arange(200) % 10, sample.train.images[:200].reshape(200, -1) * 3.0])
    assert names(checked(write_csv(tmp_path / "a.csv", table)), "error") == {"sixteen-bit"}


def test_csv_that_is_cut_off_keeps_its_whole_rows(tmp_path: Path, sample: Splits) -> None:
    convert(Splits(sample.train), tmp_path / "train.csv")
    content = (tmp_path / "train.csv").read_bytes()
    (tmp_path / "cut.csv").write_bytes(content[: len(content) // 2])

    report = checked(tmp_path / "cut.csv")
    assert names(report, "error") == {"truncated"}
    kept = parts(report)["train"]
    np.testing.assert_array_equal(kept.images, sample.train.images[: len(kept)])
    assert 900 < len(kept) < 1_100


@pytest.mark.parametrize("name", ["label", "target"])
@pytest.mark.parametrize("damage", ["cut off", "0 to 1"])
def test_a_label_behind_the_pixels_is_found_by_the_header(
    damage: str, name: str, tmp_path: Path, sample: Splits
) -> None:
    assert sample.train.labels is not None
    pixels = sample.train.images[:200].reshape(200, -1) / (255 if damage == "0 to 1" else 1)
    header = ",".join([*(f"p{n}" for n in range(pixels.shape[1])), name])
    table = np.column_stack([pixels, sample.train.labels[:200]])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", fmt="%.7g", header=header, comments="")
    if damage == "cut off":
        (tmp_path / "a.csv").write_bytes((tmp_path / "a.csv").read_bytes()[:-100])

    report = checked(tmp_path / "a.csv")
    assert names(report, "error") == {"truncated" if damage == "cut off" else "scaled-range"}
    kept = parts(report)["train"]
    assert len(kept) == 200 - (damage == "cut off")
    np.testing.assert_array_equal(kept.images, sample.train.images[: len(kept)])
    np.testing.assert_array_equal(kept.labels, sample.train.labels[: len(kept)])


@pytest.mark.parametrize("name", ["id", ""])
@pytest.mark.parametrize("scale", [1, 255])
def test_a_column_that_may_be_anything_is_not_taken_for_the_label(
    scale: int, name: str, tmp_path: Path, sample: Splits
) -> None:
    table = np.column_stack([np.arange(200), sample.train.images[:200].reshape(200, -1) / scale])
    header = ",".join([name, *(f"pixel{n}" for n in range(1, table.shape[1]))])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", fmt="%.7g", header=header, comments="")
    report = checked(tmp_path / "a.csv")
    assert all(part.labels is None for part in parts(report).values())
    assert len(parts(report)) == (scale == 1)


@pytest.mark.parametrize("spoilt", ["", "row"])
def test_a_missing_cell_is_reported_and_no_row_is_left_out(spoilt: str, tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    table = np.column_stack([sample.train.labels[:50], sample.train.images[:50].reshape(50, -1) / 255])
    file = write_csv(tmp_path / "a.csv", table)
    lines = file.read_text().splitlines()
    cells = lines[7].split(",")
    lines[7] = ",".join(cells[:-1] if spoilt == "row" else [*cells[:5], "", *cells[6:]])
    file.write_text("\n".join(lines) + "\n")

    report = checked(file)
    assert not parts(report)
    assert "a.csv: row " in str(report.checked[0].problem)


def test_csv_that_is_a_web_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    assert names(checked(tmp_path / "a.csv"), "error") == {"web-page"}


@pytest.mark.parametrize("axis", [1, -1])
def test_colour_is_read_as_such_before_or_behind(axis: int, tmp_path: Path, sample: Splits) -> None:
    colour = tinted(sample.train.images[:300])
    report = checked(write_npz(tmp_path / "a.npz", np.moveaxis(colour, 3, axis), sample.train.labels[:300]))  # type: ignore[index]  # it has labels
    assert not names(report, "error")
    np.testing.assert_array_equal(parts(report)["train"].images, colour)
