"""A pointer of Git LFS or a web page in place of a file is called that, whatever file it is."""

from __future__ import annotations

from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.files.run_file import read_run_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 12345\n"
PAGE = b"\xef\xbb\xbf<!DOCTYPE html><html><title>404</title></html>"
SAID = [(POINTER, "a pointer of Git LFS; `git lfs pull` fetches"), (PAGE, "a web page")]


@pytest.mark.parametrize(("content", "said"), SAID, ids=["pointer", "page"])
@pytest.mark.parametrize("name", ["set.npz", "set.csv", "set.parquet", "train-images-idx3-ubyte", "class/shoe.png"])
def test_it_is_named_where_data_are_read(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "set" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    beside = {"train-images-idx3-ubyte": "train-labels-idx1-ubyte", "class/shoe.png": "other/shoe.png"}.get(name)
    if beside is not None:
        (tmp_path / "set" / beside).parent.mkdir(exist_ok=True)
        (tmp_path / "set" / beside).write_bytes(content)
    with pytest.raises(fr.DataError, match=said):
        fr.open_dataset(file if file.suffix in (".npz", ".csv", ".parquet") else tmp_path / "set")


def test_it_is_named_in_a_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(POINTER)
    with pytest.raises(fr.ArtifactError, match=r"model\.onnx: a model expected, .*: this is a pointer of Git LFS"):
        read_run_file(tmp_path / "model.onnx", "a model")
