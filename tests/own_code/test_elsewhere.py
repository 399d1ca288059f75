"""Code of the user's own where others carry it out: several processes, Ray, tune, the label check, a notebook."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.tune import Plan
from tests.support.processes import torchrun

MINE = """\
import torch
from torch.nn import functional as F

from parts import POWER


def focal(logits_NC, y_N, gamma=POWER):
    loss_N = F.cross_entropy(logits_NC, y_N, reduction="none")
    return (1 - (-loss_N).exp()) ** gamma * loss_N


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    p.add_(mean.lerp_(p.grad, 0.1).sign(), alpha=-group["lr"])


def stripes(x_NCHW, generator):
    row_N = torch.randint(26, (len(x_NCHW),), generator=generator).tolist()
    for x, row in zip(x_NCHW, row_N):
        x[:, row : row + 2] = 0
    return x_NCHW


def falling(step, total):
    return 1 - step / total
"""
OWN = [
    *("loss=mine.py:focal", "optimizer=mine.py:Lion", "augmentation=mine.py:stripes"),
    *("stages.0.schedule=mine.py:falling", "stages.0.lr=0.001", "stages.0.epochs=1", "model=tutorial"),
    *("precision=float32", "min_steps=0", "batch_size=128"),
]


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    Path("mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))  # as a notebook has it
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    Path("parts.py").write_text("POWER = 1.5\n\ndef power(share, exponent=POWER):\n    return share ** exponent\n")


def spoil() -> None:
    """What lies at the paths by now is something else."""
    Path("mine.py").write_text("raise SystemExit")
    Path("parts.py").unlink()


def losses(run: fr.Run) -> list[float]:
    return [event["loss"] for event in run.events if event["event"] == "step"]


def small_data() -> fr.Splits:
    sample = fr.open_dataset("sample")
    return fr.Splits(sample.train.subset(range(400)), sample.train.subset(range(400, 600)))


def options_of(overrides: list[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


@pytest.mark.nightly
def test_processes_that_train_together_do_as_one_alone() -> None:
    words = ["sample", "--recipe", "plain", *options_of(OWN), "--no-test", "--quiet", "--threads", "1"]
    assert main(["train", *words, "--out", "alone"]) == 0
    done = torchrun(2, "-m", "fittingroom", "train", *words, "--out", "together")
    assert done.returncode == 0, done.stderr
    alone, together = losses(fr.open_run("alone")), losses(fr.open_run("together"))
    assert together == pytest.approx(alone, rel=0.02)


@pytest.mark.nightly
def test_ray_trains_seeds_as_this_process_does() -> None:
    pytest.importorskip("ray")
    recipe = fr.load_recipe("plain", overrides=OWN)
    options = fr.Options(threads=1)
    here = fr.train("sample", recipe, seeds=2, out="here", options=options)
    there = fr.train("sample", recipe, seeds=2, out="there", options=options, engine=fr.RayEngine())
    for one, other in zip(here.members, there.members, strict=True):
        weights, same = (member.artifact.network().state_dict() for member in (one, other))
        assert all(torch.equal(weights[name], same[name]) for name in same)


def test_a_study_searches_losses_and_goes_on_with_what_it_kept() -> None:
    recipe = fr.load_recipe("plain", overrides=OWN[1:])
    space = 'loss = ["cross_entropy", "mine.py:focal"]\n'
    study = fr.tune_recipe(small_data(), recipe, space, plan=Plan(trials=1), final_seeds=0, out="study")
    spoil()
    with pytest.raises(fr.ArtifactError, match="trust_code"):
        fr.resume_study(study.path, data=small_data(), trials=2, final_seeds=0)
    again = fr.resume_study(study.path, data=small_data(), trials=2, final_seeds=0, trust_code=True)
    trials = again.trials()
    assert [trial.state for trial in trials] == ["finished", "finished"], [trial.message for trial in trials]
    assert {trial.values["loss"] for trial in trials} == {"cross_entropy", "mine.py:focal"}


def test_an_idea_may_be_a_loss_of_ones_own() -> None:
    recipe = fr.load_recipe("plain", overrides=[*OWN[1:], "stages.0.lr=1e-9"])
    tried = fr.try_ideas(small_data(), ["loss=mine.py:focal"], recipe, effect=0.9, options=fr.Options(threads=1))
    assert tried.verdicts == {"loss=mine.py:focal": "smaller than the effect"}
    assert list(tried.path.glob("code/*/parts.py"))


def test_the_label_check_trains_its_folds_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cleanlab")
    Path("mine.toml").write_text(fr.load_recipe("plain", overrides=OWN).to_toml())
    command = [
        "data",
        "check",
        "sample",
        "--labels",
        "--folds",
        "2",
        "--recipe",
        "mine.toml",
        "--threads",
        "1",
        "--json",
    ]
    assert main(command) in (0, 1)
    assert "label-noise" in capsys.readouterr().out


CELLS = [
    # x is also a tensor of the notebook: what is a variable inside a function is not taken for it
    "import torch\nfrom torch import nn\nimport torch.nn.functional as F\nfrom parts import power\nx = torch.ones(3)\n",
    "WIDTH = 4\n\ndef flattened(x):\n    return x.flatten(1)\n",
    "class Net(nn.Module):\n    def __init__(self, num_classes, image_size):\n        super().__init__()\n"
    "        self.body = nn.Conv2d(1, WIDTH, 3, 2)\n        self.out = nn.Linear(WIDTH * 13 * 13, num_classes)\n\n"
    "    def forward(self, x):\n        return self.out(flattened(self.body(x).relu()))\n",
    "def focal(x, y):\n    loss = F.cross_entropy(x, y, reduction='none')\n"
    "    return power(1 - (-loss).exp()) * loss\n",
]


def run_cells(*cells: str) -> dict[str, Any]:
    """What a notebook's cells leave behind: each is compiled under a name of its own, which linecache knows."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        file = f"<ipython-input-{number}-{abs(hash(cell))}>"
        linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
        exec(compile(cell, file, "exec"), space)
    return space


def test_what_a_notebook_defines_is_kept_with_all_that_it_uses() -> None:
    space = run_cells(*CELLS)
    data, options = small_data(), fr.Options(threads=1)
    run = fr.train(data, "plain", model=space["Net"], loss=space["focal"], epochs=1, out="run", options=options)
    Path("parts.py").rename("gone.py")
    (verified,) = fr.verify(run, data=data, trust_code=True)
    assert verified.outcome == "same"
    assert run.recipe.model.startswith("notebook-")
    assert list(run.path.glob("code/*/parts.py"))

    # A cell that is carried out again is another loss, also to a study that compares the two.
    Path("gone.py").rename("parts.py")
    other = run_cells(*CELLS[:3], CELLS[3].replace("* loss", "* 2 * loss"))
    again = fr.train(data, "plain", model=space["Net"], loss=other["focal"], epochs=1, out="again", options=options)
    assert again.recipe.loss != run.recipe.loss
    assert again.recipe.model == run.recipe.model


@pytest.mark.parametrize(
    ("cell", "name", "says"),
    [
        ("f = lambda x, y: x.sum(1)\n", "f", "a lambda found"),
        ("def outer():\n    def f(x, y):\n        return x.sum(1)\n    return f\nf = outer()\n", "f", "top level"),
        ("class F:\n    def __call__(self, x, y):\n        return x.sum(1)\nf = F()\n", "f", "give the class"),
        (
            "import torch\nWEIGHTS = torch.ones(10)\ndef f(x, y):\n    return (x * WEIGHTS).sum(1)\n",
            "f",
            "it uses WEIGHTS, of type Tensor, which can't be kept by its source; give it as an argument in loss_args",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_kept_by_its_source_is_said(cell: str, name: str, says: str) -> None:
    with pytest.raises(fr.RecipeError, match=says):
        fr.train(small_data(), "plain", loss=run_cells(cell)[name], out="never")
    assert not Path("never").exists()


def test_a_script_gives_what_it_defines_and_is_not_carried_out_again() -> None:
    Path("script.py").write_text(
        "import fittingroom as fr\nfrom torch.nn import functional as F\n\n"
        "def loss(x, y):\n    return F.cross_entropy(x, y)\n\n"
        "print('begun')\n"
        "fr.train('sample', 'plain', model='tutorial', loss=loss, epochs=1, out='run', options=fr.Options(threads=1))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begun") == 1
    (kept,) = Path("run").glob("code/*/script.py")
    assert "fr.train" not in kept.read_text()


def test_code_of_a_package_is_kept_with_its_relative_imports() -> None:
    Path("lab/losses").mkdir(parents=True)
    Path("lab/__init__.py").write_text("")
    Path("lab/losses/__init__.py").write_text("from .focal import focal\n")
    Path("lab/losses/focal.py").write_text(
        "from ..powers import POWER\n" + MINE.replace("from parts import POWER\n", "")
    )
    Path("lab/powers.py").write_text("POWER = 2.0\n")
    recipe = fr.load_recipe("plain", overrides=[*OWN, "loss=lab.losses:focal"])
    run = fr.train(small_data(), recipe, out="run")
    kept = {
        str(path.relative_to(next(Path("run/code").glob("*/lab")))) for path in Path("run/code").glob("*/lab/**/*.py")
    }
    assert kept == {"__init__.py", "powers.py", "losses/__init__.py", "losses/focal.py"}
    for path in Path("lab").rglob("*.py"):
        path.write_text("raise SystemExit")
    (verified,) = fr.verify(run, data=small_data(), trust_code=True)
    assert verified.outcome == "same"
