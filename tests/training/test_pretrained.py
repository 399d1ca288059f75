"""Weights of files: what they may be, how timm's are fetched and checked, and that fine-tuning is worth it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import fittingroom as fr
from fittingroom.errors import DataError, Interrupted
from fittingroom.models import build_model, find_model
from fittingroom.training.pretrained import fetch_timm_weights, fit_to_timm, read_weights_file
from tests.support.glyphs import HELD_OUT, glyphs
from tests.support.stopping import stop_after

MODEL = "timm:test_resnet.r160_in1k"
SHORT = ["stages.0.epochs=1", "stages.1.epochs=1", "precision=float32", "size=32", f"model='{MODEL}'"]


def network(channels: int = 3, classes: int = 1000, side: int = 64, model: str = MODEL) -> nn.Module:
    torch.manual_seed(7)
    return build_model(find_model(model), num_classes=classes, image_size=(side, side), channels=channels)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as timm's own are: for colour and a thousand classes. Nobody has trained these."""
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    safetensors.torch.save_file({name: t.contiguous() for name, t in network().state_dict().items()}, file)
    return file


@pytest.fixture(scope="module")
def few() -> fr.Splits:
    return fr.Splits(glyphs(HELD_OUT, 8, seed=3), validation=glyphs(HELD_OUT, 4, seed=4))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_of_tensors_alone_is_read_and_one_with_code_refused(tmp_path: Path) -> None:
    tensors = {"weight": torch.arange(3.0)}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "tensors.pth")
    assert read_weights_file(tmp_path / "tensors.pth")["weight"].tolist() == [0, 1, 2]

    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(DataError, match=r"holds tensors alone expected, as other ones execute code .*save_file"):
        read_weights_file(tmp_path / "whole.pth")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_a_damaged_file_is_one_message(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"<!doctype html><title>sign in</title>")
    with pytest.raises(DataError, match=name):
        read_weights_file(tmp_path / name)


def test_weights_of_another_network_are_refused(weights_file: Path, few: fr.Splits, tmp_path: Path) -> None:
    recipe = fr.load_recipe("finetune", overrides=[*SHORT[:-1], "model='timm:test_vit'"])
    with pytest.raises(DataError, match="weights of timm:test_vit expected"):
        fr.train(few, recipe, weights=weights_file, out=tmp_path / "run")
    with pytest.raises(DataError, match="no such file found"):
        fr.train(few, recipe, weights=tmp_path / "nothing.safetensors", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_first_convolution_is_fitted_to_grey_images(weights_file: Path) -> None:
    tensors = read_weights_file(weights_file)
    grey = network(channels=1, classes=10)
    fitted = fit_to_timm(MODEL, tensors, grey, num_classes=10, channels=1, where="file")
    first = next(name for name, tensor in fitted.items() if tensor.ndim == 4)
    assert torch.allclose(fitted[first], tensors[first].sum(dim=1, keepdim=True), atol=1e-6)

    # A grey image then gives what it gave in three channels.
    x = torch.randn(2, 1, 64, 64)
    body = network()
    body.load_state_dict(tensors)
    assert torch.allclose(body.forward_features(x.expand(-1, 3, -1, -1)), grey.forward_features(x), atol=1e-4)  # type: ignore[operator]


def test_position_embeddings_are_resampled_for_another_size() -> None:
    model = "timm:test_vit"
    large, small = network(side=160, model=model), network(side=96, classes=10, model=model)
    tensors = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    fitted = fit_to_timm(model, tensors, small, num_classes=10, channels=3, where="file")
    assert fitted["pos_embed"].shape != tensors["pos_embed"].shape


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fine_tuned_run_exports_predicts_resumes_and_verifies_as_any_other(
    weights_file: Path, few: fr.Splits, tmp_path: Path
) -> None:
    recipe = fr.load_recipe("finetune", overrides=SHORT)
    run = fr.train(few, recipe, weights=weights_file, out=tmp_path / "run")
    start, artifact = run.environment.start, run.artifact
    assert start is not None
    assert (start.kind, start.name, start.head) == ("file", "model.safetensors", "a new head for 10 classes")
    assert "timm" in artifact.versions
    assert artifact.model == MODEL
    assert artifact.normalization.mean == pytest.approx(255 * 0.5)  # of this network, for one channel

    # model.onnx gives what the network gives, with its distance from the training images.
    assert few.validation is not None
    answer = fr.load(run.path).predict_proba(few.validation.images)
    assert answer.shape == (40, 10)
    assert (run.path / "model.onnx").exists()
    weights = (run.path / "model.safetensors").read_bytes()

    with pytest.raises(Interrupted):
        fr.train(few, recipe, weights=weights_file, out=tmp_path / "stopped", should_stop=stop_after(4))
    resumed = fr.resume(tmp_path / "stopped", data=few)
    assert (resumed.path / "model.safetensors").read_bytes() == weights
    assert [each.outcome for each in fr.verify(run.path, data=few)] == ["same"]


def test_a_network_of_ones_own_starts_from_a_file_of_its_weights(few: fr.Splits, tmp_path: Path) -> None:
    plain = fr.load_recipe("plain", overrides=["stages.0.epochs=1", "precision=float32"])
    first = fr.train(few, plain, out=tmp_path / "first")
    again = fr.train(few, plain, weights=first.path / "model.safetensors", out=tmp_path / "again")
    start = again.environment.start
    assert start is not None
    assert start.in_words == "started from model.safetensors"


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def hub(content: bytes, digest: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server that answers as the hub does: it names the SHA-256, and points to where the file lies."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._point()

        def do_GET(self) -> None:
            if not self.path.startswith("/stored"):
                self._point()
                return
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _point(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/stored/file")
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_weights_of_timm_are_fetched_once_checked_and_shown(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    content, shown = weights_file.read_bytes(), []
    with hub(content, hashlib.sha256(content).hexdigest(), monkeypatch) as asked:
        first = fetch_timm_weights(MODEL, lambda what, done, total: shown.append((what, done, total)))
        assert fetch_timm_weights(MODEL, lambda *_: None) == first
    assert first.read_bytes() == content
    assert len(asked) == 1
    assert shown[-1] == (f"weights of {MODEL}", len(content), len(content))

    # Without a network what is there is taken; a file that was changed is not.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_timm_weights(MODEL, lambda *_: None) == first
    first.write_bytes(content[:-1] + b"\1")
    with pytest.raises(DataError, match=r"can't be fetched from .*Bring .*resolve/main/model.safetensors .*`weights`"):
        fetch_timm_weights(MODEL, lambda *_: None)


def test_weights_that_are_not_what_the_hub_names_are_not_kept(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    content = weights_file.read_bytes()
    with hub(content, "0" * 64, monkeypatch), pytest.raises(DataError, match="damaged on the way"):
        fetch_timm_weights(MODEL, lambda *_: None)
    with (
        hub(b"<html>", hashlib.sha256(b"<html>").hexdigest(), monkeypatch),
        pytest.raises(DataError, match="safetensors"),
    ):
        fetch_timm_weights(MODEL, lambda *_: None)
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".safetensors", ".part")]


def test_offline_a_training_on_timms_weights_ends_before_its_folder_is_made(
    few: fr.Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="or train from new weights by weights = none"):
        fr.train(few, fr.load_recipe("finetune", overrides=SHORT), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_size_of_the_images_is_that_of_the_weights_where_nobody_says_one(
    weights_file: Path, few: fr.Splits, tmp_path: Path
) -> None:
    recipe = fr.load_recipe("finetune", overrides=[*SHORT[:3], f"model='{MODEL}'"])
    run = fr.train(few, recipe, weights=weights_file, out=tmp_path / "run")
    assert run.artifact.image_size == (160, 160)


# ── whether it is worth it ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.nightly
def test_fine_tuning_beats_training_from_scratch_on_200_images_by_5_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import finetune  # type: ignore[import-not-found]

    task = finetune.letters()
    before = finetune.pretrained("test_resnet", task, tmp_path)
    assert not set(before.artifact.classes) & set(task.few(0).train.classes)
    after = [finetune.tuned(before, task, seed, tmp_path) for seed in range(5)]
    alone = [finetune.scratch("test_resnet", task, seed, *finetune.BEST_FROM_SCRATCH) for seed in range(5)]
    gains = np.subtract(after, alone)
    assert np.mean(gains) >= 0.05, gains
