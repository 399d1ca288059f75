"""Which kinds of convolution are faster in bf16 than in float32: the table that ``precision = "auto"`` goes by.

For each kind several shapes, each as a network has it: convolution, batch norm and ReLU in the layout channels_last,
forward and backward, a batch of 64, one thread. The two precisions take turns, so that whatever else runs here meets
both alike; what counts is the processor seconds of the process, the least of the rounds for each precision. A
kind's figure is the worst of its shapes.

    python benchmarks/precision_table.py [--rounds 9] [--write]

Takes two to three minutes on a processor with AVX-512 BF16, and is refused on one without it. ``--write`` replaces
``src/fittingroom/training/bf16_kinds.py``; the table in there says where and when it was measured. What whole networks
gain is printed below the table, for a look at whether the table tells the truth about them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fittingroom as fr
from fittingroom.environment import processor_name
from fittingroom.models import build_model, find_model
from fittingroom.training.device import keep_freed_memory
from fittingroom.training.precision import has_bf16, kind_of

TABLE = Path(__file__).resolve().parents[1] / "src" / "fittingroom" / "training" / "bf16_kinds.py"
BATCH = 64
KERNELS = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2), (4, 4), (5, 1), (5, 2), (7, 1), (7, 2))

# Channels in and out: multiples of the vector's width, and such as tutorials and users take.
DENSE = ((1, 16), (1, 6), (3, 32), (6, 16), (8, 32), (12, 20), (16, 32), (20, 50), (33, 65), (64, 64), (128, 128))
GROUPED = ((32, 64, 4), (64, 64, 8), (128, 128, 4))
DEPTHWISE = ((16, 16, 16), (32, 64, 32), (64, 64, 64), (128, 128, 128))


def shapes() -> Iterator[tuple[int, int, int, int, int]]:
    """Channels in, channels out, kernel, stride, groups."""
    for kernel, stride in KERNELS:
        for channels_in, channels_out in DENSE:
            yield channels_in, channels_out, kernel, stride, 1
        if kernel in (3, 5, 7):
            for channels_in, channels_out, groups in (*GROUPED, *DEPTHWISE):
                yield channels_in, channels_out, kernel, stride, groups


def ratio(network: nn.Module, x_NCHW: Tensor, rounds: int) -> float:
    """The processor seconds of a forward and backward pass in bf16, as a part of those in float32."""
    network.train()
    y_N = torch.arange(len(x_NCHW)) % 10
    least = {"float32": float("inf"), "bf16": float("inf")}
    for round_ in range(1 + rounds):
        for precision in sorted(least, reverse=bool(round_ % 2)):
            start = time.process_time()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                out = network(x_NCHW)
            loss = F.cross_entropy(out.float(), y_N) if out.ndim == 2 else out.float().square().mean()
            loss.backward()
            network.zero_grad(set_to_none=True)
            x_NCHW.grad = None
            if round_:  # the first is to warm up
                least[precision] = min(least[precision], time.process_time() - start)
    return least["bf16"] / least["float32"]


def measure(rounds: int) -> dict[str, float]:
    """The worst ratio of each kind."""
    worst: dict[str, float] = {}
    for channels_in, channels_out, kernel, stride, groups in shapes():
        convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        block = nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())
        block.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        # No gradient flows into the pixels of an image; into a map of features one does.
        side = 28 if channels_in <= 33 else 14
        x_NCHW = torch.randn(BATCH, channels_in, side, side).to(memory_format=torch.channels_last)
        x_NCHW.requires_grad_(channels_in > 3)

        kind = kind_of(convolution.weight.shape, (stride, stride), (1, 1), groups)
        found = ratio(block, x_NCHW, rounds)
        print(f"  {kind:28} {channels_in:>4} → {channels_out:<4} {groups:>4} groups   {found:.2f}", flush=True)
        worst[kind] = max(found, worst.get(kind, 0.0))
    return worst


def measure_recipes(rounds: int) -> Iterator[str]:
    """What whole networks of the package take in bf16, as a part of float32."""
    for name in ("swift", "plain", "compact", "steady"):
        recipe = fr.load_recipe(name)
        source, args = find_model(recipe.model), recipe.model_args
        network = build_model(source, num_classes=10, image_size=(28, 28), model_args=args)
        yield f"  {name:10} {ratio(network, torch.randn(recipe.batch_size, 1, 28, 28), rounds):.2f}"


def as_source(table: dict[str, float]) -> str:
    """The module that holds the table."""
    lines = "\n".join(f'    "{kind}": {value:.2f},' for kind, value in sorted(table.items()))
    when, where = f"{datetime.now(UTC):%Y-%m-%d}", f"{processor_name()} (AVX-512 BF16, no AMX)"
    return f'''"""How long kinds of convolution take in bf16, as a part of float32: of benchmarks/precision_table.py.

Convolution, batch norm and ReLU, forward and backward, channels_last, one thread, processor seconds, the worst of
several shapes of each kind; {when}, {where}, torch {torch.__version__}.
"""

SINCE_TORCH = ({", ".join(torch.__version__.split(".")[:2])})  # the first release that the table holds for

BF16_TIME = {{
{lines}
}}
'''


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not has_bf16("cpu"):
        raise SystemExit(f"{processor_name()}: it emulates bf16, so there is nothing to measure")

    torch.manual_seed(0)
    torch.set_num_threads(1)
    keep_freed_memory()
    table = measure(args.rounds)
    print(as_source(table))
    print(*measure_recipes(args.rounds), sep="\n")
    if args.write:
        TABLE.write_text(as_source(table), encoding="utf-8")


if __name__ == "__main__":
    main()
