"""Tables of picture files in JSON Lines, as Hugging Face's image folders have them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.errors import DataError
from tests.data.formats.test_cifar import photos

PHOTOS = photos(6)
ROWS = [{"file_name": f"{number}.png", "label": ("sky", "sea")[number % 2]} for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder of Hugging Face: pictures, and what they are beside them."""
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    return tmp_path


def write(folder: Path, rows: Sequence[object], name: str = "metadata.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_an_image_folder_is_read_by_its_table_or_as_a_whole(folder: Path) -> None:
    table = write(folder, ROWS)
    for path in (table, folder):
        train = fr.open_dataset(path).train
        np.testing.assert_array_equal(train.images, PHOTOS)
        assert train.labels is not None
        assert [train.classes[label] for label in train.labels] == [row["label"] for row in ROWS]
        assert train.files == tuple(row["file_name"] for row in ROWS)


def test_numbers_are_labels_and_what_holds_more_than_one_value_is_no_column(folder: Path) -> None:
    rows = [{**row, "label": number % 3, "objects": {"bbox": [[1, 2, 3, 4]]}} for number, row in enumerate(ROWS)]
    assert fr.open_dataset(write(folder, rows)).train.classes == ("0", "1", "2")
    assert fr.open_dataset(write(folder, [*rows, {}][:6])).train.labels is not None


def test_a_part_a_group_and_a_blank_line_are_understood(folder: Path) -> None:
    rows = [{**row, "split": "test" if number > 3 else "train", "who": f"w{number}"} for number, row in enumerate(ROWS)]
    table = write(folder, rows, "pictures.ndjson")
    table.write_bytes(gzip.compress(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n\r\n")))
    data = fr.open_dataset(table, group="who")
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (4, 2)
    assert data.train.groups is not None
    assert len(set(data.train.groups)) == 4


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b'{"file_name": "0.png", "label": "sky"}\n{"file_name": "1.png", \n', "an object of JSON in each line"),
        (b"[1, 2]\n", "an object of JSON in each line"),
        (b'{"label": "sky"}\n', "a column called file"),
        (b"", "no rows found"),
        (b'{"file_name": "0.png", "label": ' + b"[" * 200_000 + b"\n", "an object of JSON in each line"),
        (b'{"file_name": "gone.png", "label": "sky"}\n', "gone.png"),
        (b"".join(b'{"file_name": "0.png", "%d": 1}\n' % number for number in range(3_000)), "5,000,000 cells"),
    ],
)
def test_what_is_no_such_table_is_one_message(
    folder: Path, lines: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "metadata.jsonl").write_bytes(lines)
    assert main(["data", "info", str(folder / "metadata.jsonl")]) == 2
    assert words in capsys.readouterr().err


def test_logs_in_json_lines_make_no_data_set(tmp_path: Path) -> None:
    write(tmp_path, [{"event": "step", "loss": 0.5}], "metrics.jsonl")
    with pytest.raises(DataError, match="no data found"):
        fr.open_dataset(tmp_path)


def test_a_model_answers_for_the_pictures_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(folder, ROWS)
    fr.train(table, "plain", epochs=1, validation=0, threads=1, out=folder / "run", progress=False)
    assert main(["predict", str(folder / "run"), str(table), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7
