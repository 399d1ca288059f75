from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.training.batch_parts import BatchParts, Result

THREADS = 2


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    def __init__(self, *, norm: bool):
        super().__init__()
        torch.manual_seed(0)
        self.filters = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.filters(x)).relu().flatten(1))
        return logits


def statistics(net: Net) -> tuple[Tensor, int]:
    assert isinstance(net.norm, nn.BatchNorm2d)
    assert net.norm.running_mean is not None
    assert net.norm.num_batches_tracked is not None
    return net.norm.running_mean, int(net.norm.num_batches_tracked)


def batch(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


def step(network: nn.Module, x: Tensor, y: Tensor) -> Result:
    logits = network(x)
    loss = F.cross_entropy(logits, y, reduction="sum")
    loss.backward()
    return loss.item(), int((logits.argmax(dim=1) == y).sum())


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("threads", [1, THREADS])
@pytest.mark.parametrize("n", [10, 7, 2, 1])
def test_the_parts_have_the_gradient_of_the_whole_batch(n: int, threads: int) -> None:
    x, y = batch(n)
    whole, model = Net(norm=False), Net(norm=False)
    loss, correct = step(whole, x, y)
    parts = BatchParts(model, 2, threads=threads, is_pure=True)

    for _ in range(2):  # nothing is left of a step in the next one
        model.zero_grad()
        found = parts.each(step, x, y)
        assert found[0] == pytest.approx(loss)
        assert found[1] == correct
        for mine, expected in zip(gradients(model), gradients(whole), strict=True):
            torch.testing.assert_close(mine, expected)


def test_each_part_is_normalised_by_itself_and_the_running_statistics_are_their_mean() -> None:
    x, y = batch(5)
    model = Net(norm=True)
    BatchParts(model, 2, threads=THREADS, is_pure=True).each(step, x, y)

    means, of_gradients = [], []
    for part in (slice(0, 3), slice(3, 5)):
        alone = Net(norm=True)
        step(alone, x[part], y[part])
        means.append(statistics(alone)[0])
        of_gradients.append(gradients(alone))
    mean, seen = statistics(model)
    torch.testing.assert_close(mean, 0.6 * means[0] + 0.4 * means[1])
    assert seen == 1
    for mine, first, second in zip(gradients(model), *of_gradients, strict=True):
        torch.testing.assert_close(mine, first + second)


def test_the_parts_learn_what_the_optimizer_did_and_only_what_is_not_frozen() -> None:
    x, y = batch(8)
    model = Net(norm=True)
    parts = BatchParts(model, 2, threads=THREADS, is_pure=True)
    first, _ = parts.each(step, x, y)
    with torch.no_grad():
        for p in model.parameters():
            assert p.grad is not None
            p.sub_(0.01 * p.grad)
            p.grad = None
    model.filters.requires_grad_(False)
    second, _ = parts.each(step, x, y)
    assert second < first
    assert model.filters.weight.grad is None
    assert model.head.weight.grad is not None


def test_the_same_bits_on_one_thread_and_on_two(tmp_path: Path) -> None:
    recipe = fr.load_recipe("swift", overrides=["min_steps=0", "batch_parts=2"])
    shipped = []
    for threads in (1, 2):
        run = fr.train("sample", recipe, out=tmp_path / str(threads), options=fr.Options(device="cpu", threads=threads))
        shipped.append((run.path / "model.safetensors").read_bytes())
        assert torch.get_num_threads() == threads
    assert shipped[0] == shipped[1]


def test_layers_that_share_weights_share_them_in_each_part() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.second(self.first(x.flatten(1)).relu()))
            return logits

    x, y = batch(6)
    whole, model = Tied(), Tied()
    step(whole, x, y)
    BatchParts(model, 2, threads=THREADS, is_pure=True).each(step, x, y)
    for mine, expected in zip(gradients(model), gradients(whole), strict=True):
        torch.testing.assert_close(mine, expected)


def test_parts_that_go_one_after_another_have_all_threads() -> None:
    used = []

    def counting(network: nn.Module, x: Tensor, y: Tensor) -> Result:
        used.append(torch.get_num_threads())
        return step(network, x, y)

    for is_pure in (True, False):
        parts = BatchParts(Net(norm=True), 2, threads=THREADS, is_pure=is_pure)
        with parts.sharing_threads():
            parts.each(counting, *batch(6))
    assert used == [1, 1, THREADS, THREADS]


def test_a_network_that_draws_random_numbers_comes_to_the_same_bits_each_time(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 32), nn.Dropout(0.5), nn.Linear(32, num_classes))\n"
    )
    changes = [f"model='{net}:Net'", "stages.0.epochs=1", "batch_parts=2", "precision=float32"]
    recipe = fr.load_recipe("plain", overrides=changes)
    options = fr.Options(device="cpu", threads=2)
    runs = [fr.train("sample", recipe, out=tmp_path / f"run{i}", options=options) for i in range(3)]
    assert len({(run.path / "model.safetensors").read_bytes() for run in runs}) == 1


def test_a_part_that_fails_is_told_when_no_other_is_under_way() -> None:
    under_way = threading.Event()
    done = threading.Event()

    def failing(network: nn.Module, x: Tensor, y: Tensor) -> Result:
        if network is model:
            under_way.wait(10)
            raise RuntimeError("of the first part")
        under_way.set()
        result = step(network, x, y)
        done.set()
        return result

    model = Net(norm=False)
    with pytest.raises(RuntimeError, match="of the first part"):
        BatchParts(model, 2, threads=THREADS, is_pure=True).each(failing, *batch(4))
    assert done.is_set()
