"""The map of the judged images and the training images nearest to mistakes, on small runs of real data."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fittingroom as fr
from fittingroom.artifact.feature_space import FeatureTap, unit_length
from fittingroom.cli import main
from fittingroom.evaluation.mistakes import find_mistakes
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.models.tensors import as_tensor, normalize
from fittingroom.rendering.languages import in_chinese
from fittingroom.report.map import section
from fittingroom.report.map.features import FeatureReader, nearest_rows
from fittingroom.report.map.layout import CELL, lay_out
from fittingroom.report.page import write_report
from tests.support.bilingual import english, left_in_english
from tests.support.colour_images import photographs, write_pictures
from tests.support.small_run import seen_in_training, train_small

IMAGES = 150  # on the maps of these tests, instead of 1,000: t-SNE takes its seconds


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    run = train_small(tmp_path_factory.mktemp("map") / "run")
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def pages(run: fr.Run) -> tuple[str, str]:
    """Without a map, and with one."""
    plain = write_report(run).read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(section, "MAX_IMAGES", IMAGES)
        patch.setattr(section, "LEAST_RIGHT", 50)
        return plain, write_report(run, with_map=True).read_text()


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="map-data">(.*?)</script>', page)
    content: dict[str, Any] = json.loads(text)
    return content


def picture_of(page: str) -> np.ndarray:
    (source,) = re.findall(r'id="map-picture" src="data:image/png;base64,([^"]+)"', page)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGBA"))


def table_of(run: fr.Run) -> JudgedPredictions:
    return read_predictions(run.predictions_file("test"), run.artifact.classes)


def test_each_image_has_a_cell_of_its_own_where_its_thumbnail_is(run: fr.Run, pages: tuple[str, str]) -> None:
    data, picture = data_of(pages[1]), picture_of(pages[1])
    cells = [tuple(image[:2]) for image in data["images"]]
    assert len(set(cells)) == len(cells) == IMAGES

    test = run.open_data().test
    assert test is not None
    for column, row, truth, predicted, thousandths, number in data["images"]:
        place = picture[16 * row + 1 : 16 * row + 15, 16 * column + 1 : 16 * column + 15]
        small = Image.fromarray(test.images[number]).resize((14, 14), Image.Resampling.BOX)
        np.testing.assert_array_equal(place[..., 0], np.asarray(small) // 2 * 2)
        assert (place[..., 3] == 255).all()
        table = table_of(run)
        assert (truth, predicted) == (table.truth[number], table.predicted[number])
        confidence = float(table.confidence[number])
        assert abs(thousandths - 1000 * confidence) < 1
        assert (thousandths == 1000) == (confidence == 1)  # all is said of nothing less
    assert np.count_nonzero(picture[..., 3]) == IMAGES * 14 * 14  # nothing else is drawn


def test_mistakes_come_first_and_are_ringed_and_what_is_left_out_is_counted(
    run: fr.Run, pages: tuple[str, str]
) -> None:
    table, data = table_of(run), data_of(pages[1])
    mistakes = find_mistakes(table)
    assert [image[5] for image in data["images"][: IMAGES - 50]] == mistakes[: IMAGES - 50].tolist()
    assert all(truth == predicted for _, _, truth, predicted, *_ in data["images"][IMAGES - 50 :])

    (rings,) = re.findall(r'class="map-ring" d="([^"]*)"', pages[1])
    ringed = {tuple(int(float(number) / 16) for number in corner) for corner in re.findall(r"M(\S+) (\S+?)h", rings)}
    assert ringed == {tuple(image[:2]) for image in data["images"] if image[2] != image[3]}
    assert f"100 of {len(mistakes):,} mistakes" in pages[1]
    assert f"50 of {int(table.is_right.sum()):,} right answers" in pages[1]


def test_all_mistakes_are_shown_where_there_is_room(run: fr.Run) -> None:
    table = table_of(run)
    everything = np.ones(len(table), dtype=bool)
    rows = section.rows_to_show(table, everything, 900)
    assert len(set(rows.tolist())) == 900
    assert set(find_mistakes(table).tolist()) <= set(rows.tolist())
    assert section.rows_to_show(table, everything, 2_000).size == len(table)


def test_the_same_run_has_the_same_map(run: fr.Run, pages: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "MAX_IMAGES", IMAGES)
    monkeypatch.setattr(section, "LEAST_RIGHT", 50)
    assert write_report(run, with_map=True).read_text() == pages[1]


def test_the_map_of_a_run_is_written_to_another_place(
    run: fr.Run, pages: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section, "MAX_IMAGES", IMAGES)
    monkeypatch.setattr(section, "LEAST_RIGHT", 50)
    there = write_report(run, with_map=True, out=tmp_path / "map.html")
    assert there == tmp_path / "map.html"
    assert there.read_text() == pages[1]


def test_nearest_training_images_are_those_of_the_largest_cosine_among_what_was_learned(
    run: fr.Run, pages: tuple[str, str]
) -> None:
    train, held_out = seen_in_training(run)
    whole, artifact = run.open_data(), run.artifact
    assert held_out is not None
    assert whole.test is not None
    worst = find_mistakes(table_of(run))[:40]

    network = artifact.network()
    scale = artifact.normalization

    def features(images: np.ndarray) -> np.ndarray:
        x_NCHW = normalize(as_tensor(images), scale.mean, scale.std)
        tap = FeatureTap(network, x_NCHW[:2])
        with torch.inference_mode():
            network(x_NCHW)
        return np.asarray(unit_length(tap.take()).numpy())

    cosines = features(whole.test.images[worst]) @ features(train.images).T
    hashes = [digest.hex() for digest in whole.train.image_hashes()]
    learned = [digest.hex() for digest in train.image_hashes()]
    shown = re.findall(r'<div class="nearest">(.*?)</ol>', english(pages[1]), re.DOTALL)
    assert len(shown) == len(worst) == 40
    for row, text in enumerate(shown):
        found = re.findall(r"label\">([^<]+)</span> <span class=\"file\">training image ([\d,]+)</span>", text)
        assert len(found) == 5
        predicted = table_of(run).predicted[worst[row]]
        as_predicted = sum(name == artifact.classes[predicted] for name, _ in found)
        assert f"{as_predicted} of 5 labelled as predicted" in text
        numbers = [int(number.replace(",", "")) for _, number in found]
        assert [whole.train.classes[whole.train.labels[number]] for number in numbers] == [name for name, _ in found]  # type: ignore[index]
        columns = [learned.index(hashes[number]) for number in numbers]  # a held-out image would not be there
        np.testing.assert_allclose(cosines[row, columns], np.sort(cosines[row])[::-1][:5], atol=1e-5)
    assert f"of all {len(train):,} that it was trained on" in pages[1]


def test_the_nearest_are_found_across_batches_whatever_their_size(run: fr.Run) -> None:
    reader = FeatureReader(run.artifact)
    images = run.open_data().train.images[:30]
    many = np.concatenate([images, images, images])
    reader.batch_size = 7
    found = nearest_rows(reader, images[:4], many, 3)
    assert np.sort(found, axis=1).tolist() == [[i, i + 30, i + 60] for i in range(4)]
    assert nearest_rows(reader, images[:1], images[:2], 5).shape == (1, 2)


def test_a_map_adds_no_more_than_it_may_and_the_plain_page_has_none(pages: tuple[str, str]) -> None:
    plain, mapped = pages
    assert len(mapped.encode()) - len(plain.encode()) <= 350_000
    assert "map-grid" not in plain
    assert 'class="nearest"' not in plain


def test_a_map_speaks_chinese_where_no_script_runs_too(pages: tuple[str, str]) -> None:
    """As the served page shows a report: in a frame in which nothing runs."""
    of_the_script = {"English 中文", "‹ Mistake Mistake ›"}  # and so without a use where none runs
    assert {
        text for text in left_in_english(pages[1], names=("td", "dd", "span", "dt")) if " " in text
    } <= of_the_script
    english_text, chinese_text = (
        re.sub("<[^>]*>", "", page.partition('<section id="map">')[2].partition('<div class="map-parts">')[0])
        for page in (pages[1], in_chinese(pages[1]))
    )
    assert chinese_text.split()[0] == "测试集地图"
    assert set(re.findall("[A-Za-z]{2,}", chinese_text)) == {"SNE"}
    assert set(re.findall(r"\d+", chinese_text)) == set(re.findall(r"\d+", english_text))


def test_of_what_takes_more_bytes_fewer_images_are_shown(run: fr.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "MAX_IMAGES", 400)
    monkeypatch.setattr(section, "MAX_BYTES", 150_000)
    monkeypatch.setattr(section, "LEAST_RIGHT", 20)
    page = write_report(run, with_map=True).read_text()
    count = len(data_of(page)["images"])
    assert 20 < count < 400
    assert f"{count} images, placed by" in page


def test_pictures_are_named_by_their_files_in_colour(tmp_path: Path) -> None:
    for part, count in (("train", 120), ("test", 40)):
        photos = photographs(count, side=28, seed=count)
        labels = np.random.default_rng(count).integers(0, 2, count)
        wide = fr.Dataset(photos.images[:, :20], labels, ("cat </script>", "dog"), "x")
        write_pictures(tmp_path / "data" / part, wide)
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])
    run = fr.train(tmp_path / "data", recipe, out=tmp_path / "run")
    run.evaluate()
    page = write_report(run, with_map=True).read_text()

    data = data_of(page)
    assert len(data["images"]) == 40
    assert data["classes"] == list(run.artifact.classes)
    for *_, name in data["images"]:
        assert (tmp_path / "data" / name).is_file()
    near = re.findall(r'<div class="nearest">(.*?)</div>', page, re.DOTALL)
    names = re.findall(r'class="file">([^<]+)<', "".join(near))
    assert names
    assert all((tmp_path / "data" / name.replace("&gt;", ">").replace("&lt;", "<")).is_file() for name in names)
    pixels = picture_of(page)
    assert (pixels[..., 0] != pixels[..., 1]).any()

    # They are wider than high: what an image doesn't cover of its place is no black of its own.
    for column, row, *_ in data["images"]:
        alpha = pixels[row * CELL + 1 : (row + 1) * CELL - 1, column * CELL + 1 : (column + 1) * CELL - 1, 3]
        assert alpha[2:12].all()
        assert not alpha[[0, 1, -2, -1]].any()
    (source,) = re.findall(r"\.near \{ background: url\(data:image/png;base64,([^)]+)\)", page)
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGBA"))[0, :, 3] == 0).all()


def test_neighbours_by_features_are_neighbours_on_the_map() -> None:
    random = np.random.default_rng(0)
    middles = np.eye(12, dtype=np.float32)[:4]
    class_N = np.repeat(np.arange(4), 20)
    features = middles[class_N] + 0.1 * random.normal(size=(80, 12)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    grid = lay_out(features, ["one", "two", "three", "four"], class_N)

    squares = ((grid.cells[:, None] - grid.cells[None]) ** 2).sum(axis=2) + 10_000 * np.eye(80, dtype=np.int64)
    same = class_N[np.argsort(squares, axis=1)[:, :3]] == class_N[:, None]
    assert same.mean() > 0.9
    assert {label.text for label in grid.labels} == {"one", "two", "three", "four"}
    taken = {(label.column + i, label.row) for label in grid.labels for i in range(label.width)}
    assert not taken & {tuple(cell) for cell in grid.cells.tolist()}
    assert 3 < grid.kept <= grid.neighbours == 10


def test_images_that_are_all_the_same_to_the_network_are_refused() -> None:
    with pytest.raises(fr.DataError, match="differ to the network"):
        lay_out(np.full((20, 8), 8**-0.5, np.float32), ["a"], np.zeros(20, np.int64))
    with pytest.raises(fr.DataError, match="at least 5 images expected, 3 found"):
        lay_out(np.eye(3, dtype=np.float32), ["a"], np.zeros(3, np.int64))


def test_the_command_says_what_is_missing_for_a_map(
    run: fr.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["report", str(run.path), "--map"]) == 2
    assert "sklearn" in capsys.readouterr().err
    monkeypatch.undo()

    folder = shutil.copytree(run.path, tmp_path / "run")
    (folder / "predictions.parquet").unlink()
    (folder / "predictions-validation.parquet").unlink()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"test": None, "validation": None}))
    assert main(["report", str(folder), "--map"]) == 2
    assert "fittingroom evaluate" in capsys.readouterr().err


def test_a_map_needs_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = fr.open_dataset("sample").train
    assert data.labels is not None
    np.savez(tmp_path / "mine.npz", x_train=data.images[:300], y_train=data.labels[:300])
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])
    run = fr.train(tmp_path / "mine.npz", recipe, out=tmp_path / "run")
    before = (run.path / "report.html").read_bytes()
    (tmp_path / "mine.npz").unlink()
    assert main(["report", str(run.path), "--map"]) == 2
    assert "needed for a map" in capsys.readouterr().err
    assert (run.path / "report.html").read_bytes() == before
