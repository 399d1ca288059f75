"""What a notebook shows of a value: the figures of the value, everything escaped, and never too much."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.compare.comparison import points

EVIL = "<script>alert(1)</script>\"'&"
LARGEST = 300_000  # characters


class Tags(HTMLParser):
    """Collects the names of tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


def safe(text: str | None) -> str:
    assert text is not None
    assert len(text) < LARGEST
    assert "script" not in Tags(text).names
    return text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[fr.Run]:
    folder = tmp_path_factory.mktemp("runs")
    sample = fr.open_dataset("sample")
    recipe = fr.load_recipe("plain", overrides=["model=tutorial", "stages.0.epochs=2", "precision=float32"])
    return [fr.train(sample, recipe, seed=seed, out=folder / str(seed)) for seed in (0, 1)]


def test_a_set_shows_images_of_each_class() -> None:
    sample = fr.open_dataset("sample")
    text = safe(sample.train._repr_html_())
    assert text.count("<img") == 10
    assert "Ankle boot" in text
    assert "2,000 grey images 28×28, 10 classes" in text
    parts = safe(sample._repr_html_())
    assert parts.count("<img") == 2
    assert "1,000 grey images" in parts


def test_names_of_strangers_are_escaped_wherever_they_stand() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3), np.uint8)
    data = fr.Dataset(images, [0, 1, 0, 1], (EVIL, "b" * 256), EVIL)  # type: ignore[arg-type]
    assert "&lt;script&gt;" in safe(data._repr_html_())
    assert "&lt;script&gt;" in safe(fr.Splits(data, source=EVIL, notes=(EVIL,))._repr_html_())
    assert "its first images" in safe(fr.Dataset(images, None, (), EVIL)._repr_html_())
    tried = fr.Tried(Path("runs/x"), {"ideas": [{"name": EVIL, "verdict": "better"}]})
    assert "&lt;script&gt;" in safe(tried._repr_html_())


def test_a_set_of_a_thousand_classes_shows_the_first_of_them() -> None:
    labels = np.arange(1000)
    data = fr.Dataset(np.zeros((1000, 64, 64, 3), np.uint8), labels, tuple(f"c{label}" for label in labels), "many")
    text = safe(data._repr_html_())
    assert "20 of 1,000" in text
    assert text.count("<img") == 20


def test_a_run_shows_its_scores_and_its_curve(runs: list[fr.Run], tmp_path: Path) -> None:
    text = safe(runs[0]._repr_html_())
    accuracy = runs[0].result["validation"]["accuracy"]
    assert f"accuracy {accuracy:.2%} of 200" in text
    assert text.count("<path") == 2
    assert "model tutorial" in text

    unfinished = shutil.copytree(runs[0].path, tmp_path / "unfinished")
    (unfinished / "result.json").unlink()
    assert "not finished" in safe(fr.Run(unfinished)._repr_html_())
    (unfinished / "environment.json").write_text("{}")
    assert fr.Run(unfinished)._repr_html_() is None  # and so the notebook shows the text
    assert fr.Run(tmp_path / "nowhere")._repr_html_() is None


def test_a_study_shows_one_sign_for_less() -> None:
    idea = {"name": "slow", "verdict": "worse", "difference": -0.0105, "interval": [-0.02, -0.001], "pairs": 3}
    assert "−1.05 points (−2.00 to −0.10)" in safe(fr.Tried(Path("runs/x"), {"ideas": [idea]})._repr_html_())


def test_a_comparison_shows_the_figures_of_its_verdict(runs: list[fr.Run]) -> None:
    compared = fr.compare_runs(runs, on="validation")
    overall = compared.comparisons[0].overall
    for text in (safe(compared._repr_html_()), safe(compared.comparisons[0]._repr_html_())):
        assert f"{points(overall.difference, signed=True)} points" in text
        assert overall.verdict in text
        assert compared.comparisons[0].sentence[:40].split("'")[0] in text
