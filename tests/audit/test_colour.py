"""Data in colour are checked as deeply as grey ones: real photographs raise no alarm, planted faults are found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.audit import as_html, as_sheet, check, fast_findings
from fittingroom.audit.check import repair_images
from fittingroom.audit.features import in_grey
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.official_part import part_of
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from tests.support.colour_images import Images, crops, flags, photographs, write_pictures
from tests.support.jpeg import as_jpeg
from tests.support.planted import checked, names, only, parts, replaced


def write_npz(path: Path, **parts_: Dataset) -> Path:
    arrays = {f"x_{part}": dataset.images for part, dataset in parts_.items()}
    labels = {f"y_{part}": dataset.labels for part, dataset in parts_.items()}
    np.savez(path, **arrays, **labels)  # type: ignore[arg-type]  # taken for its option allow_pickle
    return path


def in_colour(dataset: Dataset, tint: tuple[float, float, float] = (1, 1, 1)) -> Dataset:
    """A grey set with three channels, each of them darkened by a factor."""
    return replaced(dataset, (dataset.images[..., None] * np.array(tint)).astype(np.uint8))


@pytest.fixture(scope="module")
def photos() -> Dataset:
    return photographs(600)


def test_grey_is_pillows(photos: Dataset) -> None:
    by_pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in photos.images])
    np.testing.assert_array_equal(in_grey(photos.images), by_pillow)


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_photographs_raise_no_alarm(form: str, tmp_path: Path, photos: Dataset) -> None:
    path = write_pictures(tmp_path / "set", photos) if form == "folder" else write_npz(tmp_path / "a.npz", train=photos)
    report = checked(path)
    assert names(report) == set()
    assert parts(report)["train"].channels == 3


# ── near-duplicates ──────────────────────────────────────────────────────────────────────────────────────────


def test_flags_that_differ_in_colour_alone_are_no_near_duplicates() -> None:
    assert len(near_duplicates(flags()).pairs) == 0


@pytest.mark.parametrize("cast", [(40, -40, 0), (0, 40, -40), (-40, 0, 40)])
def test_the_same_drawing_in_another_hue_is_another_picture(cast: tuple[int, int, int], photos: Dataset) -> None:
    """Every pixel moved by one colour: each channel by itself correlates perfectly."""
    calm = 64 + photos.images[:50] // 2
    both = np.concatenate([calm, (calm + np.array(cast)).astype(np.uint8)])
    found = {tuple(pair) for pair in near_duplicates(both).pairs.tolist()}
    assert np.mean([(row, 50 + row) in found for row in range(50)]) <= 0.04


def test_a_cast_that_all_images_share_makes_no_two_of_them_alike(photos: Dataset) -> None:
    """As microscopy's stains do: most of what the pixels say is the same pink."""
    stained = (photos.images * 0.25 + np.array([180, 90, 150])).astype(np.uint8)
    assert len(near_duplicates(stained).pairs) <= len(near_duplicates(photos.images).pairs) + 3


PLANTED: dict[str, tuple[Callable[[Images], Images], float]] = {
    # what was done to the images: how, and the least share that must be found
    "equal": (lambda x: x, 1.0),
    "darker": (lambda x: (x * 0.7).astype(np.uint8), 0.95),
    "mirrored": (lambda x: x[:, :, ::-1], 0.98),
    "encoded as JPEG of quality 90": (lambda x: as_jpeg(x, 90), 0.75),
    "flags as JPEG": (lambda x: x, 1.0),
}


@pytest.mark.parametrize("what", PLANTED)
def test_recall_of_planted_near_duplicates(what: str, photos: Dataset) -> None:
    change, least = PLANTED[what]
    if what == "flags as JPEG":
        images, planted = flags(), as_jpeg(flags(), 75)
    else:
        images, planted = photos.images, change(photos.images[:200])
    found = {tuple(pair) for pair in near_duplicates(np.concatenate([images, planted])).pairs.tolist()}
    assert np.mean([(row, len(images) + row) in found for row in range(len(planted))]) >= least


@pytest.mark.parametrize("shape", [(1, 28, 28, 3), (2, 5, 9, 3), (40, 64, 48, 3), (10, 1, 1, 3)])
def test_any_number_and_size_of_images(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert near_duplicates(images).pairs.shape == (0, 2)


def test_large_images_are_compared_in_little_memory() -> None:
    import tracemalloc

    images = crops(12, side=256)
    both = np.concatenate([images, as_jpeg(images, 90)])
    tracemalloc.start()
    near_duplicates(both)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 << 20


# ── equal images, and files ──────────────────────────────────────────────────────────────────────────────────


def test_equal_images_are_named_by_their_files(tmp_path: Path, photos: Dataset) -> None:
    folder = write_pictures(tmp_path / "set", photos)
    first = next(iter((folder / "flower").iterdir()))
    (folder / "temple" / "again.png").write_bytes(first.read_bytes())
    report = checked(folder)

    finding = only(report, "duplicates")
    assert f"(files flower/{first.name} = temple/again.png)" in finding.message
    assert finding.figures["files"] == ["temple/again.png"]
    assert finding.as_json()["files"] == ["temple/again.png"]
    assert finding.figures["pairs_of_files"] == [[f"flower/{first.name}", "temple/again.png"]]
    assert finding.figures["other_label"] == 1
    assert str(tmp_path) not in finding.message


def test_near_duplicates_and_constant_images_are_named_by_their_files(tmp_path: Path, photos: Dataset) -> None:
    folder = write_pictures(tmp_path / "set", photos)
    Image.fromarray(photos.images[0][:, ::-1]).save(folder / "flower" / "turned.png")
    assert photos.labels is not None
    label = photos.classes[photos.labels[0]]
    Image.new("RGB", (32, 32), (10, 200, 30)).save(folder / "temple" / "plain.png")
    report = check([folder], cache=False)

    near = only(report, "near-duplicates")
    assert {f"{label}/0000.png", "flower/turned.png"} in [set(pair) for pair in near.figures["pairs_of_files"]]
    assert f"{label}/0000.png" in near.figures["files"]
    constant = only(report, "constant-image")
    assert "one colour throughout (file temple/plain.png)" in constant.message
    assert constant.figures["files"] == ["temple/plain.png"]


def test_data_without_files_go_by_rows(tmp_path: Path, photos: Dataset) -> None:
    images = photos.images.copy()
    images[5], images[9] = images[4], 77
    finding = only(report := checked(write_npz(tmp_path / "a.npz", train=replaced(photos, images))), "duplicates")
    assert "(rows 4 = 5)" in finding.message
    assert "files" not in finding.figures
    assert finding.as_json()["files"] == []
    assert only(report, "constant-image").figures["constant"] == 1


def test_colours_that_differ_between_channels_alone_are_no_constant_image(tmp_path: Path, photos: Dataset) -> None:
    images = photos.images.copy()
    images[3], images[4] = (1, 2, 3), (200, 200, 200)
    report = checked(write_npz(tmp_path / "a.npz", train=replaced(photos, images)))
    assert only(report, "constant-image").figures["constant"] == 2


def test_overlap_of_train_and_test_is_found(tmp_path: Path, photos: Dataset) -> None:
    other = photographs(100, seed=9)
    leaky = replaced(other, np.concatenate([photos.images[:20], other.images[20:]]))
    report = checked(write_npz(tmp_path / "a.npz", train=photos, test=leaky))
    assert only(report, "overlap").figures["overlap"] == 20


# ── layout ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [1, 3, 16, 100])
def test_a_run_of_pixels_that_begins_late_is_measured_and_put_back(by: int, photos: Dataset) -> None:
    run = np.roll(photos.images.reshape(-1), by)
    (finding,), repaired = repair_images(replaced(photos, run.reshape(photos.images.shape)))
    assert finding.name == "shifted"
    assert (finding.figures["offset"], finding.figures["rolled"]) == (by, False)
    np.testing.assert_array_equal(repaired.images, photos.images[:-1])
    np.testing.assert_array_equal(repaired.labels, photos.labels[:-1])  # type: ignore[index]  # it has labels


@pytest.mark.parametrize("by", [1, 16, 100])
def test_a_run_of_planes_that_begins_late_is_measured_and_put_back(by: int, photos: Dataset) -> None:
    """As in CIFAR's binary files: all red values of an image, then all green ones, then all blue ones."""
    run = np.roll(np.moveaxis(photos.images, 3, 1).reshape(-1), by)
    images = np.moveaxis(run.reshape(-1, 3, 32, 32), 1, 3)
    (finding,), repaired = repair_images(replaced(photos, images))
    assert (finding.name, finding.figures["offset"]) == ("shifted", by)
    np.testing.assert_array_equal(repaired.images, photos.images[:-1])


def test_images_that_were_rolled_each_are_put_back(photos: Dataset) -> None:
    flat = np.roll(photos.images.reshape(len(photos), -1), 50, axis=1)
    (finding,), repaired = repair_images(replaced(photos, flat.reshape(photos.images.shape)))
    assert (finding.figures["offset"], finding.figures["rolled"]) == (50, True)
    np.testing.assert_array_equal(repaired.images, photos.images)


def test_a_wrong_width_is_measured_and_reshaped(photos: Dataset) -> None:
    (finding,), repaired = repair_images(replaced(photos, photos.images.reshape(-1, 64, 16, 3)))
    assert (finding.name, finding.figures["true_width"]) == ("wrong-width", 32)
    np.testing.assert_array_equal(repaired.images, photos.images)


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_pictures_that_are_files_are_never_shifted(form: str, tmp_path: Path, photos: Dataset) -> None:
    """Whoever cuts pictures out of a strip, or pans a camera, has made no mistake with bytes."""
    run = np.roll(photos.images.reshape(-1), 300)
    moved = replaced(photos, run.reshape(photos.images.shape))
    assert "shifted" in names(checked(write_npz(tmp_path / "a.npz", train=moved)))

    path = write_pictures(tmp_path / "set", moved)
    if form == "parquet":
        import polars as pl

        pictures = [{"bytes": file.read_bytes(), "path": None} for file in sorted(path.rglob("*.png"))]
        path = tmp_path / "train.parquet"
        pl.DataFrame({"image": pictures, "label": [0, 1] * 300}).write_parquet(path)
    report = checked(path)
    assert not {"shifted", "wrong-width"} & names(report)
    assert not report.checked[0].problem


# ── orientation and identity ─────────────────────────────────────────────────────────────────────────────────

TINTS = [(1, 1, 1), (1, 0.6, 0.2)]


@pytest.mark.parametrize("tint", TINTS)
@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (lambda x: x.swapaxes(1, 2), "transposed"),
        (lambda x: x[:, :, ::-1], "mirrored"),
        (lambda x: np.rot90(x, 1, (1, 2)), "transposed"),
        (lambda x: 255 - x, "inverted"),
    ],
)
def test_turned_clothes_in_colour_are_turned_back(
    turn: Callable[[Images], Images], name: str, tint: tuple[float, float, float], sample: Splits
) -> None:
    clothes = in_colour(sample.train, tint)
    findings, repaired = repair_images(replaced(clothes, turn(clothes.images)))
    assert name in {finding.name for finding in findings if finding.severity == "error"}
    np.testing.assert_array_equal(repaired.images, clothes.images)


def test_a_light_ground_of_pictures_in_colour_is_no_fault(tmp_path: Path) -> None:
    images = np.full((200, 32, 32, 3), 255, np.uint8)
    images[:, 6:26, 6:26] = crops(200, side=20)
    report = checked(write_npz(tmp_path / "a.npz", train=replaced(photographs(200), images)))
    assert "inverted" not in names(report)


def test_official_images_with_three_equal_channels_are_known(sample: Splits) -> None:
    assert part_of("train", in_colour(sample.train)).official.all()
    assert not part_of("train", in_colour(sample.train, TINTS[1])).official.any()


# ── statistics and labels ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("channel", "called"), [(0, "red"), (1, "green"), (2, "blue")])
def test_a_channel_of_a_pixel_that_tells_the_label_is_named(
    channel: int, called: str, tmp_path: Path, photos: Dataset
) -> None:
    assert photos.labels is not None
    images = photos.images.copy()
    images[:, 7, 20, channel] = 40 + 9 * photos.labels
    finding = only(checked(write_npz(tmp_path / "a.npz", train=replaced(photos, images))), "leaky-pixel")
    assert finding.severity == "error"
    assert (finding.figures["row"], finding.figures["column"], finding.figures["channel"]) == (7, 20, called)
    assert f"(row 7, column 20, its {called})" in finding.message


def test_another_white_balance_is_a_shift_though_the_brightness_is_the_same(tmp_path: Path, photos: Dataset) -> None:
    other = photographs(600, seed=7)
    # 40 · 0.299 is about 20 · 0.587: red goes up, green down, and grey stays
    warm = np.clip(other.images.astype(int) + np.array([40, -20, 0]), 0, 255).astype(np.uint8)
    report = checked(write_npz(tmp_path / "a.npz", train=photos, test=replaced(other, warm)))
    finding = only(report, "split-shift")
    assert finding.figures["channel"] == "red"
    assert "mean red" in finding.message
    assert "split-shift" not in names(checked(write_npz(tmp_path / "b.npz", train=photos, test=other)))


def test_a_scaled_range_is_named(tmp_path: Path, photos: Dataset) -> None:
    report = checked(write_npz(tmp_path / "a.npz", train=replaced(photos, photos.images // 8)))
    assert only(report, "scaled-range").figures["high"] == 31


def test_colour_of_0_to_1_is_named_and_brought_back(tmp_path: Path, photos: Dataset) -> None:
    np.savez(tmp_path / "a.npz", x_train=(photos.images / 255).astype(np.float32), y_train=photos.labels)  # type: ignore[arg-type]  # taken for its option allow_pickle
    report = checked(tmp_path / "a.npz")
    assert names(report, "error") == {"scaled-range"}
    np.testing.assert_array_equal(parts(report)["train"].images, photos.images)


def test_labels_that_are_displaced_are_told_by_colour(photos: Dataset) -> None:
    """Flags of one brightness: grey can't tell which is which."""
    from fittingroom.audit.labels import labels_displaced

    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600)
    images = np.full((600, 12, 12, 3), 60, np.uint8) + random.integers(0, 20, (600, 12, 12, 3)).astype(np.uint8)
    images[np.arange(600), :, :, labels] += 90
    flags_ = Dataset(images, labels, ("red", "green", "blue"), "flags")
    assert labels_displaced(flags_)[0] == []
    (finding,), _ = labels_displaced(replaced(flags_, labels=np.roll(labels, -8)))
    assert (finding.name, finding.figures["offset"]) == ("label-offset", -8)


# ── notes on what the reader did ─────────────────────────────────────────────────────────────────────────────


def test_pictures_in_colour_that_are_made_grey_are_a_note(tmp_path: Path, photos: Dataset) -> None:
    folder = write_pictures(tmp_path / "set", photos)
    report = check([folder], near=False, cache=False, preprocessing=Preprocessing(channels=1))
    finding = only(report, "colour")
    assert finding.severity == "note"
    assert finding.figures == {"coloured": 300, "looked_at": 300}
    assert parts(report)["train"].channels == 1
    assert not report.has_errors


def test_pictures_of_16_bits_are_a_note(tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    for row in range(40):
        file = tmp_path / "set" / f"class{row % 2}" / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.train.images[row].astype(np.uint16) * 250).save(file)
    report = checked(tmp_path / "set")
    finding = only(report, "sixteen-bit")
    assert (finding.severity, finding.figures) == ("note", {"deep": 40, "looked_at": 40})
    assert not report.has_errors


def test_pictures_that_cannot_be_read_are_named_and_the_rest_is_checked(tmp_path: Path, photos: Dataset) -> None:
    folder = write_pictures(tmp_path / "set", photos.subset(np.arange(60)))
    pictures = sorted(folder.rglob("*.png"))
    pictures[3].write_bytes(pictures[3].read_bytes()[:200])
    pictures[7].write_bytes(b"no picture")
    pictures[9].write_bytes(pictures[8].read_bytes())
    report = checked(folder)

    finding = only(report, "unreadable")
    assert finding.severity == "error"
    assert finding.figures["files"] == [file.relative_to(folder).as_posix() for file in (pictures[3], pictures[7])]
    assert all(file.name in finding.message for file in (pictures[3], pictures[7]))
    assert "duplicates" in names(report)
    assert len(parts(report)["train"]) == 58


def test_what_the_reader_did_is_said(tmp_path: Path, photos: Dataset) -> None:
    folder = write_pictures(tmp_path / "set", photos.subset(np.arange(60)))
    Image.fromarray(crops(1, side=100)[0]).save(folder / "flower" / "large.png")
    report = checked(folder)
    assert "become 64×64" in only(report, "mixed-sizes").effect
    assert "become 64×64" in as_html(report)


# ── what is drawn, and the fast part ─────────────────────────────────────────────────────────────────────────


def test_page_and_sheet_show_the_examples_in_colour(tmp_path: Path, photos: Dataset) -> None:
    images = photos.images.copy()
    images[1] = images[0]
    report = checked(write_npz(tmp_path / "a.npz", train=replaced(photos, images)))
    assert "data:image/png;base64," in as_html(report)
    sheet = as_sheet(report.findings, "x")
    assert sheet is not None
    pixels = np.asarray(sheet).reshape(-1, 3)
    assert {tuple(pixel) for pixel in images[0].reshape(-1, 3).tolist()} <= {tuple(p) for p in pixels.tolist()}


def test_the_fast_part_knows_pictures_and_colour(tmp_path: Path, photos: Dataset) -> None:
    run = np.roll(photos.images.reshape(-1), 300).reshape(photos.images.shape)
    assert [finding.name for finding in fast_findings(Splits(replaced(photos, run)))] == ["shifted"]
    files = tuple(f"temple/{row}.png" for row in range(len(photos)))
    as_files = Dataset(run, photos.labels, photos.classes, "x", files)
    assert fast_findings(Splits(as_files)) == []


# ── other formats ────────────────────────────────────────────────────────────────────────────────────────────


def test_cifars_binary_files_are_known_alone_and_in_their_folder(tmp_path: Path, photos: Dataset) -> None:
    assert photos.labels is not None
    planes = np.moveaxis(photos.images, 3, 1).reshape(len(photos), -1)
    content = np.concatenate([photos.labels[:, None].astype(np.uint8), planes], axis=1).tobytes()
    (tmp_path / "data_batch_1.bin").write_bytes(content)

    for path in (tmp_path, tmp_path / "data_batch_1.bin"):
        report = checked(path)
        assert not names(report, "error")
        np.testing.assert_array_equal(parts(report)["train"].images, photos.images)


def test_qmnists_eight_columns_are_labels(tmp_path: Path, digits: Dataset) -> None:
    assert digits.labels is not None
    columns = np.zeros((len(digits), 8), np.int32)
    columns[:, 0], columns[:, 1:] = digits.labels, 9_000
    write_idx(tmp_path / "qmnist-train-images-idx3-ubyte", digits.images)
    write_idx(tmp_path / "qmnist-train-labels-idx2-int", columns)
    report = checked(tmp_path)
    assert not names(report, "error")
    np.testing.assert_array_equal(parts(report)["train"].labels, digits.labels)


def test_a_table_of_files_is_checked_as_pictures_are(tmp_path: Path, photos: Dataset) -> None:
    some = photos.subset(np.arange(120))
    folder = write_pictures(tmp_path / "set", some)
    files = sorted(file.relative_to(tmp_path / "set").as_posix() for file in folder.rglob("*.png"))
    (folder / files[1]).write_bytes((folder / files[0]).read_bytes())
    (folder / files[5]).write_bytes(b"no picture")
    table = folder / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{name},{name.partition('/')[0]}\n" for name in files))

    report = checked(table)
    assert only(report, "duplicates").figures["files"] == [files[1]]
    assert files[5] in only(report, "unreadable").message
    assert len(parts(report)["train"]) == 119
