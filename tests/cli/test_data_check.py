import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.cli import main
from fittingroom.data.open import open_dataset
from fittingroom.errors import how_to_install
from fittingroom.runs.ledger import read_evaluations
from tests.support import SUPPORT
from tests.support.bilingual import english
from tests.support.planted import TRAIN_IMAGES, both, replaced, write_folder

pytestmark = pytest.mark.usefixtures("own_folder")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run `fittingroom data check …`; return stdout and stderr."""
    assert main(["data", "check", *arguments]) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.out, printed.err


@pytest.fixture
def shifted() -> Path:
    """The sample with 16 bytes too many before its first pixel."""
    train, test = both(open_dataset("sample"))
    run_of_pixels = np.concatenate([np.zeros(16, np.uint8), train.images.reshape(-1)])[:-16]
    return write_folder(Path("shifted"), replaced(train, run_of_pixels.reshape(train.images.shape)), test)


def test_clean_data_end_with_0_and_say_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "sample", "--no-near-duplicates")
    assert "sample train: 2,000 images; 2,000 images of Fashion-MNIST train" in out
    assert "0 errors, 0 warnings, 2 notes" in out


def test_errors_end_with_2_and_say_where_what_and_what_to_do(capsys: pytest.CaptureFixture[str], shifted: Path) -> None:
    out, _ = run(capsys, str(shifted), code=2)
    assert "error  shifted  shifted train" in out
    assert "images begin 16 bytes after where they should" in out
    assert "1 error, 0 warnings" in out


def test_what_could_not_be_read_is_counted_where_the_errors_are(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "sample", "misspelt.csv", "--no-near-duplicates", code=2)
    assert "misspelt.csv" in out
    assert "1 of 2 not read: 0 errors" in out


def test_json_has_the_names_and_figures_that_programs_read(capsys: pytest.CaptureFixture[str], shifted: Path) -> None:
    out, _ = run(capsys, str(shifted), "--json", "--no-near-duplicates", code=2)
    report = json.loads(out)
    first = report["findings"][0]
    assert (first["name"], first["severity"]) == ("shifted", "error")
    assert first["figures"]["offset"] == 16
    assert {"message", "effect", "advice", "where", "fix"} <= first.keys()


def test_fix_writes_a_copy_and_says_what_it_changed(capsys: pytest.CaptureFixture[str], shifted: Path) -> None:
    out, err = run(capsys, str(shifted), "--fix", "mended", code=2)
    assert "1 error, 0 warnings" in out
    assert "repaired mended/classes.txt, mended/t10k-images-idx3-ubyte.gz, " in out
    assert "changed: shifted train: pixels moved back by 16 bytes; the last image" in err
    mended, test = both(open_dataset("mended", cache=False))
    np.testing.assert_array_equal(mended.images, open_dataset("sample").train.images[:-1])
    assert len(test) == 1_000
    run(capsys, "mended")


def test_fix_of_what_is_whole_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "sample", "--fix", "mended", code=2)
    assert "nothing was written" in err
    assert not Path("mended").exists()


def test_fix_never_overwrites(capsys: pytest.CaptureFixture[str], shifted: Path) -> None:
    Path("mended").mkdir()
    _, err = run(capsys, str(shifted), "--fix", "mended", code=2)
    assert "is there already" in err


def test_page_and_sheet_show_the_examples(capsys: pytest.CaptureFixture[str], shifted: Path) -> None:
    out, _ = run(capsys, str(shifted), "--html", "a.html", "--sheet", "a.png", code=2)
    page = Path("a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") >= 2
    assert "default-src 'none'; img-src data:" in page  # nothing is fetched, and nothing may be
    assert "http" not in page.replace("<meta http-equiv=", "")
    with Image.open("a.png") as sheet:
        assert sheet.width > 1_000
    assert "a.html" in out


def test_a_name_with_markup_is_text_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    train, _ = both(open_dataset("sample"))
    folder = write_folder(Path("<script>alert(1)"), train)
    run(capsys, str(folder), "--html", "a.html", "--no-near-duplicates")
    assert "<script>" not in english(Path("a.html").read_text())


def test_sheet_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "sample", "--no-near-duplicates", "--sheet", "a.png", code=2)
    assert "nothing was written" in err


def test_several_paths_are_checked_against_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    train, _ = both(open_dataset("sample"))
    write_folder(Path("other"), train.subset(np.arange(1_000)))
    for file in list(Path("other").iterdir()):
        file.rename(file.with_name(file.name.replace("train", "t10k")))
    out, _ = run(capsys, "sample", "other", "--json", "--no-near-duplicates", code=2)
    found = {finding["name"]: finding for finding in json.loads(out)["findings"] if finding["severity"] == "error"}
    assert found["overlap"]["figures"]["overlap"] == 1_000


def test_what_cannot_be_read_ends_with_2_and_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "nowhere", code=2)
    assert "no such file or folder" in out
    Path("data").mkdir()
    Path("data", TRAIN_IMAGES).write_bytes(b"")
    out, _ = run(capsys, "data", code=2)
    assert "wrong-magic" in out


LINEAR = f"""
model = "{SUPPORT / "linear_net.py"}:net"
batch_size = 250
precision = "float32"
optimizer = "adamw"

[[stages]]
epochs = 3
lr = 0.01
"""


def test_labels_are_doubted_one_by_one_and_kept_for_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    Path("linear.toml").write_text(LINEAR)
    how = ["sample", "--labels", "--recipe", "linear.toml", "--folds", "2", "--no-near-duplicates"]
    files = ["--suspects", "s.json", "--html", "a.html", "--sheet", "a.png"]
    out, err = run(capsys, *how, "--json", *files)
    assert [line for line in err.splitlines() if "fold" in line] == ["fold 1 of 2", "fold 2 of 2"]

    # The worst of each set comes first, with the label that the models would give it.
    report = json.loads(out)
    found = {each["where"]: each for each in report["findings"] if each["name"] == "label-noise"}
    assert found.keys() == {"sample train", "sample test"}
    of_test = found["sample test"]["figures"]
    first = of_test["suspects"][0]
    test = both(open_dataset("sample"))[1]
    assert test.labels is not None
    assert first["given"] == test.classes[test.labels[first["row"]]]
    assert [part["suspects"] for part in json.loads(Path("s.json").read_text())["parts"]][1] == of_test["suspects"]

    # File, page and sheet hold the same.
    assert report["written"] == {"suspects": "s.json", "page": "a.html", "sheet": "a.png"}
    page = english(Path("a.html").read_text())
    assert f"labelled {first['given']}<br>model: {first['suggested']}" in page
    assert page.count("<figcaption>labelled ") == 240

    again, err = run(capsys, *how)
    assert "fold" not in err  # what was done is kept

    # How far the models agree with a test set's labels is their accuracy on it, so it is on record like any other.
    looks = read_evaluations(Path("runs"), test.fingerprint.images)
    assert [look["run"] for look in looks] == ["data check --labels, recipe linear"] * 2
    assert f"row {first['row']:,}: {first['given']}, rather {first['suggested']}" in again
    assert "labels are worth a look" in again
    assert "too little (below 90%) to say how many labels are wrong" in again
    assert of_test["at_most"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cpu"], "--device: for the check of labels alone"),
        (["--folds", "3"], "--folds: for the check of labels alone: add --labels"),
        (["--suspects", "s.json"], "--suspects: for the check of labels alone"),
        (["--engine", "ray"], "--engine: for the check of labels alone"),
        (["--ray-address", "10.0.0.5:6379"], "--ray-address: for the check of labels alone"),
        (["--labels", "--ray-address", "10.0.0.5:6379"], "give --engine ray with it"),
        (["--labels", "--engine", "ray", "--ray-address", "127.0.0.1:1"], "address of a running Ray cluster expected"),
        (["--labels", "--threads", "0"], "threads: 1 or more expected, 0 found"),
        (["--labels", "--folds", "1"], "2 or more expected, 1 found"),
        (["--labels", "--recipe", "swfit"], "did you mean swift"),
    ],
)
def test_a_mistake_in_the_options_of_labels_is_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    _, err = run(capsys, "sample", "--no-near-duplicates", *arguments, code=2)
    assert message in err


def test_without_ray_one_message_says_what_to_install_before_anything_is_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    out, err = run(capsys, "sample", "--labels", "--engine", "ray", code=2)
    assert how_to_install("ray") in err
    assert out == ""


def test_labels_that_cannot_be_checked_do_not_cost_the_rest_of_the_report(
    capsys: pytest.CaptureFixture[str], shifted: Path
) -> None:
    train, _ = both(open_dataset("sample"))
    np.savez("unlabelled.npz", x_train=train.images)
    out, err = run(capsys, "unlabelled.npz", "--labels", "--no-near-duplicates", "--suspects", "s.json", code=2)
    assert "2,000 of the 60,000 official train images" in out
    assert "labels were not checked: labelled images expected, none found" in err
    assert not Path("s.json").exists()
    out, err = run(capsys, str(shifted), "--labels", "--folds", "5000", "--no-near-duplicates", code=2)
    assert "images begin 16 bytes after where they should" in out
    assert "at least 5000 different images of each class expected" in err
