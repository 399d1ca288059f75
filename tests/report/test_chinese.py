"""The report's Chinese: every sentence is there as a whole, with the figures and names of the English one."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.evaluation.class_metrics import class_metrics, in_words
from fittingroom.evaluation.threshold import Threshold
from fittingroom.models import find_model
from fittingroom.rendering import languages
from fittingroom.rendering.languages import translated, with_chinese
from fittingroom.report.curves import smoothing_in_words
from fittingroom.report.page import write_report
from fittingroom.report.run_summary import reproduces
from fittingroom.runs.environment_record import Ancestor, StartingPoint
from fittingroom.training import precision
from fittingroom.training.start_weights import StartWeights, head_sentence
from tests.report.test_diagnosis import STATES, diagnoses_of
from tests.support import GOLDEN
from tests.support.bilingual import left_in_english

FIGURE = re.compile(r"\d(?:[\d.,]*\d)?%?")
ENGLISH = re.compile(r"[a-z]{2,}(?: [a-z]{2,}){3}")  # four words in a row, as no name of ours or command has them
CHINESE = re.compile(r"[一-鿿]")
SENTENCE = re.compile(r"[a-z] (?:is|are|was|of|the|and|or|to|by|at) ")  # in what a Chinese text has of English
# These are as they are in any language.
NAMES = {"English 中文", "fittingroom", "python", "torch", "numpy", "polars", "safetensors", "pillow"}


def figures(text: str) -> Counter[str]:
    return Counter(FIGURE.findall(text))


@pytest.mark.parametrize("state", STATES)
def test_every_diagnosis_is_said_in_chinese_with_its_own_figures(state: str) -> None:
    for diagnosis in diagnoses_of(state).values():
        texts = {diagnosis.sentence, diagnosis.suggestion, *diagnosis.evidence} - {"", "n"}
        for text in texts:
            chinese = translated(text, "report")
            assert chinese is not None, text
            assert CHINESE.search(chinese)
            assert figures(chinese) == figures(text)
            assert re.findall(r"--[a-z-]+", chinese) == re.findall(r"--[a-z-]+", text)


def test_a_text_is_translated_as_a_whole_or_not_at_all() -> None:
    assert translated("Train longer: --epochs 20.", "report") == "训练更久：--epochs 20。"
    assert translated("Train longer: --epochs 20. And sing.", "report") is None
    page = "<body><p>Train longer: --epochs 20. And sing.</p><h2>Curves</h2><!-- languages -->"
    assert with_chinese(page, "report") == (
        '<body><p>Train longer: --epochs 20. And sing.</p><h2 data-zh="0">Curves</h2>["曲线"]'
    )


def test_classes_have_the_names_that_the_other_pages_give_them_and_names_of_ones_own_stay() -> None:
    assert translated("Dress", "report") == "连衣裙"
    assert translated("T-shirt/top and Shirt", "report") == "T恤/上衣 与 衬衫"
    assert translated('Shirt <span class="small">70</span>', "report") == '衬衫 <span class="small">70</span>'
    assert translated("cat and 狗", "report") == "cat 与 狗"
    assert translated("cat", "report") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Written by fittingroom 0.2.0.", "This file is complete in itself: it loads nothing."),
        ("plain ends here by design: its rate fell from 0.004 to 4e-07.", "Train longer: --epochs 20."),
    ],
)
def test_what_ends_a_sentence_takes_no_other_with_it(first: str, second: str) -> None:
    apart = [translated(sentence, "report") for sentence in (first, second)]
    assert translated(f"{first} {second}", "report") == f"{apart[0]}{apart[1]}"


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("judged", [True, False], ids=["test", "validation"])
def test_no_text_of_a_report_is_left_in_english(tmp_path: Path, seeds: int, judged: bool) -> None:
    recipe = fr.load_recipe("plain", overrides=["model='tutorial'", "stages.0.epochs=1", "precision=float32"])
    run = fr.train("sample", recipe, seeds=seeds if seeds > 1 else None, out=tmp_path / "run", look_at_test=judged)
    page = write_report(run).read_text(encoding="utf-8")
    assert left_in_english(page, names=("td", "dd", "span")) <= NAMES

    # Nor does a text that is said to be Chinese go on in English.
    texts = json.loads(page.partition('id="languages-texts">')[2].partition("</script>")[0])
    plain = [re.sub(r"<[^>]*>", "", text) for text in texts]
    assert [text for text in plain if ENGLISH.search(text) or SENTENCE.search(text)] == []

    body = languages.SKIPPED.sub("", page.partition("<body>")[2])
    for tag in languages.ATTRIBUTES.findall(body):
        for name, text in languages.ATTRIBUTE.findall(tag):
            assert f"{name}:" in tag or not languages.WORD.search(text) or CHINESE.search(text), text


def starting_points() -> list[str]:
    """What a report says of a training that went on from another, or from a file."""
    sha = "0" * 64
    earlier = (Ancestor(kind="file", name="start.safetensors", weights_sha256=sha),)
    starts = [
        StartingPoint(kind="run", name="swift-1", weights_sha256=sha),
        StartingPoint(kind="run", name="swift-2/seed-0", weights_sha256=sha, earlier=earlier),
        StartingPoint(kind="timm", name="timm:resnet18", weights_sha256=sha),
    ]
    names = tuple(f"class {i}" for i in range(12))
    tensors = {"head.weight": torch.zeros(12, 4)}
    known = StartWeights(name="a run", tensors=tensors, classes=names, normalization=None)
    heads = [
        head_sentence(known, {"head.weight": 0}, classes)
        for classes in (names, names[:3], names[::-1], ("x", "y"), (*names[:5], "x"), (*names[:2], *"uvwxyz12345"))
    ]
    return [f"It was {start.in_words}: {head}." for start in starts for head in heads]


def precisions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every reason for which a precision is taken."""
    found = []
    for has, device in ((True, "cuda:0"), (False, "mps"), (True, "cpu")):
        monkeypatch.setattr(precision, "has_bf16", lambda _device, has=has: has)
        monkeypatch.setattr(precision, "hardware_name", lambda _device: "NVIDIA H200")
        for choice in ("auto", "bf16", "float32"):
            recipe = fr.load_recipe("plain", overrides=["model=tutorial", f"precision={choice}"])
            source = find_model("tutorial")
            found.append(precision.resolve_precision(recipe, source, 10, (28, 28), device).reason)
    return found


def test_what_few_reports_say_is_said_in_chinese_too(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = fr.open_run(GOLDEN / "format-1" / "swift-1").environment
    machines = [
        replace(environment, machine=replace(environment.machine, device=device, threads=threads), processes=processes)
        for device in ("cpu", "cuda:0", "mps")
        for threads in (1, 4)
        for processes in (1, 2)
    ]
    machines += [replace(each, options=replace(each.options, deterministic=True)) for each in machines]
    again = [f"and {reproduces(cast(fr.Run, SimpleNamespace(environment=each)))}:" for each in machines]

    smoothed = [
        smoothing_in_words(fr.load_recipe("plain", overrides=["label_smoothing=0.1", *change]), 10)
        for change in ([], ["class_weights=balanced"])
    ]
    key = [f"training, mean of the epoch as seen while learning, {words}; validation is without" for words in smoothed]
    threshold = f"{Threshold(label=1, value=0.083, n=2000).in_words(('Bag', 'Coat'))}. "
    threshold += "Probabilities are as they are without it."

    for text in (*starting_points(), *precisions(monkeypatch), *again, *key, threshold):
        chinese = translated(text, "report")
        assert chinese is not None, text
        assert CHINESE.search(chinese)
        assert figures(chinese) == figures(text), text
        assert not re.search(r"\b(from|of|the|is|itself|kept|in|result)\b", chinese), chinese


@pytest.mark.parametrize(("frequent", "rare", "wrong"), [(97, 3, 1), (90, 20, 1), (97, 3, 0)])
def test_scores_of_lopsided_classes_are_there_in_chinese_however_their_intervals_are_made(
    frequent: int, rare: int, wrong: int
) -> None:
    truth = np.repeat([0, 1], [frequent, rare])
    answers = truth.copy()
    answers[:wrong] = 1
    for folds in (None, 5):
        said = in_words(class_metrics([(np.eye(2, dtype=np.float32)[answers], answers)], truth, folds=folds))
        assert translated(f"The classes are of very different sizes; if each counts the same: {said}.", "report")
