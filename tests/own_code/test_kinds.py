"""Optimizer, augmentation and schedule of the user's own: carried out, resumed to the bit, and told what is wrong."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import fittingroom as fr
from fittingroom.errors import Interrupted
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.recipes.own_names import with_own_code
from fittingroom.training.augmentation import Augmentation
from tests.support.stopping import stop_after

PARTS = '''\
import math

import torch


class Sign(torch.optim.Optimizer):
    """Signs of a momentum (Lion without its second average), which counts its steps in the group."""

    def __init__(self, params, lr=0.001, weight_decay=0.0, beta=0.9):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta, "steps": 0})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["steps"] += 1
            warm = min(1.0, group["steps"] / 3)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p, dtype=torch.float64)
                state["mean"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(state["mean"].sign().float(), alpha=-group["lr"] * warm)


class Plain:
    """No class of PyTorch's, without memory."""

    def __init__(self, params):
        self.param_groups = [dict(group) for group in params]

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.sub_(p.grad, alpha=group["lr"])

    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self):
        return {"state": {}}

    def load_state_dict(self, state):
        pass


class Forgetful(Plain):
    def __init__(self, params):
        super().__init__(params)
        self.steps = 0

    def step(self):
        self.steps += 1
        for group in self.param_groups:
            group["lr"] /= self.steps
        super().step()


class Stateless:
    def __init__(self, params):
        self.param_groups = list(params)

    def step(self):
        pass

    def zero_grad(self, set_to_none=True):
        pass


def flat(params):
    return torch.optim.SGD([p for group in params for p in group["params"]])


def broken(params):
    class Broken(Plain):
        def step(self):
            raise KeyError("momentum")

    return Broken(params)


def odd(params):
    class Odd(Plain):
        def state_dict(self):
            return {"state": {"device": torch.device("cpu")}}

    return Odd(params)


def closed(params):
    return torch.optim.LBFGS([p for group in params for p in group["params"]])


def stripes(x_NCHW, generator, height=2):
    row_N = torch.randint(x_NCHW.shape[2], (len(x_NCHW),), generator=generator).tolist()
    for x, row in zip(x_NCHW, row_N):
        x[:, row : row + height] = 0
    return x_NCHW


def ambient(x_NCHW, generator):
    return x_NCHW + torch.rand(x_NCHW.shape)


def smaller(x_NCHW, generator):
    return x_NCHW[:, :, :-1]


def nan(x_NCHW, generator):
    return x_NCHW / 0 * 0


def fails(x_NCHW):
    return x_NCHW


class Wave:
    def __init__(self, times=2):
        self.times = times

    def __call__(self, step, total):
        return 0.5 + 0.5 * math.sin(self.times * math.pi * step / total)


counted = []


def counting(step, total):
    counted.append(step)
    return 1.0 / len(counted)


def negative(step, total):
    return 0.5 - step


def word(step, total):
    return "fast"
'''


@pytest.fixture(autouse=True)
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parts.py").write_text(PARTS)


@pytest.fixture(scope="module")
def data() -> fr.Splits:
    sample = fr.open_dataset("sample")
    return fr.Splits(sample.train.subset(range(400)), sample.train.subset(range(400, 600)))


def recipe(*overrides: str) -> fr.Recipe:
    small = ["model=tutorial", "stages.0.epochs=2", "precision=float32", "min_steps=0", "batch_size=128"]
    return fr.load_recipe("plain", overrides=[*small, *overrides])


def train(data: fr.Splits, *overrides: str, out: str, should_stop: Callable[[], bool] | None = None) -> fr.Run:
    options = fr.Options(threads=1)
    return fr.train(data, recipe(*overrides), out=out, options=options, should_stop=should_stop)


def losses(run: fr.Run) -> list[float]:
    return [event["loss"] for event in run.events if event["event"] == "step"]


def rates(run: fr.Run) -> list[float]:
    return [event["lr"] for event in run.events if event["event"] == "step"]


EACH = {
    "optimizer": ["optimizer=parts.py:Sign", "optimizer_args.beta=0.8", "stages.0.lr=0.001"],
    "plain optimizer": ["optimizer=parts.py:Plain", "stages.0.lr=0.01"],
    "installed optimizer": ["optimizer=torch.optim:RAdam"],
    "augmentation": ["augmentation=parts.py:stripes", "augmentation_args.height=5", "mixup=0.5", "shift=1"],
    "schedule": ["stages.0.schedule=parts.py:Wave", "stages.0.schedule_args.times=3"],
}


@pytest.mark.parametrize("overrides", EACH.values(), ids=EACH)
def test_a_resume_equals_the_uninterrupted_training(overrides: list[str], data: fr.Splits) -> None:
    whole = train(data, *overrides, out="whole")
    with pytest.raises(Interrupted):
        train(data, *overrides, out="half", should_stop=stop_after(5))  # in the middle of the second epoch
    Path("parts.py").unlink()
    with pytest.raises(fr.ArtifactError, match="code of its author's own"):
        fr.resume("half", data=data)
    resumed = fr.resume("half", data=data, trust_code=True)
    assert losses(resumed) == losses(whole)
    kept, same = resumed.artifact.network().state_dict(), whole.artifact.network().state_dict()
    assert all(torch.equal(kept[name], same[name]) for name in same)
    assert losses(whole) != losses(train(data, out="package"))


def test_each_is_taken_by_object_as_by_name(data: fr.Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a notebook gives them, which imports its own file; and as a recipe's TOML names them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    parts: Any = import_module("parts")
    stage = fr.Stage(epochs=1, lr=0.001, schedule=parts.Wave, schedule_args={"times": 3}, warmup=0)
    keys: dict[str, Any] = {
        "augmentation_args": {"height": 5},
        "optimizer_args": {"beta": 0.8},
        "precision": "float32",
        "min_steps": 0,
    }
    by_object = fr.train(
        data, "plain", model="tutorial", stages=(stage,), augmentation=parts.stripes, optimizer=parts.Sign,
        batch_size=128, out="by-object", options=fr.Options(threads=1), **keys,
    )  # fmt: skip

    text = by_object.recipe.to_toml()
    for name in ("Wave", "stripes", "Sign"):
        assert f'"parts:{name}"' in text
    Path("mine.toml").write_text(text.replace('"parts:', '"parts.py:'))
    by_name = fr.train(data, "mine.toml", out="by-name", options=fr.Options(threads=1))
    assert losses(by_name) == losses(by_object)


def test_an_optimizer_of_pytorch_s_own_gives_what_the_package_s_name_gives(data: fr.Splits) -> None:
    own = train(data, "optimizer=torch.optim:AdamW", "weight_decay=0.05", out="own")
    package = train(data, "optimizer=adamw", "weight_decay=0.05", out="package")
    # The package's step is fused, which rounds otherwise.
    assert losses(own) == pytest.approx(losses(package), rel=1e-3)


def test_a_schedule_gives_the_factor_on_the_rate(data: fr.Splits) -> None:
    run = train(data, "stages.0.schedule=parts.py:Wave", "stages.0.lr=0.01", out="run")
    assert rates(run) == pytest.approx([0.01 * (0.5 + 0.5 * math.sin(2 * math.pi * i / 8)) for i in range(8)])


def test_processes_see_the_images_that_one_alone_sees() -> None:
    """Each makes its shard of the batch that the function made of all."""
    own = with_own_code(recipe("augmentation=parts.py:stripes", "mixup=0.5", "mirror=random"))
    sample = fr.open_dataset("sample").train
    augmentation = Augmentation(own, 100, (28, 28), 1, 10, torch.device("cpu"))
    images = torch.from_numpy(sample.images[:100].copy())
    labels_N, rows = torch.from_numpy(sample.labels[:100].copy()), torch.arange(100)  # type: ignore[index]

    def made(shard: slice) -> Tensor:
        return augmentation.examples(lambda at: images[at], labels_N, rows, shard, 1, 2)[0]

    alone = made(slice(0, 100))
    shards = [ProcessGroup(rank=rank, size=3).shard(100) for rank in range(3)]
    assert torch.equal(torch.cat([made(shard) for shard in shards]), alone)


def test_the_sheet_shows_an_augmentation_of_ones_own() -> None:
    from fittingroom.training.augmentation_sheet import augmentation_sheet, in_words

    own = recipe("augmentation=parts.py:stripes")
    assert "augmentation parts.py:stripes" in in_words(own, (28, 28))
    assert augmentation_sheet(fr.open_dataset("sample").train, own, draws=2).size[0] > 100


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer=parts.py:Stateless", "this one has no state_dict, load_state_dict"),
        ("optimizer=parts.py:Forgetful", "a third step is another one after a resume: it goes by something that isn't"),
        ("optimizer=parts.py:flat", "its param_groups are to be those that it was given"),
        ("optimizer=parts.py:closed", "its param_groups are to be those that it was given"),
        ("optimizer=parts.py:broken", "a step failed: KeyError: 'momentum'"),
        ("optimizer=parts.py:odd", "state_dict has a device at state_dict.state.device; tensors, numbers"),
        ("optimizer=parts.py:counted", "has no class or function counted; it has Sign, Plain"),
        ("optimizer=parts.py:stripes", "constructing it failed: TypeError"),
        ("optimizer=adm", "sgd, adam, adamw, muon or your own as path/to/file.py:name or package.module:name expected"),
        ("optimizer=nowhere.at_all:Adm", "no module nowhere.at_all found"),
        ("optimizer=nowhere.py:Adm", r"Python source expected, but the file can't be read"),
        ("augmentation=parts.py:ambient", "the same images for the same generator expected, others found"),
        (
            "augmentation=parts.py:smaller",
            r"images of shape \(4, 1, 28, 28\) .* exp.* \(4, 1, 27, 28\) found",
        ),
        ("augmentation=parts.py:nan", "finite pixels expected"),
        ("augmentation=parts.py:fails", r"a function of \(x_NCHW, generator\) expected; it failed"),
        ("stages.0.schedule=parts.py:counting", r"a pure function of \(step, total\) expected; it gave two factors"),
        ("stages.0.schedule=parts.py:negative", "a finite factor from 0 on expected, -0.5 found at step 1 of 8"),
        ("stages.0.schedule=parts.py:word", "that gives a number expected; at step 0 of 8 it failed: ValueError"),
    ],
)
def test_what_is_wrong_is_said_before_a_folder_is_made(override: str, says: str, data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match=says):
        train(data, override, out="never")
    assert not Path("never").exists()


def test_a_warm_up_beside_a_schedule_of_ones_own_is_refused() -> None:
    with pytest.raises(fr.RecipeError, match="a schedule of your own has its own warm-up; leave it out"):
        recipe("stages.0.schedule=parts.py:Wave", "stages.0.warmup=1")
