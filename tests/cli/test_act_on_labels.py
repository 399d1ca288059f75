"""What the check of labels found goes back into a training, of pictures, Parquet or CSV rows; a run remembers it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from tests.support import SUPPORT
from tests.support.picture_folders import write_folder

RECIPE = f"""
model = "{SUPPORT / "linear_net.py"}:net"
precision = "float32"
optimizer = "adamw"
validation = 0

[[stages]]
epochs = 3
lr = 0.01
"""


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("linear.toml").write_text(RECIPE, encoding="utf-8")


def lay_out(kind: str) -> str:
    """Real pictures, two of them in the folder of the other class; as pictures or in one file."""
    folder = write_folder(Path("photos"), "grey", 40)
    for file in sorted((folder / "flower").iterdir())[:2]:
        shutil.move(file, folder / "temple" / file.name)
    if kind == "folder":
        return "photos"
    convert(fr.open_dataset("photos"), Path(f"photos.{kind}"))
    return f"photos.{kind}"


def issues_of(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


@pytest.mark.parametrize("kind", ["folder", "parquet", "csv"])
def test_what_the_check_found_is_corrected_left_out_resumed_and_verified(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = lay_out(kind)
    check = ["data", "check", data, "--labels", "--recipe", "linear.toml", "--folds", "2", "--threads", "1"]
    assert main([*check, "--csv", "issues.csv"]) == 0
    capsys.readouterr()
    rows = issues_of("issues.csv")
    train = fr.open_dataset(data).train
    assert train.labels is not None
    assert len(rows) >= 3
    for row in rows:
        assert row["given"] == train.classes[train.labels[int(row["row"])]]
        assert row["file"] == ("" if train.files is None else train.files[int(row["row"])])
        assert float(row["probability"]) > float(row["probability_of_given"])

    # A person corrects the first one; the others are left out.
    rows[0]["corrected"] = rows[0]["suggested"]
    with Path("issues.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    how = ["--recipe", "linear.toml", "--threads", "1"]
    assert main(["train", data, *how, "--without", "issues.csv", "--labels", "issues.csv", "--out", "run"]) == 0
    printed = capsys.readouterr()
    assert f"issues.csv: {len(rows) - 1} images left out, 1 label corrected" in printed.err
    assert f"{40 - len(rows) + 1} train; {len(rows) - 1} images left out, 1 label corrected" in printed.out

    # What was trained on, from the record alone: the table is gone.
    Path("issues.csv").unlink()
    trained = fr.open_run("run").open_data().train
    assert trained.labels is not None
    left = [row for row in range(40) if row not in {int(each["row"]) for each in rows[1:]}]
    expected = [train.labels[row] for row in left]
    expected[left.index(int(rows[0]["row"]))] = train.classes.index(rows[0]["suggested"])
    assert trained.labels.tolist() == expected
    assert (trained.images == train.images[left]).all()
    assert main(["verify", "run", "--trust-code"]) == 0
    Path("run/result.json").unlink()
    assert main(["train", "--resume", "run", "--quiet", "--trust-code"]) == 0
    capsys.readouterr()

    # To the images of the list nothing else happens: another training of the edited data is the same one.
    again = fr.train(fr.Splits(trained), "linear.toml", out="again", options=fr.Options(threads=1))
    assert (again.path / "model.safetensors").read_bytes() == Path("run/model.safetensors").read_bytes()


def test_a_table_with_labels_filled_in_is_never_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("issues.csv").write_text("file;corrected\na.png;dog\n", encoding="utf-8")
    assert main(["data", "check", "sample", "--labels", "--recipe", "linear.toml", "--csv", "issues.csv"]) == 2
    assert "one in which somebody filled in 1 label found: write to another" in capsys.readouterr().err
    assert main(["data", "check", "sample", "--csv", "issues.csv"]) == 2
    assert "--csv: for the check of labels alone: add --labels" in capsys.readouterr().err


def test_images_that_the_data_lacks_are_refused_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    lay_out("folder")
    Path("list.txt").write_text("temple/no.png\n", encoding="utf-8")
    assert main(["train", "photos", "--recipe", "linear.toml", "--without", "list.txt"]) == 2
    assert "1 of 1 not found there: line 1: temple/no.png" in capsys.readouterr().err
    assert not Path("runs").exists()
    with pytest.raises(fr.DataError, match="1 of 1 not found there"):
        fr.train("photos", "linear.toml", options=fr.Options(without="list.txt"))
    assert not Path("runs").exists()


def test_every_seed_of_a_run_leaves_the_same_images_out(capsys: pytest.CaptureFixture[str]) -> None:
    lay_out("folder")
    Path("list.txt").write_text("3\n4\n", encoding="utf-8")
    assert main(["train", "photos", "--recipe", "linear.toml", "--without", "list.txt", "--seeds", "2"]) == 0
    capsys.readouterr()
    assert [
        len(member.open_data().train) for member in map(fr.open_run, ("runs/linear-1/seed-0", "runs/linear-1"))
    ] == [
        38,
        38,
    ]
    run = fr.add_seeds("runs/linear-1", 1, trust_code=True)
    assert [member.environment.edits.in_words for member in run.members if member.environment.edits] == [
        "2 images left out"
    ] * 3


def test_an_odd_record_of_edits_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    lay_out("folder")
    Path("list.txt").write_text("3\n", encoding="utf-8")
    assert main(["train", "photos", "--recipe", "linear.toml", "--without", "list.txt", "--out", "run"]) == 0
    file = Path("run/environment.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    for key, rows, said in (
        ("removed", {"train": "3 x"}, "edits.removed.train: rows such as 12 40 expected"),
        ("removed", {"test": "3"}, "edits: rows of train or validation expected, some of test found"),
        ("relabelled", {"train": "3"}, "edits.relabelled.train: rows and classes such as 7-2 31-0 expected"),
    ):
        file.write_text(json.dumps(record | {"edits": record["edits"] | {key: rows}}), encoding="utf-8")
        assert main(["evaluate", "run", "photos"]) == 2
        assert said in capsys.readouterr().err


def test_answers_that_a_person_corrected_are_trained_on_as_they_were_corrected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lay_out("folder")
    assert main(["train", "photos", "--recipe", "linear.toml", "--threads", "1", "--out", "run"]) == 0
    capsys.readouterr()
    files = sorted(str(file) for file in Path("photos/flower").iterdir())
    assert main(["predict", "run", *files, "--csv"]) == 0
    Path("answers.csv").write_text(capsys.readouterr().out, encoding="utf-8")

    # The class is corrected, the number beside it isn't.
    rows = [row | {f"p{i}": "0.1" for i in range(12)} for row in issues_of("answers.csv")]  # as of a dozen classes
    for number, row in enumerate(rows):
        row["class"] = "stem" if number % 3 == 0 else "petal"
    with Path("answers.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert main(["train", "answers.csv", "--recipe", "linear.toml", "--threads", "1", "--out", "named"]) == 0
    named = fr.open_run("named").open_data().train
    assert named.labels is not None
    assert [named.classes[label] for label in named.labels] == [row["class"] for row in rows]
    assert list(named.files or ()) == files


@pytest.mark.parametrize("excel", [False, True])
def test_answers_on_a_whole_folder_of_pictures_come_back_as_its_labels(
    excel: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answer, correct a class (in Excel, which adds a mark and other line ends), train: every label is the table's."""
    lay_out("folder")
    assert main(["train", "photos", "--recipe", "linear.toml", "--threads", "1", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["predict", "run", "photos", "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    for number, row in enumerate(rows):
        row["class"] = ("flower", "temple", "bell tower")[number % 3]
    with Path("answers.csv").open("w", encoding="utf-8-sig" if excel else "utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0], lineterminator="\r\n" if excel else "\n")
        writer.writeheader()
        writer.writerows(rows)

    data = fr.open_dataset("answers.csv").train
    assert data.classes == ("bell tower", "flower", "temple")
    assert data.labels is not None
    of_file = dict(zip(data.files or (), data.labels.tolist(), strict=True))
    assert {file: data.classes[label] for file, label in of_file.items()} == {row["file"]: row["class"] for row in rows}
    again = fr.open_dataset("photos").train
    by_file = dict(zip(again.files or (), again.images, strict=True))
    for file, image in zip(data.files or (), data.images, strict=True):
        assert (image == by_file[file.removeprefix("photos/")]).all()


def test_answers_on_rows_come_back_by_labels_and_the_table_alone_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lay_out("csv")
    assert main(["train", "photos.csv", "--recipe", "linear.toml", "--threads", "1", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["predict", "run", "photos.csv", "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    before = fr.open_dataset("photos.csv").train
    assert before.labels is not None
    for row, label in zip(rows, before.labels, strict=True):
        row["class"] = before.classes[int(label) if int(row["row"]) else 1 - int(label)]
    with Path("answers.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    assert main(["train", "answers.csv", "--out", "no"]) == 2
    command = "fittingroom train photos.csv --labels answers.csv"
    assert f"answers on the rows of photos.csv found: {command} takes their classes" in capsys.readouterr().err
    assert main([*command.split()[1:], "--recipe", "linear.toml", "--threads", "1", "--out", "again"]) == 0
    assert "photos.csv: 40 train; 1 label corrected" in capsys.readouterr().out
    after = fr.open_run("again").open_data().train
    assert after.labels is not None
    assert (after.labels != before.labels).nonzero()[0].tolist() == [0]
