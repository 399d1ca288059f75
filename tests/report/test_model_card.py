"""The model card: YAML that Hugging Face reads, and sentences that are true of the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import fittingroom as fr
from fittingroom.data.fetch.fingerprints import KNOWN_FINGERPRINTS
from fittingroom.pipeline import train
from fittingroom.report.model_card import _write_card, write_model_card
from tests.support import NARROW

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    run = train("sample", recipe, out=tmp_path_factory.mktemp("runs") / "carded")
    run.evaluate()
    return run


def read_card(path: Path) -> tuple[dict[str, Any], str]:
    empty, header, text = path.read_text(encoding="utf-8").split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(header), text


def test_the_header_holds_the_result_where_hugging_face_looks_for_it(run: fr.Run) -> None:
    header, _ = read_card(*write_model_card(run))
    assert header["pipeline_tag"] == "image-classification"

    (model,) = header["model-index"]
    assert model["name"] == "carded"

    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"name": "sample test", "type": "sample", "split": "test"}
    assert result["metrics"][0]["type"] == "accuracy"
    assert result["metrics"][0]["value"] == run.result["test"]["accuracy"]
    assert "datasets" not in header, "the sample is not the data set itself"


def test_the_text_gives_intervals_limits_and_use(run: fr.Run) -> None:
    _, text = read_card(*write_model_card(run))
    scores = run.result["test"]
    assert f"**Accuracy {scores['accuracy']:.2%}** on 1,000 test images" in text
    assert "{:.2%} to {:.2%}".format(*scores["interval"]) in text
    for row in scores["per_class"]:
        assert f"| {row['class']} | {row['n']} | {row['recall']:.1%} |" in text
    for heading in ("## Use", "## Limits", "## Scores", "## Training"):
        assert f"\n\n{heading}\n" in text

    assert f"- Its probabilities are calibrated on {run.artifact.temperature.n:,} validation images." in text

    weakest = min(scores["per_class"], key=lambda row: float(row["recall"]))
    assert f"weakest on {weakest['class']}: recall {weakest['recall']:.1%}" in text


def test_the_code_on_the_card_works(run: fr.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = read_card(*write_model_card(run))
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(run.path.parent)
    test = run.open_data().test
    assert test is not None
    names: dict[str, Any] = {"images": test.images[:5]}
    exec(code.replace("model.predict_proba", "answer = model.predict_proba"), names)
    assert names["answer"].shape == (5, 10)


def test_the_official_data_is_called_what_the_hub_calls_it(run: fr.Run, tmp_path: Path) -> None:
    official = fr.Run(Path(shutil.copytree(run.path, tmp_path / "official")))
    environment = official.environment.as_dict()
    environment["data"]["train"]["content"] = KNOWN_FINGERPRINTS["fashion-mnist train (official)"].content
    (official.path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    header, _ = read_card(*write_model_card(official))
    assert header["datasets"] == ["zalando-datasets/fashion_mnist"]
    assert header["model-index"][0]["results"][0]["dataset"]["type"] == "sample", "it was judged on the sample"


def test_a_run_that_was_not_judged_says_so(tmp_path: Path) -> None:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", "validation=0"])
    header, text = read_card(*write_model_card(train("sample", recipe, out=tmp_path / "run")))
    assert header["model-index"][0]["results"] == []
    assert "has not been judged" in text
    assert "## Scores" not in text


def test_each_member_of_a_run_of_several_seeds_has_a_card(tmp_path: Path) -> None:
    recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32", NARROW])
    run = train("sample", recipe, seeds=2, out=tmp_path / "seeds")
    cards = write_model_card(run)
    assert cards == [member.path / "README.md" for member in run.members]
    for seed, card in enumerate(cards):
        _, text = read_card(card)
        assert f"seed {seed}" in text


def test_a_recipes_interval_by_groups_is_called_that_and_a_missing_ledger_is_no_count(run: fr.Run) -> None:
    test = run.result["test"]
    family = {"on": "test", "members": [{}, {}], "mean": test["accuracy"], "interval": test["interval"], "groups": 12}
    _, text = read_card(_write_card(run, family))
    assert "(recipe: seeds × 12 groups of images)" in text
    _, text = read_card(_write_card(run, {key: value for key, value in family.items() if key != "groups"}))
    assert "(recipe: seeds × images)" in text
    assert " 1 threads" not in text
    assert " 1 epochs" not in text

    ledger = run.path.parent / "test-looks.jsonl"
    lines = ledger.read_text(encoding="utf-8")
    ledger.unlink()
    try:
        _, text = read_card(*write_model_card(run))
    finally:
        ledger.write_text(lines, encoding="utf-8")
    assert "How often this test set was evaluated on isn't on record." in text
    assert "0 times" not in text
