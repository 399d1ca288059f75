import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.recipes.recipe import Recipe, Schedule, Stage
from fittingroom.training.optimizer import NEWTON_SCHULZ_STEPS, Muon, lr_at, make_optimizer, orthogonalize, set_lr

STAGE = Stage(epochs=10, lr=0.1)


def factors(epochs: int = 10, steps_per_epoch: int = 100, **changes: Any) -> list[float]:
    """The curve of a whole stage."""
    stage = dataclasses.replace(STAGE, epochs=epochs, **changes)
    total = epochs * steps_per_epoch
    return [lr_at(step, total, stage, steps_per_epoch) for step in range(total)]


def recipe(**changes: Any) -> Recipe:
    return Recipe(**({"model": "tutorial", "stages": (STAGE,)} | changes))


# ── schedules ────────────────────────────────────────────────────────────────────────────────────────────────


def test_constant_is_the_peak_at_every_step() -> None:
    assert set(factors()) == {1.0}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_falling_curve_goes_from_the_peak_to_0_and_wastes_no_step(schedule: Schedule) -> None:
    curve = factors(schedule=schedule)
    assert curve == sorted(curve, reverse=True)
    assert 0.999 < curve[0] < 1
    assert 0 < curve[-1] < 0.001
    assert sum(curve) / len(curve) == pytest.approx(0.5)
    assert curve[500] == pytest.approx(0.5, abs=0.001)


def test_cosine_is_pytorchs_taken_at_the_middle_of_each_step() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    halves = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)  # two of its steps are one of ours
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        halves.step()
    assert factors(2, 10, schedule="cosine") == pytest.approx(expected[1::2])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_rises_in_a_straight_line_and_then_the_curve_begins(schedule: Schedule) -> None:
    curve = factors(schedule=schedule, warmup=2.5)
    assert curve[:250] == pytest.approx([(step + 0.5) / 250 for step in range(250)])
    without = [lr_at(step, 750, dataclasses.replace(STAGE, schedule=schedule), 100) for step in range(750)]
    assert curve[250:] == pytest.approx(without)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warm_up_as_long_as_the_stage_only_rises(schedule: Schedule) -> None:
    curve = factors(1, 4, schedule=schedule, warmup=1)
    assert curve == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_one_cycle_has_the_shape_of_pytorchs() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    # PyTorch divides the start, lr/25, by final_div_factor: by 400 it ends at lr/10,000.
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, 1000, cycle_momentum=False, final_div_factor=400)

    expected = []
    for _ in range(1000):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 1000:
            theirs.step()

    curve = factors(schedule="one-cycle")
    assert curve == pytest.approx(expected, abs=0.005)  # theirs reaches the ends at whole steps, ours between them
    assert max(curve) == pytest.approx(1, abs=1e-4)
    assert curve.index(max(curve)) in (299, 300)
    assert curve[0] == pytest.approx(1 / 25, abs=1e-4)
    assert curve[-1] == pytest.approx(1e-4, abs=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
def test_a_stage_of_one_step_still_learns(schedule: Schedule) -> None:
    (factor,) = factors(1, 1, schedule=schedule)
    assert 0.4 < factor <= 1


def test_rates_are_set_by_role() -> None:
    optimizer = make_optimizer(TutorialCNN(), recipe(optimizer="muon"))
    set_lr(optimizer, dataclasses.replace(STAGE, rest_lr=3.0), 0.5)
    assert {group["role"]: group["lr"] for group in optimizer.param_groups} == {"filters": 0.05, "rest": 1.5}
    set_lr(optimizer, STAGE, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.05}


# ── who is in which group ────────────────────────────────────────────────────────────────────────────────────


def momentum_of(group: dict[str, Any]) -> float:
    return float(group["betas"][0] if "betas" in group else group["momentum"])


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "muon"])
def test_filters_are_what_the_optimizer_says_and_the_rest_is_everything_else(kind: str) -> None:
    model = TutorialCNN()
    settings = {"momentum": 0.8, "rest_momentum": 0.7, "weight_decay": 0.1, "rest_weight_decay": 0.2}
    optimizer = make_optimizer(model, recipe(optimizer=kind, **settings))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {group["role"]: group for group in optimizer.param_groups}
    filters = {names[id(parameter)] for parameter in groups["filters"]["params"]}
    rest = {names[id(parameter)] for parameter in groups["rest"]["params"]}

    kernels = {"layer1.0.weight", "layer2.0.weight", "layer3.0.weight"}
    assert filters == (kernels if kind == "muon" else kernels | {"fc.weight"})
    assert rest == set(names.values()) - filters
    assert (groups["filters"]["weight_decay"], groups["rest"]["weight_decay"]) == (0.1, 0.2)
    assert (momentum_of(groups["filters"]), momentum_of(groups["rest"])) == (0.8, 0.7)


def test_the_rest_has_the_momentum_of_the_filters_unless_told() -> None:
    optimizer = make_optimizer(TutorialCNN(), recipe(optimizer="sgd", momentum=0.8))
    assert [group["momentum"] for group in optimizer.param_groups] == [0.8, 0.8]


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    model = TutorialCNN()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    (group,) = make_optimizer(model, recipe(optimizer="adam")).param_groups
    assert group["role"] == "rest"
    assert {parameter.ndim for parameter in group["params"]} == {1}


@pytest.mark.parametrize("momenta", [(0.9, 0.9), (0.0, 0.9), (0.0, 0.0)])
def test_sgd_is_nesterovs_where_there_is_momentum(momenta: tuple[float, float]) -> None:
    optimizer = make_optimizer(
        TutorialCNN(), recipe(optimizer="sgd", momentum=momenta[0], rest_momentum=momenta[1], weight_decay=0.1)
    )
    assert isinstance(optimizer, torch.optim.SGD)
    assert [group["nesterov"] for group in optimizer.param_groups] == [momentum > 0 for momentum in momenta]


@pytest.mark.parametrize(
    ("kind", "torchs"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_a_named_optimizer_steps_as_pytorchs(kind: str, torchs: Any) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(ours, recipe(optimizer=kind, weight_decay=0.1))
    set_lr(optimizer, STAGE, 1.0)

    own = {"momentum": 0.9, "nesterov": True} if kind == "sgd" else {}
    expected = torchs(theirs.parameters(), lr=0.1, weight_decay=0.1, **own)

    for _ in range(3):
        gradient = torch.randn(2, 3)
        ours.weight.grad, theirs.weight.grad = gradient.clone(), gradient
        optimizer.step()
        expected.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


# ── Muon ─────────────────────────────────────────────────────────────────────────────────────────────────────


def with_singular_values(shape: tuple[int, int, int], smallest: float) -> Tensor:
    """Random matrices with singular values from 1 down to ``smallest``."""
    u, _, vh = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrices: Tensor = u * torch.logspace(0, math.log10(smallest), u.shape[-1]) @ vh
    return matrices


@pytest.mark.parametrize("shape", [(1, 16, 9), (3, 64, 9), (3, 16, 64), (2, 32, 32), (2, 1, 9), (2, 9, 1)])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_orthogonalize_brings_singular_values_near_1_times_the_scale(shape: tuple[int, int, int], size: float) -> None:
    torch.manual_seed(0)
    matrices = with_singular_values(shape, smallest=0.02)
    scale = max(1, shape[1] / shape[2]) ** 0.5
    found = orthogonalize(size * matrices)
    assert found.shape == shape

    values = torch.linalg.svdvals(found) / scale
    assert values.min() > 0.65
    assert values.max() < 1.2

    # The directions are kept, too.
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(found.flatten(1), (u @ vh).flatten(1))
    assert cosine.min() > 0.95


def test_orthogonalize_of_nothing_is_nothing() -> None:
    assert not orthogonalize(torch.zeros(2, 4, 3)).any()


def test_orthogonalized_as_a_batch_equals_one_by_one() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(5, 8, 18)
    single = torch.cat([orthogonalize(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalize(matrices), single)


def nesterov_gradients(gradients: list[Tensor], momentum: float) -> list[Tensor]:
    buffer = torch.zeros_like(gradients[0])
    found = []
    for gradient in gradients:
        buffer = momentum * buffer + gradient
        found.append(gradient + momentum * buffer)
    return found


def reference_direction(momentum_OI33: Tensor) -> Tensor:
    """As in Jordan's post but for the number of steps: one filter bank at a time, its wide side last, in doubles."""
    matrix = momentum_OI33.double().reshape(len(momentum_OI33), -1)
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm()
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    scale = (matrix.shape[0] / matrix.shape[1]) ** 0.5 if tall else 1.0
    direction: Tensor = scale * (x.T if tall else x)
    return direction.reshape(momentum_OI33.shape)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_muon_equals_a_plain_reference(layout: torch.memory_format, momentum: float) -> None:
    torch.manual_seed(0)
    shapes = [(8, 2, 3, 3), (4, 8, 3, 3), (8, 2, 3, 3), (20, 1, 3, 3)]  # two equal, one wide, one tall
    filters = [nn.Parameter(torch.randn(shape).to(memory_format=layout)) for shape in shapes]
    expected = [p.detach().double() for p in filters]

    optimizer = Muon([{"role": "filters", "params": filters, "momentum": momentum, "weight_decay": 0.5, "lr": 0.1}])

    steps = [[torch.randn(shape) for shape in shapes] for _ in range(3)]
    for gradients in steps:
        for p, gradient in zip(filters, gradients, strict=True):
            p.grad = gradient.to(memory_format=layout)
        optimizer.step()

    for i, p in enumerate(filters):
        for direction in nesterov_gradients([gradients[i] for gradients in steps], momentum):
            expected[i] = expected[i] * (1 - 0.1 * 0.5) - 0.1 * reference_direction(direction)
        torch.testing.assert_close(p.detach().double(), expected[i], rtol=1e-4, atol=1e-4)
        assert p.is_contiguous(memory_format=layout)


def test_muon_is_adamw_on_everything_but_filters() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())

    optimizer = make_optimizer(
        ours, recipe(optimizer="muon", momentum=0.6, rest_momentum=0.8, beta2=0.95, rest_weight_decay=0.5)
    )
    set_lr(optimizer, STAGE, 1.0)
    expected = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.8, 0.95), weight_decay=0.5)

    for _ in range(5):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        optimizer.step()
        expected.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_weight_decay_is_decoupled_from_the_gradient(kind: str) -> None:
    """The step of (lr, decay) is that of no decay, plus the shrinking of the weights by lr·decay."""
    moved = {}
    for decay in (0.0, 0.5):
        torch.manual_seed(0)
        model = nn.Conv2d(2, 4, 3, bias=False)
        before = model.weight.detach().clone()
        optimizer = make_optimizer(model, recipe(optimizer=kind, weight_decay=decay))
        set_lr(optimizer, STAGE, 1.0)
        model.weight.grad = torch.randn_like(model.weight)
        optimizer.step()
        moved[decay] = model.weight.detach() - before

    torch.testing.assert_close(moved[0.5], moved[0.0] - 0.1 * 0.5 * before)


def test_a_parameter_without_gradient_stays_as_it_is() -> None:
    used, unused = nn.Parameter(torch.ones(2, 2, 3, 3)), nn.Parameter(torch.ones(2, 2, 3, 3))
    used.grad = torch.randn(2, 2, 3, 3)
    Muon([{"role": "filters", "params": [used, unused], "lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}]).step()
    assert (unused == 1).all()
    assert (used != 1).all()


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last, "every second"])
def test_adam_is_pytorchs_plain_loop_however_parameters_lie_in_memory(name: str, layout: Any) -> None:
    start = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, 3, 8, generator=torch.Generator().manual_seed(1))

    def trained(optimizer_of: Any) -> Tensor:
        wide = start.repeat_interleave(2, dim=3)
        lying = wide[..., ::2] if layout == "every second" else start.to(memory_format=layout)
        model = nn.ParameterList([nn.Parameter(lying)])
        optimizer = optimizer_of(model)
        for step in range(5):
            optimizer.zero_grad()
            ((model[0] * x.permute(3, 0, 1, 2)).sin().sum() * (step + 1)).backward()
            optimizer.step()
        learned: Tensor = model[0].detach()
        return learned

    settings = recipe(optimizer=name, weight_decay=0.1)

    def ours(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = make_optimizer(model, settings)
        assert isinstance(optimizer, torch.optim.Optimizer)
        set_lr(optimizer, STAGE, 1.0)
        return optimizer

    def theirs(model: nn.Module) -> torch.optim.Optimizer:
        adam = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return adam(model.parameters(), lr=STAGE.lr, weight_decay=0.1, foreach=False, fused=False)

    assert (trained(ours) - trained(theirs)).abs().max() < 1e-6
