"""A model of a folder of colour pictures is served as it is predicted with: pictures, tensors, examples, occlusion."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.picture_file import SUFFIXES
from tests.serve.conftest import Running, started
from tests.support.picture_folders import write_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    """Of JPEGs of many sizes, half of which are noted to be turned."""
    folder = tmp_path_factory.mktemp("colour")
    write_folder(folder / "data" / "train", "jpeg", 80)
    write_folder(folder / "data" / "test", "jpeg", 40, seed=1)
    overrides = ["stages.0.epochs=2", "stages.0.warmup=0", "precision=float32", "batch_size=16", "size=[24,28]"]
    recipe = fr.load_recipe("plain", overrides=overrides)
    return fr.train(folder / "data", recipe, out=folder / "run", look_at_test=True)


@pytest.fixture(scope="module")
def served(run: fr.Run) -> Iterator[Running]:
    with started([run.path]) as running:
        yield running


def test_a_picture_is_answered_as_predict_answers_it(
    run: fr.Run, served: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = run.path.parent / "data" / "test"
    assert main(["predict", str(run.path), str(pictures), "--json", "--top", "2"]) == 0
    answers = json.loads(capsys.readouterr().out)
    with served.client() as client:
        for answer in answers:
            said = client.post("/predict", content=Path(answer["file"]).read_bytes()).json()
            assert (said["class"], said["top"]) == (answer["class"], answer["top"])


def test_tensors_in_colour_have_a_last_axis_of_three(run: fr.Run, served: Running) -> None:
    test = run.open_data().test
    assert test is not None
    expected = fr.load(run.path).predict_proba(test.images[:5])
    with served.client() as client:
        (described,) = client.get("/v2/models/run").json()["inputs"]
        assert described["shape"] == [-1, 24, 28, 3]

        def infer(images: np.ndarray) -> tuple[int, Any]:
            tensor = {"name": "images", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist()}
            reply = client.post("/v2/models/run/infer", json={"inputs": [tensor]})
            return reply.status_code, reply.json()

        status, reply = infer(test.images[:5])
        assert status == 200
        np.testing.assert_allclose(reply["outputs"][0]["data"], expected.reshape(-1), atol=1e-6)

        status, reply = infer(test.images[:5, ..., 0])
        assert (status, "shape [N, 24, 28, 3] expected" in str(reply)) == (400, True)


def test_what_mattered_is_told_of_a_colour_picture(run: fr.Run, served: Running) -> None:
    picture = next((run.path.parent / "data" / "test" / "temple").iterdir())
    with served.client() as client:
        said = client.post("/predict?explain=1", content=picture.read_bytes()).json()
    assert np.array(said["occlusion"]).shape == (14, 14)
    assert said["seen"].startswith("data:image/png;base64,")


def test_examples_and_what_the_page_needs_are_there(served: Running) -> None:
    with served.client() as client:
        (model,) = client.get("/models").json()
        assert (model["channels"], model["image_size"], model["photo"]) == (3, [24, 28], "none")
        assert 0 <= model["background"] <= 255
        examples = client.get("/models/run/examples").json()
    assert len(examples) == 40
    assert {example["class"] for example in examples} == {"temple", "flower"}


def test_every_format_that_a_folder_may_have_is_served_and_may_be_chosen_on_the_page(
    run: fr.Run, served: Running, tmp_path: Path
) -> None:
    pictures = [file for file in sorted(write_folder(tmp_path, "formats", 12).rglob("*")) if file.is_file()]
    pictures += list(write_folder(tmp_path / "palette", "palette", 2).rglob("*.gif"))
    assert {file.suffix for file in pictures} == set(SUFFIXES)
    model = fr.load(run.path)
    with served.client() as client:
        accepted = re.search('id="file" type="file" accept="([^"]+)"', client.get("/").text)
        for file in pictures:
            said = client.post("/predict", content=file.read_bytes()).json()
            expected = model.classify(model.image_of(file.read_bytes()))
            assert said["class"] == model.classes[int(expected.labels[0])], file.name

    assert accepted is not None
    kinds = accepted[1].split(",")
    assert {suffix for suffix in SUFFIXES if mimetypes.guess_type(f"x{suffix}")[0] not in kinds} <= set(kinds)


def test_a_model_of_colours_offers_no_grey_drawing(served: Running, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{served.port}/")
    page.wait_for_selector("#examples-part:not([hidden])")
    assert page.is_hidden("#canvas")
    assert page.is_visible("#drop")
    page.close()
