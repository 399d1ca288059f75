"""A run with code of the user's own in every place goes all its way, from a kill to a comparison."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.models.tensors import as_tensor, normalize

BLOCKS = """\
from torch import nn


def block(channels_in, channels_out):
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU())
"""
MINE = """\
import torch
from torch import nn
from torch.nn import functional as F

from blocks import block


class Net(nn.Module):
    def __init__(self, num_classes, in_channels=1, width=8):
        super().__init__()
        self.body = nn.Sequential(block(in_channels, width), nn.MaxPool2d(4), nn.Dropout(0.1))
        self.out = nn.Linear(width * 49, num_classes)

    def forward(self, x):
        return self.out(self.body(x).flatten(1))


def focal(logits_NC, y_N, gamma=1.0):
    loss_N = F.cross_entropy(logits_NC, y_N, reduction="none")
    return (1 - (-loss_N).exp()) ** gamma * loss_N


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, weight_decay=0.0, beta=0.9):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    mean.lerp_(p.grad, 1 - group["beta"])
                    p.add_(mean.sign(), alpha=-group["lr"])


def stripes(x_NCHW, generator):
    row_N = torch.randint(26, (len(x_NCHW),), generator=generator).tolist()
    for x, row in zip(x_NCHW, row_N):
        x[:, row : row + 2] = 0
    return x_NCHW


def triangle(step, total):
    return min(1.0, 4 * (step + 1) / total) * (1 - step / total)
"""
OWN = [
    *("--model", "mine.py:Net", "--set", "model_args.width=6"),
    *("--set", "loss=mine.py:focal", "--set", "loss_args.gamma=0.5"),
    *("--set", "optimizer=mine.py:Lion", "--set", "augmentation=mine.py:stripes"),
    *("--set", "stages.0.schedule=mine.py:triangle", "--lr", "0.002", "--set", "precision=float32"),
    *("--epochs", "3", "--batch-size", "64", "--threads", "1", "--no-test", "--quiet"),
]  # fmt: skip


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "fittingroom", *words]


def network_of(run: str) -> dict[str, torch.Tensor]:
    return dict(fr.open_run(run).artifact.network(trust_code=True).state_dict())


def kill_in_its_middle(words: list[str], run: Path) -> None:
    """Kill a training by SIGKILL once it has a checkpoint, so that nothing can be put in order."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(run.glob("checkpoints/step-*/state.json")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "result.json").exists()


def test_a_run_of_ones_own_code_is_killed_resumed_verified_exported_served_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    Path("mine.py").write_text(MINE)
    Path("blocks.py").write_text(BLOCKS)
    assert main(["train", "sample", *OWN, "--out", "whole"]) == 0

    # Killed; and by the time it goes on, other files lie at the paths that the recipe names.
    kill_in_its_middle(command("train", "sample", *OWN, "--out", "killed"), Path("killed"))
    Path("mine.py").write_text("raise SystemExit('not this one')")
    Path("blocks.py").unlink()
    assert main(["train", "--resume", "killed", "--quiet"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["train", "--resume", "killed", "--quiet", "--trust-code"]) == 0
    whole, resumed = network_of("whole"), network_of("killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    # Verified: the same weights come out again, by the code in the folder.
    assert main(["verify", "killed"]) == 2
    capsys.readouterr()
    assert main(["verify", "killed", "--trust-code", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["outcome"] == "same"

    # Exported: model.onnx is there without asking for trust, and answers as the network does.
    images = fr.open_dataset("sample").test.images[:64]  # type: ignore[union-attr]
    shipped = fr.load("killed")
    artifact = fr.open_run("killed").artifact
    normalization = artifact.normalization
    x_NCHW = normalize(as_tensor(images), normalization.mean, normalization.std)
    with torch.no_grad():
        logits_NC = artifact.network(trust_code=True)(x_NCHW)
    assert (shipped.predict(images) == logits_NC.argmax(1).numpy()).all()
    assert main(["export", "killed", "--format", "torch-export", "--trust-code"]) == 0

    # Served, without trust: the server needs no code.
    serve = command("serve", "killed", "--port", "0")
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
            body = json.dumps({"inputs": [{"name": "images", "shape": [1, 28, 28], "datatype": "UINT8",
                                           "data": images[:1].ravel().tolist()}]}).encode()  # fmt: skip
            url = f"{address.rstrip('/')}/v2/models/killed/infer"
            answer = json.load(urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=30))
        finally:
            server.terminate()
    labels = next(output for output in answer["outputs"] if output["name"] == "label")
    assert labels["data"] == [int(shipped.predict(images[:1])[0])]

    # Compared with the package's own parts, on the same validation images.
    assert main(["train", "sample", "--model", "tutorial", "--epochs", "1", "--threads", "1", "--no-test", "--quiet",
                 "--out", "package"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["compare", "package", "killed", "--split", "validation", "--json"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert comparison["n"] == 200
    assert np.isfinite(comparison["difference"])
