"""Folders that lead far away, data in very many pieces, a stranger's modules, variables that say nothing."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.errors import DataError, FittingRoomError
from fittingroom.files.polars_check import check_polars
from fittingroom.training.pretrained import read_weights_file
from tests.support import GOLDEN

GOLDEN_RUN = GOLDEN / "format-1" / "swift-1"


def table_of(tmp_path: Path) -> Path:
    images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)
    data = fr.Splits(fr.Dataset(images, np.arange(5) % 2, ("0", "1"), "five"))
    convert(data, tmp_path / "five.csv")
    return tmp_path / "five.csv"


def test_gzip_of_very_many_empty_members_is_refused_and_not_read_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = gzip.compress(table_of(tmp_path).read_bytes(), mtime=0)
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(b"") * 20_000 + content)

    with pytest.raises(DataError, match=r"gzip of a few members expected, the first 10,001 of these hold 0 bytes"):
        fr.open_dataset(packed)
    assert main(["data", "check", str(packed)]) == 2
    assert "gzip of a few members expected" in "".join(capsys.readouterr())


def test_gzip_of_several_members_and_a_tape_s_zeros_is_read(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(b"".join(map(gzip.compress, table.read_bytes().splitlines(keepends=True))) + bytes(50_000))
    assert np.array_equal(fr.open_dataset(packed).train.images, fr.open_dataset(table).train.images)


def pictures(folder: Path) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8), 10).save(folder / name / "0.png")
    return folder


def test_a_link_to_the_root_leads_neither_a_training_nor_a_prediction_through_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "data")
    (folder / "a" / "root").symlink_to(Path(tmp_path.root))

    assert main(["predict", str(GOLDEN_RUN), str(folder), "--csv"]) == 0

    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [f"{folder}/a/0.png", f"{folder}/b/0.png"]
    with pytest.raises(DataError, match=r"root: a folder expected, a link in a circle found: remove it"):
        fr.open_dataset(folder)


@pytest.mark.parametrize("out", ["circle", "circle/answers.csv"])
def test_an_output_at_a_link_in_a_circle_is_refused_in_words(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "circle")
    np.savez(tmp_path / "two.npz", x_test=np.zeros((2, 28, 28), np.uint8))
    assert main(["predict", str(GOLDEN_RUN), str(tmp_path / "two.npz"), "--out", str(tmp_path / out)]) == 2
    assert f"{tmp_path / 'circle'}" in capsys.readouterr().err


def test_a_folder_deeper_than_anybody_s_is_refused_by_a_prediction_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "data")
    folder.joinpath(*["d"] * 40).mkdir(parents=True)
    assert main(["predict", str(GOLDEN_RUN), str(folder)]) == 2
    assert "folders at most 32 deep expected" in capsys.readouterr().err


def test_the_module_s_command_executes_no_module_of_the_current_directory(tmp_path: Path) -> None:
    for name in ("argparse", "json", "numpy", "polars", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')\n", encoding="utf-8")
    words = [sys.executable, "-m", "fittingroom", "data", "info", "sample"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given", ["0", "-1", "many", ""])
def test_a_number_of_threads_that_is_none_is_named_and_polars_not_asked(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", given)
    with pytest.raises(FittingRoomError, match=r"\$POLARS_MAX_THREADS: a number of threads from 1 on expected"):
        check_polars()


def test_weights_of_very_many_tensors_are_refused_before_one_is_made(tmp_path: Path) -> None:
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"tensor{i}": nothing for i in range(70_000)}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)

    with pytest.raises(DataError, match=r"a header of at most 4,194,304 bytes expected, [\d,]+ found"):
        read_weights_file(file)
