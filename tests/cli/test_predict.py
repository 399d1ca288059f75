"""``fittingroom predict`` and ``export`` as their users call them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.rendering.share import share_text
from tests.support.bilingual import english
from tests.support.small_run import train_small

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train_small(tmp_path_factory.mktemp("cli") / "run").path)


@pytest.fixture(autouse=True)
def test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fr.Dataset:
    """The sample's test set; the test runs in a folder with a few of its images as photos and one as it is."""
    monkeypatch.chdir(tmp_path)
    test = fr.open_dataset("sample").test
    assert test is not None
    Path("photos/deep").mkdir(parents=True)
    for name, i in (("shoe.jpg", 1), ("deep/bag.webp", 2), ("coat.png", 3)):
        Image.fromarray(255 - test.images[i]).resize((280, 280)).save(Path("photos", name))
    Path("photos/notes.txt").write_text("no picture")
    Image.fromarray(test.images[0]).save("as-it-is.png")
    return test


def test_a_picture_gets_an_answer_a_line(run: str, capsys: Captured, test_set: fr.Dataset) -> None:
    assert main(["predict", run, "as-it-is.png", "photos/shoe.jpg", "--top", "2"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation images are as strange" not in line]
    label = fr.load(run).predict(test_set.images[0])[0]
    assert re.fullmatch(rf"as-it-is\.png +{test_set.classes[label]} +\d+\.\d% +\S.* \d+\.\d%", lines[0])
    assert lines[1].startswith("photos/shoe.jpg")


def test_what_is_possible_is_not_printed_as_none(run: str, capsys: Captured) -> None:
    assert main(["predict", run, "as-it-is.png", "--top", "10", "--json"]) == 0
    hardly = sum(0 < probability < 0.0005 for _, probability in json.loads(capsys.readouterr().out)[0]["top"])
    assert hardly
    assert main(["predict", run, "as-it-is.png", "--top", "10"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.count("< 0.1%") == hardly
    assert " 0.0%" not in line


def test_it_says_what_its_probabilities_are_worth(run: str, capsys: Captured, tmp_path: Path) -> None:
    assert main(["predict", run, "as-it-is.png"]) == 0
    assert "probabilities: calibrated on 200 validation images" in capsys.readouterr().err.splitlines()

    few = str(train_small(tmp_path / "few", "validation=150").path)
    capsys.readouterr()
    assert main(["predict", few, "as-it-is.png"]) == 0
    assert "probabilities: not calibrated" in capsys.readouterr().err.splitlines()


def test_coverage_gives_sets_and_how_often_such_sets_held_the_right_class(
    run: str, capsys: Captured, test_set: fr.Dataset
) -> None:
    assert main(["predict", run, "as-it-is.png", "photos/coat.png", "--coverage", "95", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    model = fr.load(run)
    assert answers[0]["set"] == model.sets(model.classify(test_set.images[0]), 0.95)[0]
    assert all(answer["set"][0] == answer["class"] for answer in answers)

    # The sentence is a count of the validation images that the run kept its predictions of.
    assert main(["predict", run, "as-it-is.png", "--coverage", "95"]) == 0
    printed = capsys.readouterr()
    *others, last = answers[0]["set"]
    assert " or ".join(filter(None, [", ".join(others), last])) in printed.out
    said = re.search(r"^Such sets held the right class for (\S+)% of the 200 val.*5% interval\)$", printed.err, re.M)
    assert said
    kept = pl.read_parquet(Path(run, "predictions-validation.parquet"))
    limit, probabilities = model.set_limit(0.95), kept.select(pl.col("^p[0-9]+$")).to_numpy()
    of_truth = probabilities[np.arange(len(kept)), [test_set.classes.index(name) for name in kept["label"]]]
    is_held = (kept["predicted"] == kept["label"]).to_numpy() | (1 - of_truth <= np.float32(limit))
    assert float(said[1]) == pytest.approx(100 * is_held.mean(), abs=0.06)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coverage", "0.95"], "a percentage from 50 to less than 100 expected, 0.95 found"),
        (["--coverage", "95", "--csv"], "sets of classes are written as text or by --json"),
        (["--coverage", "99.9"], "999 or more validation images expected, 200 found"),
    ],
)
def test_sets_that_cannot_be_are_refused(run: str, capsys: Captured, options: list[str], message: str) -> None:
    assert main(["predict", run, "as-it-is.png", *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_json_is_what_the_design_promises(run: str, capsys: Captured, test_set: fr.Dataset) -> None:
    assert main(["predict", run, "as-it-is.png", "--json", "--top", "4"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    classified = fr.load(run).classify(test_set.images[0])
    probabilities = classified.probabilities[0]
    order = np.argsort(-probabilities)[:4]

    # Every key that programs read, with the figures of the Python API.
    assert classified.typical is not None
    assert answer == {
        "file": "as-it-is.png",
        "row": None,
        "label": order[0],
        "class": test_set.classes[order[0]],
        "probability": pytest.approx(probabilities[order[0]], rel=1e-6, abs=0),
        "top": [[test_set.classes[i], pytest.approx(probabilities[i], rel=1e-6, abs=0)] for i in order],
        "typical": classified.typical[0],
        "doubt": 1 - classified.typical[0],
        "unfamiliar": bool(classified.typical[0] <= 0.05),
    }


@pytest.mark.parametrize("what", [["photos"], ["photos/**/*"], ["photos/coat.png", "photos/deep", "photos/shoe.jpg"]])
def test_folders_and_patterns_give_the_pictures_in_them(run: str, what: list[str], capsys: Captured) -> None:
    code = main(["predict", run, *what, "--json"])
    printed = capsys.readouterr()
    files = [answer["file"] for answer in json.loads(printed.out)]
    assert files == ["photos/coat.png", "photos/deep/bag.webp", "photos/shoe.jpg"]
    # a pattern names its files one by one, so one that is no picture is worth a word
    assert (code, "notes.txt" in printed.err) == ((2, True) if "*" in what[0] else (0, False))


@pytest.mark.parametrize("kind", ["idx", "csv", "npz", "parquet"])
def test_a_data_set_is_answered_row_by_row_in_every_form(
    run: str, kind: str, capsys: Captured, test_set: fr.Dataset
) -> None:
    part = test_set.subset(range(300))
    convert(fr.Splits(part), Path(f"data.{kind}") if kind != "idx" else Path("data"), to=kind)
    file = "data/train-images-idx3-ubyte.gz" if kind == "idx" else f"data.{kind}"
    file = next((str(each) for each in Path("data").glob("*images*")), file)
    expected = fr.load(run).classify(part.images)

    assert main(["predict", run, file, "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["row"] for answer in answers] == list(range(300))
    assert [answer["label"] for answer in answers] == expected.labels.tolist()

    assert main(["predict", run, file, "--csv"]) == 0
    table = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert main(["predict", run, file, "--parquet", "answers.parquet"]) == 0
    kept = pl.read_parquet("answers.parquet")
    for each in (table, kept):
        assert each["row"].to_list() == list(range(300))
        assert each["class"].to_list() == [test_set.classes[label] for label in expected.labels]
        np.testing.assert_allclose(each.select(pl.col("^p[0-9]+$")).to_numpy(), expected.probabilities, atol=1e-6)
    assert kept["doubt"].to_list() == pytest.approx(expected.doubt)


def test_a_folder_of_idx_files_is_read_without_its_labels(run: str, capsys: Captured, test_set: fr.Dataset) -> None:
    convert(fr.Splits(test_set.subset(range(20))), Path("data"), to="idx")
    assert main(["predict", run, "data", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 20


def test_many_blocks_are_one_table(run: str, capsys: Captured, test_set: fr.Dataset) -> None:
    images = np.tile(test_set.images, (5, 1, 1))
    np.savez("data.npz", images=images)
    assert main(["predict", run, "data.npz", "as-it-is.png", "--csv"]) == 0
    table = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["row"].to_list() == [*range(5_000), None]
    assert main(["predict", run, "data.npz", "--parquet", "a.parquet"]) == 0
    assert pl.read_parquet("a.parquet")["row"].to_list() == list(range(5_000))


def test_stdin_is_a_picture(run: str) -> None:
    command = [sys.executable, "-m", "fittingroom", "predict", run, "-", "--json"]
    done = subprocess.run(command, input=Path("photos/shoe.jpg").read_bytes(), capture_output=True, check=True)
    (answer,) = json.loads(done.stdout)
    assert answer["file"] == "-"


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(run: str, capsys: Captured) -> None:
    Path("broken.png").write_bytes(Path("as-it-is.png").read_bytes()[:50])
    Path("cut.npz").write_bytes(b"PK")
    names = ["broken.png", "nowhere.png", "cut.npz", "as-it-is.png", "*.gif"]
    assert main(["predict", run, *names, "--json"]) == 2
    printed = capsys.readouterr()
    assert [answer["file"] for answer in json.loads(printed.out)] == ["as-it-is.png"]
    for told in (
        "broken.png: a picture (",
        "nowhere.png: a file, a folder, a pattern or the name of a known data set expected, nothing found there",
        "cut.npz: ",
        "*.gif: a file, a folder, a pattern or the name of a known data set expected, nothing found there",
    ):
        assert f"fittingroom: {told}" in printed.err


@pytest.mark.parametrize("form", ["--json", "--csv", "--parquet"])
def test_nothing_readable_leaves_an_empty_but_valid_result(run: str, form: str, capsys: Captured) -> None:
    options = [form, "empty.parquet"] if form == "--parquet" else [form]
    assert main(["predict", run, "nowhere.png", *options]) == 2
    out = capsys.readouterr().out
    if form == "--json":
        assert json.loads(out) == []
    elif form == "--parquet":
        assert pl.read_parquet("empty.parquet").height == 0


def test_a_strange_picture_is_said_to_be_one(run: str, capsys: Captured, test_set: fr.Dataset) -> None:
    """In three levels: nothing, a word of caution, and that it is unlike the training images."""
    typical = fr.load(run).classify(test_set.images).typical
    assert typical is not None
    unusual = np.flatnonzero((typical <= 0.05) & (typical > 0.01))[0]
    shown = {"plain.png": int(typical.argmax()), "unusual.png": int(unusual)}
    for name, i in shown.items():
        Image.fromarray(test_set.images[i]).save(name)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)).save("strange.png")

    assert main(["predict", run, "plain.png"]) == 0
    assert "validation images" not in capsys.readouterr().out
    sentence = f"fewer than 1 in 20 of the 200 validation images are as strange (typical {typical[unusual]:.2g})"
    assert main(["predict", run, "unusual.png", "--html", "unusual.html", "--sheet", "seen.png"]) == 0
    assert f"  somewhat unusual: {sentence}\n" in capsys.readouterr().out
    assert f"Somewhat unusual: {sentence}." in Path("unusual.html").read_text(encoding="utf-8")

    assert main(["predict", run, "strange.png", "--html", "strange.html"]) == 0
    sentence = "fewer than 1 in 100 of the 200 validation images are as strange (typical 0.0"
    assert f"  unlike the training images: {sentence}" in capsys.readouterr().out
    assert f"Unlike the training images: {sentence}" in Path("strange.html").read_text(encoding="utf-8")


def test_a_sheet_holds_every_image_in_itself(run: str) -> None:
    assert main(["predict", run, "photos", "--html", "sheet.html", "--sheet", "seen.png"]) == 0
    page = Path("sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 6, "each picture, and what the model saw of it"
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "photos/deep/bag.webp" in page
    with Image.open("seen.png") as picture:
        assert picture.size[0] > 200


def test_the_pages_figures_and_heading_are_those_of_json(run: str, capsys: Captured) -> None:
    assert main(["predict", run, "photos", "as-it-is.png", "--json", "--top", "3"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert main(["predict", run, "photos", "as-it-is.png", "--html", "sheet.html", "--top", "3"]) == 0
    page = english(Path("sheet.html").read_text(encoding="utf-8"))

    bars = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert bars == [(name, escape(share_text(share, 1))) for answer in answers for name, share in answer["top"]]
    assert re.findall(r'class="file">(.*?)</span>', page) == [answer["file"] for answer in answers]
    heading = re.search("<h1>(.*)</h1>", page)
    assert heading
    counted = {name: int(count) for count, name in re.findall(r"(\d+)\xa0×\xa0(.*?)(?:, |$)", heading[1])}
    others = re.search(r"(\d+) of another class$", heading[1])
    named = Counter(answer["class"] for answer in answers)
    assert counted
    assert counted.items() <= named.items()
    assert sum(counted.values()) + int(others[1] if others else 0) == len(answers)

    # One image's page is headed by its answer; those that don't fit the page count in its heading.
    assert main(["predict", run, "as-it-is.png", "--html", "one.html"]) == 0
    of_one = f"<h1>{answers[-1]['class']}, {share_text(answers[-1]['probability'], 1)}</h1>"
    assert of_one in english(Path("one.html").read_text())


def test_a_known_data_sets_name_is_answered_image_by_image(run: str, capsys: Captured) -> None:
    assert main(["predict", run, "sample", "--csv"]) == 0
    table = pl.read_csv(io.StringIO(capsys.readouterr().out))
    sample = fr.open_dataset("sample")
    assert sample.test is not None
    assert table.select("file", "row").rows() == [
        *(("sample/t10k-images-idx3-ubyte.gz", row) for row in range(len(sample.test))),
        *(("sample/train-images-idx3-ubyte.gz", row) for row in range(len(sample.train))),
    ]
    expected = fr.load(run).predict_names(sample.test.images)
    assert table["class"].to_list()[: len(sample.test)] == expected


def test_where_nothing_could_be_read_no_page_is_left(run: str) -> None:
    assert main(["predict", run, "nowhere.png", "--html", "none.html", "--sheet", "none.png"]) == 2
    assert not Path("none.html").exists()
    assert not Path("none.png").exists()


def test_a_sheet_escapes_what_a_file_is_called(run: str) -> None:
    Path("as-it-is.png").rename("<b>&.png")
    assert main(["predict", run, "<b>&.png", "--html", "sheet.html"]) == 0
    page = Path("sheet.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>" not in page.replace("<b>Fitting Room</b>", "")


def test_one_image_takes_little_more_than_what_it_cannot_do_without(run: str) -> None:
    """In time of the processor, of which a busy machine takes hardly more; 1.5 times as much where it was measured."""
    took = processor_seconds("-m", "fittingroom", "predict", run, "photos/shoe.jpg")
    assert took < 2.5 * processor_seconds("-c", "import numpy, onnxruntime, PIL.Image")


def processor_seconds(*arguments: str) -> float:
    """What a process of Python takes, the least of three."""
    took = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        took.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(took)


@pytest.mark.parametrize(("form", "name"), [("onnx", "model.onnx"), ("torch-export", "model.pt2")])
def test_export_writes_the_file_and_says_how_it_was_checked(run: str, form: str, name: str, capsys: Captured) -> None:
    assert main(["export", run, "--format", form]) == 0
    file = Path(run, name)
    out = capsys.readouterr().out
    assert out.startswith(f"{file}: {file.stat().st_size:,} bytes")
    assert "agrees with the network on 2,000 images" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "safetensors"], "model.safetensors already"),
        (["--format", "keras"], "--format: onnx, torch-export or page expected, keras found"),
        (["--format", "torch-export", "--out", "x.onnx"], "--out x.onnx: a name in .pt2 expected"),
        (["--format", "torch-export", "--quantize", "int8"], "--quantize int8: --format onnx expected"),
    ],
)
def test_what_cannot_be_exported_is_one_message(run: str, options: list[str], message: str, capsys: Captured) -> None:
    assert main(["export", run, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "answers", "--sheet", "a.png"], "--html, --sheet and --trust-code don't go with it"),
        (["--out", "answers", "--threads", "1"], "OMP_NUM_THREADS=N"),
        (["--engine", "ray"], "give it by --out DIR"),
        (["--ray-address", "10.0.0.5:6379", "--out", "answers"], "give --engine ray with it"),
        (["--threads", "0"], "--threads: 1 or more expected, 0 found"),
        (["--device", "cuda"], "--device cuda: model.onnx computes on the CPU"),
    ],
)
def test_options_that_do_not_go_together_are_one_message(
    run: str, options: list[str], message: str, capsys: Captured
) -> None:
    assert main(["predict", run, "as-it-is.png", *options]) == 2
    assert message in capsys.readouterr().err
    assert not Path("answers").exists()


def test_the_number_of_threads_changes_no_answer(run: str, capsys: Captured) -> None:
    assert main(["predict", run, "photos", "--json"]) == 0
    answers = capsys.readouterr().out
    assert main(["predict", run, "photos", "--json", "--threads", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == answers


def test_without_model_onnx_the_network_answers_on_the_device_that_is_named(
    run: str, capsys: Captured, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "torch-only")
    Path("torch-only/model.onnx").unlink()
    assert main(["predict", run, "as-it-is.png", "--json"]) == 0
    (expected,) = json.loads(capsys.readouterr().out)

    assert main(["predict", "torch-only", "as-it-is.png", "--json", "--device", "cpu", "--threads", "1"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["class"] == expected["class"]
    assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-4)

    assert main(["predict", "torch-only", "as-it-is.png", "--device", "cuda:99"]) == 2
    assert "device cuda:99: not on this machine" in capsys.readouterr().err


def test_export_does_not_write_over_a_file_unasked(run: str, capsys: Captured) -> None:
    Path("mine.onnx").write_bytes(b"mine")
    assert main(["export", run, "--out", "mine.onnx"]) == 2
    assert "mine.onnx: a new file expected" in capsys.readouterr().err
    assert Path("mine.onnx").read_bytes() == b"mine"
    assert main(["export", run, "--out", "mine.onnx", "--force"]) == 0


def test_int8_is_written_only_if_it_costs_little(run: str, capsys: Captured) -> None:
    before = time.time()
    code = main(["export", run, "--quantize", "int8"])
    printed = capsys.readouterr()
    file = Path(run, "model.int8.onnx")
    figures = re.search(r"accuracy on 200 validation images: (\d+\.\d+)% → (\d+\.\d+)%", printed.out + printed.err)
    assert figures
    fell = float(figures[1]) - float(figures[2])
    assert (code == 0) == (fell < 0.2)
    assert (file.exists() and file.stat().st_mtime > before) == (code == 0)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of Unix")
@pytest.mark.parametrize(
    "words", ["predict {run} photos --csv", pytest.param("evaluate {run} sample", marks=pytest.mark.nightly)]
)
def test_nothing_is_silent_for_long_on_a_terminal(run: str, words: str) -> None:
    """Pictures on a slow disk, or a search that takes its time: a bar tells of it, and stdout stays clean."""
    code = (
        "import sys, time\n"
        "from fittingroom.cli import console, main\n"
        "from fittingroom.audit import leakage\n"
        "from fittingroom.predict import inputs\n"
        "read, find, console.SECONDS_BEFORE_BAR = inputs.read_inputs, leakage.find_leakage, 0.05\n"
        "def slow(*given, **named):\n    yield from (time.sleep(0.5) or block for block in read(*given, **named))\n"
        "inputs.read_inputs = slow\n"
        "leakage.find_leakage = lambda *given, **named: time.sleep(0.5) or find(*given, **named)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    main_end, other_end = os.openpty()
    with Path("printed").open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words.format(run=run).split()],
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
            stdout=stdout,
            stderr=other_end,
        )
    os.close(other_end)
    seen = b""
    with contextlib.suppress(OSError):  # which is how the other end of a terminal is closed
        while part := os.read(main_end, 1 << 16):
            seen += part
    os.close(main_end)
    assert process.wait() == 0
    bar = "reading and answering" if "predict" in words else "looking for these images among those"
    assert bar.encode() in seen
    assert b"\x1b" not in Path("printed").read_bytes()
