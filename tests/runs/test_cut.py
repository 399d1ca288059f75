"""What a run keeps on one side when it holds images out, and that nothing changes it afterwards."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.audit import check, known_pairs
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.cli import main
from fittingroom.cli.train_summary import summary
from fittingroom.data.convert import convert
from fittingroom.errors import ArtifactError, DataError
from fittingroom.runs.create import start
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import KeptTogether, read_environment, write_environment
from fittingroom.training.hold_out import hold_out

QUICK = ["model='tutorial'", "stages.0.epochs=1", "precision=float32", "size=[28,28]"]


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def recipe() -> fr.Recipe:
    return fr.load_recipe("plain", overrides=QUICK)


@pytest.fixture(scope="module")
def sample() -> fr.Dataset:
    return fr.open_dataset("sample").train


def with_repeats(sample: fr.Dataset, *, near: bool) -> fr.Dataset:
    """600 images: the second 300 are the first once more, equal or a little brighter."""
    images = sample.images[:300]
    again = np.clip(images.astype(np.int16) + 6 * (images > 0), 0, 255).astype(np.uint8) if near else images
    assert sample.labels is not None
    labels = sample.labels[:300]
    return fr.Dataset(np.concatenate([images, again]), np.concatenate([labels, labels]), sample.classes, "twice")


def on_two_sides(run: fr.Run) -> int:
    """How many of the 300 pairs of :func:`with_repeats` are on both sides."""
    data = run.open_data()
    _, held_out = hold_out(data, run.recipe, bundles_of(run.environment, data))
    assert held_out is not None
    first = {digest: row % 300 for row, digest in enumerate(data.train.image_hashes())}
    rows = [first[digest] for digest in held_out.image_hashes()]
    return sum(1 for row in set(rows) if rows.count(row) == 1)


def pictures(sample: fr.Dataset, count: int = 200) -> Path:
    """A folder of pictures by class, of 20 persons whose names stand in those of the files."""
    assert sample.labels is not None
    for row in range(count):
        folder = Path("things", sample.classes[sample.labels[row]].replace("/", "-"))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.images[row]).save(folder / f"person{row % 20}_{row}.png")
    return Path("things")


@pytest.mark.parametrize("near", [False, True])
def test_equal_images_and_near_duplicates_validate_by_themselves(
    sample: fr.Dataset, recipe: fr.Recipe, near: bool
) -> None:
    run = start(with_repeats(sample, near=near), recipe, options=fr.Options(threads=1))
    kept = run.environment.together
    assert run.environment.cut == 2
    assert kept is not None
    assert kept.equal == (0 if near else 300)
    assert kept.near_from == "search"
    # a few plain clothes lose their detail by the change; all others are found
    assert on_two_sides(run) <= (3 if near else 0)

    # as 0.1 did it, most of what was held out had its twin among the training images
    old = dataclasses.replace(run.environment, cut=1, together=None)
    write_environment(run.path, old)
    assert on_two_sides(run) > 40


def test_train_keeps_groups_on_one_side_and_says_so(sample: fr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(sample)
    overrides = [word for override in QUICK for word in ("--set", override)]
    arguments = ["train", str(folder), "--recipe", "plain", *overrides, "--threads", "1", "--out", "run"]
    assert main([*arguments, "--group", r"(person\d+)_"]) == 0
    printed = capsys.readouterr().out
    assert "on one side of train and validation: 20 groups" in printed

    table = pl.read_parquet("run/predictions-validation.parquet")
    assert {"image", "source", "file", "group"} <= set(table.columns)
    held_out = set(table["file"])
    persons = {
        file.name.split("_")[0] for file in folder.glob("*/*.png") if f"{file.parent.name}/{file.name}" in held_out
    }
    assert set(table["group"]) == persons
    assert len(table) == 10 * len(persons)

    environment = json.loads(Path("run/environment.json").read_text())
    assert environment["options"]["group"] == r"(person\d+)_"
    assert (environment["cut"], environment["together"]["groups"]) == (2, 20)
    assert fr.open_run("run").recipe == fr.load_recipe("plain", overrides=[*QUICK, "batch_size=8", "shift=2"])


def test_many_near_duplicates_that_were_held_together_are_said_and_a_few_are_not(
    sample: fr.Dataset, recipe: fr.Recipe
) -> None:
    run = fr.train(with_repeats(sample, near=True), recipe, options=fr.Options(threads=1), progress=False)
    (said,) = [text for name, text in summary(run) if name == "cut"]
    validation = run.result["validation"]
    assert validation["groups"] <= validation["n"] * 0.6  # an image and its twin count as one in the interval
    assert said.startswith("on one side of train and validation: ")
    assert said.endswith(" pairs of near-duplicates")

    card = (run.path / "README.md").read_text(encoding="utf-8")
    assert f"(600 images, of which {validation['n']} were held out to validate it)" in card

    few = KeptTogether(near_pairs="0-300 1-301", near_from="search")
    write_environment(run.path, dataclasses.replace(run.environment, together=few))
    assert "cut" not in dict(summary(fr.open_run(run.path)))


def test_what_is_resumed_goes_by_its_own_record_whatever_a_cache_says_by_then(
    sample: fr.Dataset, recipe: fr.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set too large to be searched at once: before `data check` nothing is known, and after it the pairs are."""
    monkeypatch.setattr(known_pairs, "MAX_IMAGES", 100)
    convert(fr.Splits(with_repeats(sample, near=True)), Path("twice.npz"))
    begun = start("twice.npz", recipe, out="before", options=fr.Options(threads=1))
    assert begun.environment.together is not None
    assert begun.environment.together.near_from == ""
    before = on_two_sides(begun)
    assert before > 40

    check(["twice.npz"])

    assert on_two_sides(fr.Run(begun.path)) == before
    later = start("twice.npz", recipe, out="after", options=fr.Options(threads=1))
    assert later.environment.together is not None
    assert later.environment.together.near_from == "data check"
    assert on_two_sides(later) <= 3

    # and the other way round: with the cache gone, what was found before still holds
    shutil.rmtree("cache")
    assert on_two_sides(fr.Run(later.path)) <= 3
    without = start("twice.npz", recipe, out="without", options=fr.Options(threads=1, cache=False))
    assert without.environment.together is not None
    assert without.environment.together.near_from == ""


def test_the_line_that_sends_to_data_check_is_true(
    sample: fr.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(known_pairs, "MAX_IMAGES", 100)
    convert(fr.Splits(with_repeats(sample, near=True)), Path("twice.npz"))
    overrides = [word for override in QUICK for word in ("--set", override)]
    train = ["train", "twice.npz", "--recipe", "plain", *overrides, "--threads", "1"]
    assert main(train) == 0
    assert "near-duplicates were not looked for; fittingroom data check twice.npz does it" in capsys.readouterr().out
    main(["data", "check", "twice.npz"])
    assert main(train) == 0
    printed = capsys.readouterr().out
    assert "pairs of near-duplicates" in printed
    assert "were not looked for" not in printed


def test_a_run_with_other_groups_is_not_gone_on_with(sample: fr.Dataset, recipe: fr.Recipe) -> None:
    folder = pictures(sample)
    run = start(folder, recipe, out="run", options=fr.Options(threads=1, group=r"(person\d+)_"))
    changed = dataclasses.replace(run.environment.options, group=r"(person\d)")
    write_environment(run.path, dataclasses.replace(run.environment, options=changed))
    with pytest.raises(DataError, match="a run goes on only with the images that it held out"):
        fr.resume(run.path)


def test_open_data_get_the_groups_that_are_asked_for_when_begun_and_when_resumed(
    sample: fr.Dataset, recipe: fr.Recipe
) -> None:
    data = fr.open_dataset(pictures(sample), cache=False)
    run = start(data, recipe, out="run", options=fr.Options(threads=1, group=r"(person\d+)_"))
    assert run.environment.together is not None
    assert run.environment.together.groups == 20
    resumed = fr.resume(run.path, data=data)
    table = pl.read_parquet(resumed.predictions_file("validation"))
    assert (table.group_by("group").len()["len"] == 10).all()


@pytest.mark.parametrize("pairs", ["1-2 3", "a-b", "1-2,3-4", "1-" + "9" * 40])
def test_a_record_of_pairs_that_is_none_is_refused(sample: fr.Dataset, recipe: fr.Recipe, pairs: str) -> None:
    run = start(fr.Splits(sample), recipe, out="run", options=fr.Options(threads=1))
    values = json.loads((run.path / "environment.json").read_text())
    values["together"]["near_pairs"] = pairs
    (run.path / "environment.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"together\.near_pairs: pairs of rows such as 12-40 17-96 expected"):
        read_environment(run.path)


def test_nothing_is_looked_for_where_nothing_is_held_out(
    sample: fr.Dataset, recipe: fr.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_pairs, "near_duplicates", None)
    run = start(fr.Splits(sample), dataclasses.replace(recipe, validation=0), options=fr.Options(threads=1))
    assert (run.environment.cut, run.environment.together) == (2, None)
    own = start(fr.Splits(sample, validation=sample.subset(range(9))), recipe, options=fr.Options(threads=1))
    assert own.environment.together is None


@pytest.mark.nightly
def test_the_pairs_that_are_shipped_are_those_that_a_search_finds(official_folder: Path) -> None:
    """Else `python scripts/make_near_pairs.py` makes them anew."""
    train = fr.open_dataset(official_folder).train
    shipped = known_pairs.shipped_pairs(train)
    assert shipped is not None
    found = near_duplicates(train.images, altered=False).pairs
    assert set(map(tuple, shipped.tolist())) == set(map(tuple, found.tolist()))


def test_the_official_training_set_needs_no_search(official_folder: Path) -> None:
    train = fr.open_dataset(official_folder).train
    shipped = known_pairs.shipped_pairs(train)
    assert shipped is not None
    assert len(shipped) > 100
    assert known_pairs.shipped_pairs(train.subset(range(1000))) is None
