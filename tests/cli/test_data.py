import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.cli import main
from fittingroom.data.fetch.known_sets import locate
from fittingroom.data.open import open_dataset

SAMPLE = locate("sample")
TRAIN_IMAGES = SAMPLE / "train-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FITTINGROOM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run `fittingroom data …`; return what it printed, on stderr if it is to fail."""
    assert main(["data", *arguments]) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err if code else printed.out


def words(line: str) -> list[str]:
    return line.split()


# ── info ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_info_says_what_the_sample_is(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "info", "sample").splitlines()
    rows = {line[:14].strip(): line[14:].split("   ") for line in lines if line}
    assert lines[0] == "sample"
    found = {name: [cell.strip() for cell in cells if cell.strip()] for name, cells in rows.items()}
    assert found["images"] == ["2,000", "1,000"]
    assert found["size"] == ["28×28", "28×28"]
    assert found["type"] == ["uint8", "uint8"]
    assert found["pixels"] == ["0–255", "0–255"]
    assert found["known as"] == ["sample train", "sample test"]
    assert ["Ankle", "boot", "200", "100"] in map(words, lines)


def test_info_json_has_exact_figures(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run(capsys, "info", "sample", "--json"))
    data = open_dataset("sample")
    pixels = data.train.images.astype(np.float64) / 255
    assert report["source"] == "sample"
    assert report["validation"] is None
    assert report["train"]["mean"] == pytest.approx(pixels.mean(), rel=1e-12)
    assert report["train"]["sd"] == pytest.approx(pixels.std(), rel=1e-12)
    assert report["train"]["class_counts"] == dict.fromkeys(data.train.classes, 200)
    assert report["train"]["fingerprint"]["content"] == data.train.fingerprint.content
    assert report["test"]["identity"] == "sample test"


def test_info_of_one_file_with_the_test_set_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "convert", "sample", "csv", "--to", "csv")
    train, test = Path("csv", "train.csv"), Path("csv", "test.csv")
    report = json.loads(run(capsys, "info", str(train), "--test", str(test), "--no-cache", "--json"))
    assert (report["train"]["images"], report["test"]["images"]) == (2000, 1000)
    assert json.loads(run(capsys, "info", str(train), "--json"))["test"] is None


def test_info_of_unlabelled_images(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(TRAIN_IMAGES, "train-images-idx3-ubyte.gz")
    printed = run(capsys, "info", "train-images-idx3-ubyte.gz")
    assert "sample train, without labels" in printed
    assert "class " not in printed


def test_info_of_a_thousand_classes_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 4, 4), np.uint8)
    np.savez("many.npz", x_train=images, y_train=np.arange(1000))
    lines = run(capsys, "info", "many.npz").splitlines()
    assert len(lines) < 60
    assert "960 more" in lines[-1]


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_show_prints_the_first_rows_and_writes_a_contact_sheet(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "show", "sample").splitlines()
    train = open_dataset("sample").train
    assert train.labels is not None
    assert lines[0].startswith("sample train  2,000 rows; pixels 1–784")
    assert words(lines[2]) == ["label", "class", "1", "2", "3", "4", "5", "…", "780", "781", "782", "783", "784"]
    for row in range(10):
        label, pixels = train.labels[row], train.images[row].reshape(-1).tolist()
        cells = [row, label, train.classes[label], *pixels[:5], "…", *pixels[-5:]]
        assert words(lines[3 + row]) == " ".join(map(str, cells)).split()
    assert lines[13:] == ["", "contact sheet   sample-train-contact-sheet.png"]
    with Image.open("sample-train-contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 1000


def test_show_of_another_split_into_a_file_of_choice(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "show", "sample", "--split", "test", "--rows", "3", "--sheet", "a.png").splitlines()
    assert lines[0].startswith("sample test  1,000 rows")
    assert len(lines) == 3 + 3 + 2
    assert Path("a.png").exists()


def test_show_of_a_split_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no validation split, only train, test: choose one by --split" in run(
        capsys, "show", "sample", "--split", "validation", code=2
    )


def test_show_of_images_without_labels_that_are_tiny(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("tiny.npz", images=np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    lines = run(capsys, "show", "tiny.npz").splitlines()
    assert words(lines[2]) == ["1", "2", "3", "4"]
    assert words(lines[4]) == ["1", "4", "5", "6", "7"]


def test_show_draws_what_a_recipe_makes_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "show", "sample", "--augment", "plain", "--set", "mixup=0.4", "--set", "rotate=20").splitlines()
    assert lines[2].startswith(
        "augmentation    shift 2, rotate 20, scale 0.15, brightness 0.2, contrast 0.2, mixup 0.4"
    )
    assert lines[3] == "contact sheet   sample-train-augmented.png"
    with Image.open("sample-train-augmented.png") as sheet:
        assert min(sheet.size) > 1000

    assert "it asks for no augmentation; its keys for that are mirror, " in run(
        capsys, "show", "sample", "--augment", "tutorial", code=2
    )
    assert "name it by --augment" in run(capsys, "show", "sample", "--set", "rotate=1", code=2)


# ── header ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_header_of_images_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "header", str(TRAIN_IMAGES)).splitlines()
    assert lines[0] == "train-images-idx3-ubyte.gz  2,000 images of 28×28 (uint8), gzip"
    assert [words(line)[:7] for line in lines[3:7]] == [
        ["0", "uint32", "00", "00", "08", "03", "2051"],
        ["4", "uint32", "00", "00", "07", "d0", "2000"],
        ["8", "uint32", "00", "00", "00", "1c", "28"],
        ["12", "uint32", "00", "00", "00", "1c", "28"],
    ]
    assert words(lines[7])[:2] == ["16", "uint8"]
    assert lines[-1].startswith("1,568,016 bytes when decompressed expected by the header, 1,568,016 found: they match")


def test_header_of_labels_gives_the_first_labels(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run(capsys, "header", str(SAMPLE / "t10k-labels-idx1-ubyte.gz"), "--json"))
    labels = open_dataset("sample").test
    assert labels is not None
    assert labels.labels is not None
    assert report["what"] == "1,000 labels (uint8)"
    assert report["matches"] is True
    assert report["fields"][-1]["offset"] == 8
    assert report["fields"][-1]["value"] == " ".join(map(str, labels.labels[:8]))


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"\0\0\x08\x01\0\0\0\x05abc", "13 bytes expected by the header, 11 found: the file is cut off"),
        (b"\0\0\x08\x01\0\0\0\x05abcdefgh", "13 bytes expected by the header, 16 found: header and content don't"),
        (b"\0\0\x0d\x02\0\0\0\x01\0\0\0\x01\x3f\x80\0\0", "16 bytes expected by the header, 16 found: they match"),
    ],
)
def test_header_says_whether_the_size_matches(content: bytes, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_bytes(content)
    assert verdict in run(capsys, "header", "file")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"label,pixel1", b"\x1f\x8b broken"])
def test_header_of_what_is_no_idx(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_bytes(content)
    assert "file" in run(capsys, "header", "file", code=2)


def test_header_of_nothing_and_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing" in run(capsys, "header", "nothing", code=2)
    assert "can't be read" in run(capsys, "header", ".", code=2)


# ── convert, fetch, cache ────────────────────────────────────────────────────────────────────────────────────


def test_convert_there_and_back_gives_the_same_set(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "convert", "sample", "csv", "--to", "csv")
    assert printed.startswith("sample → csv  2,000 train + 1,000 test")
    assert "classes.txt" in printed
    run(capsys, "convert", "csv", "all.npz")
    run(capsys, "convert", "all.npz", "parquet", "--to", "parquet")
    run(capsys, "convert", "parquet", "idx", "--to", "idx")
    for name in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        assert Path("idx", name).read_bytes() == (SAMPLE / name).read_bytes()


def test_convert_refuses_to_overwrite_without_force(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "convert", "sample", "all.npz")
    assert "is there already" in run(capsys, "convert", "sample", "all.npz", code=2)
    run(capsys, "convert", "sample", "all.npz", "--force")


def test_fetch_of_the_sample_needs_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(SAMPLE) in run(capsys, "fetch", "sample")
    report = json.loads(run(capsys, "fetch", "sample", "--json"))
    assert report["folder"] == str(SAMPLE)
    assert len(report["files"]) == 4


def test_fetch_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "known are fashion-mnist, sample" in run(capsys, "fetch", "cifar", code=2)


def test_cache_shows_what_was_read_and_clears_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "empty" in run(capsys, "cache")
    run(capsys, "info", "sample")
    report = json.loads(run(capsys, "cache", "--json"))
    assert [entry["kind"] for entry in report["entries"]] == ["data set"]
    assert "MB" in run(capsys, "cache")
    assert "freed" in run(capsys, "cache", "--clear")
    assert "empty" in run(capsys, "cache")


def test_no_cache_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "info", "sample", "--no-cache")
    assert "empty" in run(capsys, "cache")


# ── as a process of its own ──────────────────────────────────────────────────────────────────────────────────


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_fetch_that_finds_nothing_exits_with_2_and_lists_the_sources() -> None:
    code = """
import sys
from dataclasses import replace
from pathlib import Path
from fittingroom.cli import main
from fittingroom.data.fetch.known_sets import KNOWN
KNOWN["fashion-mnist"] = replace(KNOWN["fashion-mnist"], debian_folder=Path("/nowhere"))  # as on a fresh machine
sys.exit(main(["data", "fetch"]))
"""

    # Each source that was asked is named with what it answered, and what to do at the end.
    done = python("-c", code, PATH="", FITTINGROOM_MIRRORS="http://127.0.0.1:1", FITTINGROOM_DATA="empty")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for part in ("$FITTINGROOM_DATA (empty)", "/nowhere", "http://127.0.0.1:1", "Connection refused", "apt-get"):
        assert part in done.stderr


def test_results_go_to_stdout_and_nothing_else_does() -> None:
    done = python("-m", "fittingroom", "data", "info", "sample", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["source"] == "sample"
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["", "fetch", "info", "show", "header", "convert", "cache"])
def test_help_has_an_example_and_imports_nothing_heavy(command: str) -> None:
    arguments = ["data", *([command] if command else []), "--help"]
    code = f"""
import sys
from fittingroom.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
heavy = {{"numpy", "torch", "polars", "PIL", "rich"}} & set(sys.modules)
print("heavy:", *heavy)
"""
    done = python("-c", code)
    assert "example: fittingroom data" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy:"
