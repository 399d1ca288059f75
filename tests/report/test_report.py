"""The page of a real run: whole in itself, and every figure, picture and count on it is the run's own."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.audit.label_issues import label_issues_of
from fittingroom.audit.subsets import LABEL_ISSUES_CAVEAT, make_subsets
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.report.page import write_report
from fittingroom.report.pictures import MAX_MISTAKES, PICTURE_SIDE
from fittingroom.runs.environment_record import write_environment

LIMIT = 3 * 1024 * 1024
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A report, read by a strict eye: every element is closed, in order."""

    def __init__(self, path: Path):
        super().__init__()
        written = path.read_text(encoding="utf-8")
        self.html = re.sub(r' data-zh(?:-names)?="[^"]*"', "", written)  # where the Chinese goes
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(self.html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def by_id(self, name: str) -> str:
        match = re.search(rf'id="{name}">([^<]*)<', self.html)
        assert match, f"no element {name}"
        return match[1]

    def section(self, name: str) -> str:
        match = re.search(rf'<section id="{name}">.*?</section>', self.html, re.DOTALL)
        assert match, f"no section {name}"
        return match[0]


def small(*overrides: str) -> fr.Recipe:
    return fr.load_recipe("plain", overrides=["stages.0.epochs=2", "precision=float32", *overrides])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> fr.Run:
    run = fr.train("sample", small(), out=tmp_path_factory.mktemp("runs") / "judged")
    run.evaluate()
    write_report(run)
    return run


@pytest.fixture(scope="module")
def page(judged: fr.Run) -> Page:
    return Page(judged.path / "report.html")


def test_it_is_complete_in_itself_and_small(judged: fr.Run, page: Page) -> None:
    assert (judged.path / "report.html").stat().st_size < LIMIT
    # the model and the Chinese as text, and a script for each, which the page's own policy names
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds == ["application/json", None, "application/json", None]
    scripts = re.findall(r"<script>(.*?)</script>", page.html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    named = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert f'script-src {named}"' in page.html
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert not (attributes.get(name) or "data:").startswith(("http", "//", "file")), attributes
    # what url() names is on the page or in the text itself: the pictures to try are such a text
    assert not re.search(r"url\((?!#|data:)|@import|https?://", page.html)


def test_its_figures_are_those_of_the_result(judged: fr.Run, page: Page) -> None:
    scores = judged.result["test"]
    assert page.by_id("accuracy") == f"{scores['accuracy']:.2%}"
    assert [page.by_id("low"), page.by_id("high")] == [f"{bound:.2%}" for bound in scores["interval"]]
    assert f"{scores['correct']:,} of {scores['n']:,} test images correct" in page.text
    assert f"{scores['loss']:.4f}" in page.text
    cells = re.findall(r"<td class=\"(?:none|right|wrong)\".*?<b>([\d,]+)</b>", page.section("confusion"))
    counts = np.array([int(cell.replace(",", "")) for cell in cells]).reshape(10, 10)
    assert counts.tolist() == scores["confusion"]


def test_it_says_what_its_probabilities_are_worth(judged: fr.Run, page: Page) -> None:
    text = " ".join(re.sub(r"<[^>]+>", "", page.section("calibration")).split())
    n = judged.artifact.temperature.n
    assert f"Its probabilities are calibrated on {n:,} validation images." in text
    assert "bins of equally many images" in text
    assert "more modest" not in text


def test_classes_come_weakest_first(judged: fr.Run, page: Page) -> None:
    shown = re.findall(r'<th scope="row">([^<]*)</th>\s*<td class="number">([^<]*)</td>', page.section("classes"))
    expected = sorted(judged.result["test"]["per_class"], key=lambda row: float(row["recall"]))
    assert [share for _, share in shown] == [f"{row['recall']:.1%}" for row in expected]
    assert {name for name, _ in shown} == {row["class"] for row in expected}


def test_the_worst_mistakes_are_shown_surest_first_as_the_images_themselves(judged: fr.Run, page: Page) -> None:
    table = pl.read_parquet(judged.path / "predictions.parquet")
    sure = table.select(pl.max_horizontal("^p[0-9]+$")).to_series()
    wrong = table.with_columns(sure=sure).filter(pl.col("label") != pl.col("predicted")).sort("sure", descending=True)
    worst = wrong.head(MAX_MISTAKES)
    sources = re.findall(r'<img class="tile" src="data:image/png;base64,([^"]+)"', page.section("mistakes"))

    assert len(sources) == MAX_MISTAKES
    test = judged.open_data().test
    assert test is not None
    for source, row in zip(sources, worst.iter_rows(named=True), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))
        assert (pixels == test.images[row["row"]]).all()

    captions = re.findall(r"saw <b>([^<]*)</b>\s*([\d.]+)%\s*<span>labelled ([^<]*)</span>", page.section("mistakes"))
    assert [(answer, truth) for answer, _, truth in captions] == list(
        zip(worst["predicted"], worst["label"], strict=True)
    )
    assert [float(share) for _, share, _ in captions] == pytest.approx(100 * worst["sure"].to_numpy(), abs=0.051)


def test_there_is_a_sheet_of_right_answers_for_each_class(judged: fr.Run, page: Page) -> None:
    rows = re.findall(r"<div><span>([^<]*)</span><ol>(.*?)</ol></div>", page.section("answers"), re.DOTALL)
    hits = {row["class"]: judged.result["test"]["confusion"][i][i] for i, row in enumerate(_per_class(judged))}
    assert {name: row.count("<img") for name, row in rows} == {name: min(12, n) for name, n in hits.items() if n}


def _per_class(run: fr.Run) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = run.result["test"]["per_class"]
    return rows


def test_it_says_how_it_was_made(judged: fr.Run, page: Page) -> None:
    environment = judged.environment
    for fact in (
        environment.data.train.content,
        environment.data.parts["test"].content,
        environment.machine.processor,
        environment.versions["torch"],
        f"--recipe {judged.path}/recipe.toml",
        judged.result["test_looks"][0]["run"],
    ):
        assert fact in page.text
    for line in judged.recipe.to_toml().splitlines():
        assert line in "".join(page.texts)


def test_the_reproducing_command_trains_the_same_model(judged: fr.Run, page: Page, tmp_path: Path) -> None:
    import shlex

    from fittingroom.cli import main

    command = next(text for text in page.texts if text.startswith("fittingroom train sample --recipe"))
    assert main([*shlex.split(command)[1:], "--quiet", "--no-test", "--out", str(tmp_path / "again")]) == 0
    again = fr.open_run(tmp_path / "again")
    assert again.result["validation"] == judged.result["validation"]


def test_until_test_is_evaluated_the_validation_images_are_shown_and_it_says_so(judged: fr.Run, tmp_path: Path) -> None:
    run = fr.Run(Path(shutil.copytree(judged.path, tmp_path / "blind")))
    result = run.result | {"test": None, "test_looks": []}
    (run.path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (run.path / "predictions.parquet").unlink()
    page = Page(write_report(run))
    scores = result["validation"]

    assert "Not evaluated on the test set yet" in page.text
    assert page.by_id("accuracy") == f"{scores['accuracy']:.2%}"

    mistakes = scores["n"] - scores["correct"]
    assert f"of {mistakes:,} mistakes on validation images" in page.text
    assert page.section("mistakes").count("<img") == min(MAX_MISTAKES, mistakes)

    # Only images of the training set can be held out of it; data may have a validation part of its own.
    assert "validation images, held out of the training set, correct" in page.text
    data = dataclasses.replace(run.environment.data, validation=run.environment.data.train)
    write_environment(run.path, dataclasses.replace(run.environment, data=data))
    assert "validation images correct" in Page(write_report(fr.Run(run.path))).text


def test_without_any_judgement_there_are_still_the_curves(tmp_path: Path) -> None:
    run = fr.train("sample", small("stages.0.epochs=1", "validation=0"), out=tmp_path / "run")
    page = Page(write_report(run))
    assert "Trained, not judged" in page.text
    assert "<path" in page.section("curves")
    assert 'id="mistakes"' not in page.html


def test_without_the_data_everything_but_the_pictures_is_there(judged: fr.Run, tmp_path: Path) -> None:
    run = fr.Run(Path(shutil.copytree(judged.path, tmp_path / "moved")))
    environment = run.environment.as_dict()
    environment["data"]["source"] = str(tmp_path / "gone")
    (run.path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    page = Page(write_report(run))
    assert "The pictures are missing, as the data can’t be opened" in page.text
    assert "<img" not in page.section("mistakes")
    assert page.by_id("accuracy") == f"{run.result['test']['accuracy']:.2%}"


def test_several_seeds_are_overlaid_and_each_has_its_page(tmp_path: Path) -> None:
    run = fr.train("sample", small("stages.0.epochs=1"), seeds=2, out=tmp_path / "seeds")
    run.evaluate()
    page = Page(write_report(run))
    result = run.result
    assert page.by_id("accuracy") == f"{result['mean']:.2%}"
    assert [page.by_id("low"), page.by_id("high")] == [f"{bound:.2%}" for bound in result["interval"]]
    for member, member_run in zip(result["members"], run.members, strict=True):
        assert f'href="{member["run"]}/report.html"' in page.section("members")
        assert f"{member['test']['accuracy']:.2%}" in page.section("members")
        assert Page(member_run.path / "report.html").by_id("accuracy") == f"{member['test']['accuracy']:.2%}"

    titles = re.findall(r"<title>(seed \d+) epoch 1, train: [\d.]+</title>", page.section("curves"))
    assert titles == ["seed 0", "seed 1"]

    cells = re.findall(r"<td class=\"(?:none|right|wrong)\".*?<b>([\d,]+)</b>", page.section("confusion"))
    summed = np.sum([member.result["test"]["confusion"] for member in run.members], axis=0)
    assert [int(cell.replace(",", "")) for cell in cells] == summed.reshape(-1).tolist()
    assert "the sum over 2 seeds, so that each of 1,000 test images counts 2 times" in page.section("confusion")


def test_several_seeds_that_nobody_judged_have_no_confusions(tmp_path: Path) -> None:
    run = fr.train("sample", small("stages.0.epochs=1", "validation=0"), seeds=2, out=tmp_path / "seeds")
    page = Page(write_report(run))
    assert 'id="confusion"' not in page.html
    assert "#confusion" not in page.html


def test_subsets_are_shown_beside_the_result_which_stays(judged: fr.Run, tmp_path: Path) -> None:
    run = fr.Run(Path(shutil.copytree(judged.path, tmp_path / "subsets")))
    assert 'id="subsets"' not in Page(write_report(run)).html

    data = run.open_data()
    assert data.test is not None
    scores = run.evaluate(subsets=make_subsets(data.test, data.train, label_issues_of(data.test)))

    page = Page(write_report(run))
    rows = re.findall(
        r'<th scope="row">([^<]*)</th><td class="number">([\d,]+)</td>\s*<td class="number">([\d.%]+)</td>'
        r'<td class="interval">([^<]*)</td>',
        page.section("subsets"),
    )
    assert rows == [
        (row["name"], f"{row['n']:,}", f"{row['accuracy']:.2%}", "{:.2%} to {:.2%}".format(*row["interval"]))
        for row in scores["subsets"]
    ]
    assert [row[0] for row in rows] == ["all", "without near-duplicates", "without suspects"]
    assert LABEL_ISSUES_CAVEAT in page.section("subsets")
    assert page.by_id("accuracy") == f"{judged.result['test']['accuracy']:.2%}"

    # A later evaluation on other data leaves them.
    run.evaluate(data.train)
    assert 'id="subsets"' in Page(write_report(run)).html


def test_xkcd_draws_by_hand_and_is_off_otherwise(judged: fr.Run, page: Page) -> None:
    assert 'class="pair xkcd"' not in page.html
    by_hand = Page(write_report(judged, xkcd=True))
    assert 'class="pair xkcd"' in by_hand.html
    assert "feDisplacementMap" in by_hand.html
    write_report(judged)


def test_many_classes_of_large_images_with_odd_names_stay_readable_and_small(tmp_path: Path) -> None:
    def enlarged(part: Dataset | None, n: int) -> Dataset:
        assert part is not None
        assert part.labels is not None
        rows = np.arange(n)
        brightness = part.images[rows].mean(axis=(1, 2)).argsort().argsort() * 3 // n
        names = tuple(f"<b>{name} & {kind}|" for name in part.classes for kind in ("dark", "grey", "bright"))
        images = part.images[rows].repeat(4, axis=1).repeat(4, axis=2)
        return Dataset(images, part.labels[rows] * 3 + brightness, names, "large")

    sample = fr.open_dataset("sample")
    splits = Splits(enlarged(sample.train, 400), None, enlarged(sample.test, 300))
    recipe = small("stages.0.epochs=1", "image_sizes=[]", "validation=40")
    run = fr.train(splits, dataclasses.replace(recipe, batch_size=50), out=tmp_path / "large")
    run.evaluate()
    path = write_report(run)
    page = Page(path)

    assert path.stat().st_size < LIMIT
    assert 'class="matrix"' not in page.html
    assert "taken for each other" in page.section("confusion")
    assert "<b>Shirt & dark|" in page.text
    assert "b" not in [tag for tag, _ in page.tags if tag.startswith("<")]

    picture = re.search(r'src="data:image/png;base64,([^"]+)"', page.section("mistakes"))
    assert picture
    assert Image.open(io.BytesIO(base64.b64decode(picture[1]))).size == (PICTURE_SIDE, PICTURE_SIDE)


def test_a_small_picture_keeps_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 20), dtype=np.uint8)
    data = base64.b64decode(png_uri(image, PICTURE_SIDE).partition(",")[2])
    assert (np.asarray(Image.open(io.BytesIO(data))) == image).all()


@pytest.mark.parametrize("damage", ["missing", "not parquet", "other classes"])
def test_damaged_predictions_are_named(judged: fr.Run, tmp_path: Path, damage: str) -> None:
    run = fr.Run(Path(shutil.copytree(judged.path, tmp_path / "damaged")))
    file = run.path / "predictions.parquet"
    if damage == "missing":
        file.unlink()
    elif damage == "not parquet":
        file.write_bytes(b"PAR1 no")
    else:
        table = pl.read_parquet(file).with_columns(label=pl.lit("Hat"))
        table.write_parquet(file, metadata={"format": "1"})

    with pytest.raises(fr.ArtifactError, match=r"predictions\.parquet.*expected"):
        write_report(run)
