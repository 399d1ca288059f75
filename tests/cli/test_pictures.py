"""Folders of colour pictures of many sizes, as they are: ``--size``, ``--grey``, ``--skip-broken`` in every command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import fittingroom as fr
from fittingroom.cli import console, main
from fittingroom.data.preprocessing import Preprocessing
from tests.support import SUPPORT

LINEAR = SUPPORT / "linear_net.py"


@pytest.fixture(autouse=True)
def photos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """200 pieces of two photographs, in colour, of several sizes, as PNG and JPEG."""
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, photo_HW3 in zip(("china", "flower"), load_sample_images().images, strict=True):
        folder = Path("photos", name)
        folder.mkdir(parents=True)
        for number in range(100):
            height, width = random.integers(30, 90, 2)
            top, left = (random.integers(0, side - 90) for side in photo_HW3.shape[:2])
            piece = Image.fromarray(photo_HW3[top : top + height, left : left + width])
            piece.save(folder / f"{number:03d}.{'jpg' if number % 2 else 'png'}")
    return Path("photos")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_info_says_what_becomes_of_the_pictures(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(photos)]) == 0
    printed = capsys.readouterr()
    assert "64×64 RGB; a picture of another shape is fitted in and padded; transparent parts lie" in printed.out
    assert "RGB" in next(line for line in printed.out.splitlines() if line.startswith("colour"))

    # What was decided without being asked is said once, on stderr.
    report = answer(capsys, "data", "info", str(photos))
    assert report["notes"]
    assert all(printed.err.count(note) == 1 for note in report["notes"])
    assert report["train"]["channels"] == 3
    assert report["preprocessing"]["size"] == [64, 64]


@pytest.mark.parametrize(
    ("options", "size", "channels"),
    [
        (("--size", "20"), (20, 20), 3),
        (("--size", "20x30"), (20, 30), 3),
        (("--size", "20×30", "--grey"), (20, 30), 1),
        (("--grey",), (64, 64), 1),
    ],
)
def test_size_and_grey_are_taken_by_info_and_convert(
    photos: Path,
    options: tuple[str, ...],
    size: tuple[int, int],
    channels: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = answer(capsys, "data", "info", str(photos), *options)["train"]
    assert ((train["height"], train["width"]), train["channels"]) == (size, channels)

    assert main(["data", "convert", str(photos), "photos.npz", *options]) == 0
    data = fr.open_dataset("photos.npz")
    assert (data.train.image_size, data.train.channels) == (size, channels)
    assert data.train.fingerprint.content == train["fingerprint"]["content"]


@pytest.mark.parametrize("size", ["0", "257", "20x", "x20", "20x30x3", "-5", "20.5", "big", "999999999999"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "info", "photos", f"--size={size}"])
    assert stop.value.code == 2
    assert f"each 1–256, expected, {size} found" in capsys.readouterr().err


def test_show_writes_pixels_in_colour(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(photos), "--size", "20", "--rows", "1"]) == 0
    printed = capsys.readouterr().out
    first = fr.open_dataset(photos, preprocessing=Preprocessing(size=(20, 20))).train.images[0, 0, 0]
    assert "pixels 1–400, row by row from the top left, as #RRGGBB" in printed
    assert "#{:02x}{:02x}{:02x}".format(*first) in printed
    assert Path("photos-train-contact-sheet.png").exists()


def test_a_folder_is_trained_on_and_judged_as_it_is(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split", str(photos), "--test", "20%", "--no-near-duplicates", "--out", "split"]) == 0
    quick = ["--model", f"{LINEAR}:net", "--epochs", "2", "--set", "precision=float32", "--size", "16", "--grey"]
    result = answer(capsys, "train", "split", *quick, "--out", "run", "--quiet")
    assert result["test"]["n"] == 40
    run = fr.open_run("run")
    assert (run.recipe.size, run.recipe.channels) == ((16, 16), 1)

    # Judged on the files themselves, it is shown them as in training; and they are named.
    scores = answer(capsys, "evaluate", "run", str(photos), "--trust-code", "--csv", "all.csv", "--all")
    assert scores["n"] == 200
    assert Path("all.csv").read_text().splitlines()[1].startswith("china/000.png,0,china,")


def test_broken_pictures_are_left_out_where_it_is_asked_for(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(photos, "china", "003.jpg").write_bytes(b"no picture")
    Path(photos, "flower", "004.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["data", "info", str(photos)]) == 2
    printed = capsys.readouterr().err
    assert "003.jpg" in printed
    assert "004.png" in printed
    assert "--skip-broken" in printed

    report = answer(capsys, "data", "info", str(photos), "--skip-broken")
    assert report["train"]["images"] == 198
    assert any("003.jpg" in note for note in report["notes"])


def test_a_check_that_knows_of_broken_pictures_finds_no_error_in_them(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(photos, "china", "003.jpg").write_bytes(b"no picture")
    found = {}
    for knowingly in ([], ["--skip-broken"]):
        main(["data", "check", str(photos), "--json", *knowingly])
        findings = json.loads(capsys.readouterr().out)["findings"]
        found[bool(knowingly)] = next(finding for finding in findings if finding["name"] == "unreadable")
    assert (found[False]["severity"], found[True]["severity"]) == ("error", "note")
    assert all("003.jpg" in finding["message"] for finding in found.values())


def test_a_command_names_its_options_in_what_the_library_says(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(photos)]) == 0
    assert "64×64 (resize = pad); --size sets another" in capsys.readouterr().err


def test_decoding_is_shown_by_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown: dict[type[io.StringIO], str] = {}
    monkeypatch.setattr(console, "SECONDS_BEFORE_BAR", 0.0)
    for kind in (io.StringIO, Terminal):
        stderr = kind()
        monkeypatch.setattr("sys.stderr", stderr)
        with console.working() as decoding:
            decoding("decoding train", 16, 1000)
            decoding("decoding train", 32, 1000)
        shown[kind] = stderr.getvalue()
    assert shown[io.StringIO] == ""
    assert "decoding train" in shown[Terminal]
    assert "32/1,000" in shown[Terminal]
