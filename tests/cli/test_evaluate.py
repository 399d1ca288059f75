"""``fittingroom evaluate`` as its user calls it: on subsets, and on several seeds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import fittingroom as fr
from fittingroom.audit.label_issues import label_issues_of
from fittingroom.cli import main
from fittingroom.data.convert import convert
from tests.support import SUPPORT
from tests.support.small_run import seen_in_training

LINEAR = SUPPORT / "linear_net.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of one seed that was judged, and one of two seeds that was not."""
    folder: Path = tmp_path_factory.mktemp("trained")
    quick = ["sample", "--model", f"{LINEAR}:net", "--epochs", "1", "--set", "precision=float32", "--quiet"]
    assert main(["train", *quick, "--out", str(folder / "runs/one")]) == 0
    assert main(["train", *quick, "--seeds", "2", "--no-test", "--out", str(folder / "runs/two")]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["evaluate", *arguments, "--trust-code", "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_images_that_the_model_was_trained_on_are_counted_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    train, test = fr.open_dataset("sample").train, fr.open_dataset("sample").test
    assert train.labels is not None
    assert test is not None
    assert test.labels is not None
    softer = np.stack(
        [np.asarray(Image.fromarray(image).resize((24, 24)).resize((28, 28))) for image in train.images[:40]]
    )
    images = np.concatenate([train.images[100:130], softer, test.images[:100]])
    labels = np.concatenate([train.labels[100:130], train.labels[:40], test.labels[:100]])
    np.savez(tmp_path / "mine.npz", x_test=images, y_test=labels, x_train=images, y_train=labels, classes=train.classes)

    seen = evaluated(capsys, "runs/one", "mine.npz")["trained_on"]
    assert isinstance(seen, dict)
    trained_on, held_out = seen_in_training(fr.open_run("runs/one"))
    assert held_out is not None
    learned, validated = ({*part.image_hashes()} for part in (trained_on, held_out))
    given = train.subset(range(100, 130)).image_hashes()
    counts = (sum(image in learned for image in given), sum(image in validated for image in given))
    assert counts[0] + counts[1] == 30
    assert min(counts) > 0
    assert (seen["n"], seen["equal"], seen["held_out"]) == (170, *counts)
    softened = sum(image in learned for image in train.subset(range(40)).image_hashes())
    assert softened - 4 <= seen["near"] <= softened + 5

    assert main(["evaluate", "runs/one", "mine.npz", "--trust-code"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"the model was trained on {counts[0]} of these 170 images" in said
    assert f"it was validated by {counts[1]} others" in said
    assert f"{seen['near']} others are near-duplicates" in said


def test_nothing_is_said_of_images_that_are_new_to_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", "runs/one", "--trust-code"]) == 0
    assert "trained on" not in capsys.readouterr().err


def test_subsets_stand_beside_all_images_and_replace_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("runs/one/result.json").read_bytes()
    scores = evaluated(capsys, "runs/one", "--subsets")
    subsets = scores["subsets"]
    assert isinstance(subsets, list)
    assert [row["name"] for row in subsets] == ["all", "without near-duplicates", "without suspects"]
    assert (subsets[0]["accuracy"], subsets[0]["n"]) == (scores["accuracy"], 1000)

    # Counted from the file of predictions, image by image.
    test = fr.open_dataset("sample").test
    assert test is not None
    doubted = label_issues_of(test)
    assert doubted is not None
    table = pl.read_parquet("runs/one/predictions.parquet")
    right = (table["label"] == table["predicted"]).to_numpy()
    assert subsets[2]["correct"] == right[~doubted.mask(test)].sum()
    assert subsets[2]["n"] < 1000

    # What the run said before stays: a later evaluation goes to a file of its own.
    assert Path("runs/one/result.json").read_bytes() == before
    assert json.loads(Path("runs/one/evaluations/1.json").read_text())["scores"]["subsets"] == subsets
    assert "With some images left out" in Path("runs/one/report.html").read_text()


def test_device_and_threads_change_where_it_is_judged_and_not_what_comes_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = evaluated(capsys, "runs/one")
    threads = torch.get_num_threads()
    try:
        assert evaluated(capsys, "runs/one", "--device", "cpu", "--threads", "1")["accuracy"] == scores["accuracy"]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:99"], "device cuda:99: not on this machine"),
        (["--threads", "0"], "threads: 1 or more expected, 0 found"),
    ],
)
def test_a_device_or_a_number_of_threads_that_cannot_be_is_one_message(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "runs/one", "--trust-code", *options]) == 2
    assert message in capsys.readouterr().err


def test_what_one_model_reached_is_said_in_the_words_of_the_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/one", "--trust-code"]) == 0
    printed = capsys.readouterr().out
    scores = json.loads(Path("runs/one/evaluations/1.json").read_text())["scores"]
    assert f"accuracy         {scores['accuracy']:.2%}: {scores['correct']:,} of 1,000 images" in printed
    assert f"top-2 accuracy   {scores['top2']:.2%}" in printed
    assert "true \\ predicted" in printed


def test_the_table_says_that_leaving_suspects_out_flatters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/one", "--subsets", "--trust-code"]) == 0
    printed = capsys.readouterr().out
    assert "without suspects: " in printed
    assert "a fixed reference: recipe swift, 5 folds of fashion-mnist train" in printed
    assert "Leaving label issues out flatters" in printed


def test_the_first_look_keeps_its_subsets_in_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    means = evaluated(capsys, "runs/two", "--subsets")
    subsets = means["subsets"]
    assert isinstance(subsets, list)
    members = [fr.open_run(f"runs/two/seed-{seed}").result["test"]["subsets"] for seed in (0, 1)]
    for mean, *each in zip(subsets, *members, strict=True):
        assert mean["accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in each]))
        assert mean["interval"][0] < mean["accuracy"] < mean["interval"][1]
    assert fr.open_run("runs/two").result["mean"] == means["mean"]
    assert not Path("runs/two/seed-0/evaluations").exists()


def test_several_seeds_on_other_data_are_judged_on_that_data(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(capsys, "runs/two")
    own = fr.open_run("runs/two").result
    on_train = evaluated(capsys, "runs/two", "sample", "--split", "train")
    judged = [json.loads(Path(f"runs/two/seed-{seed}/evaluations/1.json").read_text())["scores"] for seed in (0, 1)]
    assert on_train["on"] == "sample train"
    assert on_train["mean"] == pytest.approx(np.mean([scores["accuracy"] for scores in judged]))
    assert on_train["mean"] != own["mean"]
    assert fr.open_run("runs/two").result == own


def test_suspects_are_of_the_file_that_is_named_and_of_these_images_only(capsys: pytest.CaptureFixture[str]) -> None:
    test = fr.open_dataset("sample").test
    assert test is not None
    shipped = label_issues_of(test)
    assert shipped is not None
    parts = [{"reference": "mine", "name": "t", "n": 1000, "images": test.fingerprint.images, "suspects": []}]
    Path("s.json").write_text(json.dumps({"format": 1, "parts": parts}))
    subsets = evaluated(capsys, "runs/one", "--suspects", "s.json")["subsets"]
    assert isinstance(subsets, list)
    assert (subsets[2]["n"], subsets[2]["left_out"]) == (1000, "whose label is an issue by a fixed reference: mine")
    assert main(["evaluate", "runs/one", "sample", "--split", "train", "--suspects", "s.json", "--trust-code"]) == 2
    assert "label issues among the images of sample train (2,000) expected" in capsys.readouterr().err


def test_where_no_suspects_are_known_it_says_how_to_find_some(capsys: pytest.CaptureFixture[str]) -> None:
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    inverted = replace(sample.test, images=255 - sample.test.images)
    convert(fr.Splits(inverted), Path("inverted.npz"), to=None)
    assert main(["evaluate", "runs/one", "inverted.npz", "--subsets", "--trust-code"]) == 0
    printed = capsys.readouterr()
    assert "no label issues are known" in printed.err
    assert "data check DATA --labels --suspects FILE" in printed.err
    assert "without suspects" not in printed.out


def test_where_the_training_data_is_gone_the_rest_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("runs/one/environment.json")
    file.write_text(file.read_text().replace('"source": "sample"', '"source": "gone"'))
    capsys.readouterr()
    assert main(["evaluate", "runs/one", "sample", "--subsets", "--trust-code"]) == 0
    printed = capsys.readouterr()
    assert "near-duplicates are not looked for: gone" in printed.err
    assert "without suspects" in printed.out
    assert "without near-duplicates" not in printed.out


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_split_validation_of_the_run_itself_is_what_its_training_recorded(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no test image is looked at, whatever test set the run has."""
    ledger = Path("runs/test-looks.jsonl").read_bytes()
    run = fr.open_run(Path("runs", name))
    scores = evaluated(capsys, str(run.path), "--split", "validation", "--csv", "mistakes.csv")
    assert scores == run.validation_scores()
    members = run.members or [run]
    recorded = [member.result["validation"] for member in members]
    assert scores["mean" if run.members else "accuracy"] == pytest.approx(np.mean([of["accuracy"] for of in recorded]))
    assert len(pl.read_csv("mistakes.csv")) == sum(of["n"] - of["correct"] for of in recorded)
    assert Path("runs/test-looks.jsonl").read_bytes() == ledger
    assert not (run.path / "evaluations").exists()

    assert main(["evaluate", str(run.path), "--split", "validation"]) == 0
    assert capsys.readouterr().out.startswith("mean accuracy of 2 seeds on validation" if run.members else "accuracy ")
    assert main(["evaluate", str(run.path), "--split", "validation", "--subsets"]) == 2


def test_the_split_train_of_the_run_itself_is_judged_and_said_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Path("runs/test-looks.jsonl").read_bytes()
    scores = evaluated(capsys, "runs/one", "--split", "train")
    assert scores["n"] == 2_000
    assert isinstance(scores["trained_on"], dict)
    assert scores["trained_on"]["equal"] > 1_000
    assert len(Path("runs/test-looks.jsonl").read_bytes()) >= len(ledger)


# ── --csv ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_csv_has_a_line_for_each_mistake_the_most_confident_first(capsys: pytest.CaptureFixture[str]) -> None:
    scores = evaluated(capsys, "runs/one", "--csv", "mistakes.csv")
    table = pl.read_csv("mistakes.csv")
    assert table.columns == ["file", "row", "label", "predicted", "probability"]
    assert len(table) == 1000 - int(str(scores["correct"]))
    assert (table["label"] != table["predicted"]).all()
    assert table["probability"].is_sorted(descending=True)

    # They are those of the run's own record, on other data just as well.
    kept = pl.read_parquet("runs/one/predictions.parquet").filter(pl.col("label") != pl.col("predicted"))
    assert sorted(table["row"]) == kept["row"].to_list()
    other = evaluated(capsys, "runs/one", "sample", "--split", "train", "--csv", "others.csv")
    assert len(pl.read_csv("others.csv")) == 2000 - int(str(other["correct"]))


def test_csv_of_all_images_keeps_the_order_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(capsys, "runs/one", "--csv", "all.csv", "--all")
    table = pl.read_csv("all.csv")
    kept = pl.read_parquet("runs/one/predictions.parquet")
    assert table["row"].to_list() == list(range(1000))
    assert table["label"].to_list() == kept["label"].to_list()
    assert table["predicted"].to_list() == kept["predicted"].to_list()


def test_csv_of_a_folder_names_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    test = fr.open_dataset("sample").test
    assert test is not None
    assert test.labels is not None
    for row, label in enumerate(test.labels[:200]):
        folder = Path("things", test.classes[label].replace("/", "-"))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.images[row]).save(folder / f"{row}.png")
    classes = {path.name for path in Path("things").iterdir()}
    assert len(classes) == 10
    Path("things/T-shirt-top").rename("things/top")
    capsys.readouterr()

    # A class that the model doesn't know is refused, before anything is written.
    assert main(["evaluate", "runs/one", "things", "--trust-code", "--csv", "files.csv"]) == 2
    assert not Path("files.csv").exists()
    shutil.rmtree("things/top")

    evaluated(capsys, "runs/one", "things", "--csv", "files.csv", "--all")
    table = pl.read_csv("files.csv")
    for line in table.iter_rows(named=True):
        assert Path("things", line["file"]).is_file()
        assert Path(line["file"]).parent.name == line["label"]


def test_csv_of_several_seeds_names_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(capsys, "runs/two", "--csv", "all.csv", "--all")
    table = pl.read_csv("all.csv")
    assert table.columns[0] == "seed"
    assert table["seed"].to_list() == [0] * 1000 + [1] * 1000


def test_all_without_csv_and_a_csv_that_can_not_be_written_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/one", "--all"]) == 2
    assert "--csv FILE" in capsys.readouterr().err
    assert main(["evaluate", "runs/one", "--trust-code", "--csv", "nowhere/mistakes.csv"]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err
    Path("taken").mkdir()
    assert main(["evaluate", "runs/one", "--trust-code", "--csv", "taken"]) == 2
    assert "taken: can't be written" in capsys.readouterr().err
