"""Which device trains, in which precision, and from what memory: asked of the machine, not guessed.

The precision ``auto`` is decided by a probe of a few steps, because bf16 is not faster wherever it exists: some shapes
fall into slow kernels in some releases. The answer is cached for processor, torch version, threads and model.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from fittingroom.environment import processor_name
from fittingroom.errors import RecipeError
from fittingroom.files.atomic import atomic_write
from fittingroom.models import ModelSource, build_model
from fittingroom.recipes.recipe import Recipe

PROBE_ROUNDS = 4
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
FASTER = 0.95  # bf16 rounds more, so it has to earn its place by more than the noise of the clock


def pick_device(name: str) -> str:
    """``auto`` → cuda, mps or cpu, whichever comes first and is there; any other name is checked.

    Raises:
        RecipeError: no such device on this machine.
    """
    there = [device for device, present in _devices().items() if present]
    if name == "auto":
        return there[0]
    try:
        device = torch.device(name)
        is_there = device.type in there and (device.index or 0) < max(1, torch.cuda.device_count())
    except RuntimeError:
        is_there = False
    if not is_there:
        there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise RecipeError(f"device {name}: not on this machine; it has {', '.join(there)}")
    return name


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of freed tensors for the next ones; true if it will.

    Left alone, it maps every block above 32 MiB anew and returns it when freed, and the kernel clears each page at its
    first touch: 19,000 page faults a step for the tutorial's network in float32, which then takes 1.6 times as long.
    It is a setting of the whole process. ``FITTINGROOM_MALLOC=default`` leaves glibc as it is; other C libraries
    don't know it.
    """
    if os.environ.get("FITTINGROOM_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, 1 << 30) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def resolve_precision(
    recipe: Recipe,
    model_source: ModelSource,
    num_classes: int,
    image_size: tuple[int, int],
    device: str,
    cache: Path | None,
    *,
    channels: int = 1,
) -> str:
    """Settle on ``float32`` or ``bf16``: the recipe's choice, or for ``auto`` what trains this model faster here.

    Args:
        recipe: its precision, batch size and arguments of the model count.
        model_source: of the recipe's model.
        num_classes, image_size: of the training set.
        device: as :func:`pick_device` gives it.
        cache: folder that keeps answers; None to measure anew.
        channels: of the training set.
    """
    if recipe.precision != "auto":
        return recipe.precision
    if not _has_bf16(device):
        return "float32"

    # The answer holds for whatever decides the kernels: processor, version, threads, and the shapes of the network.
    key = [processor_name(), device, torch.__version__, torch.get_num_threads(), model_source.name, model_source.sha256]
    key += [dict(recipe.model_args), recipe.batch_size, num_classes, image_size]
    key += [channels] if channels != 1 else []  # answers for grey images keep their names
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    file = None if cache is None else cache / f"{name}.json"
    if file and file.exists():
        try:
            answer = json.loads(file.read_text(encoding="utf-8"))["precision"]
        except (OSError, ValueError, KeyError, TypeError):
            answer = None
        if answer in ("float32", "bf16"):
            return str(answer)

    seconds = _probe(recipe, model_source, num_classes, (channels, *image_size), torch.device(device))
    answer = "bf16" if seconds["bf16"] < FASTER * seconds["float32"] else "float32"
    if file:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as out:
                out.write(json.dumps({"precision": answer, "seconds": seconds, "for": key}).encode())
        except OSError:
            pass  # a cache that can't be written costs a second the next time
    return answer


def _devices() -> dict[str, bool]:
    """The kinds of devices that PyTorch knows, the fastest first, and whether this machine has them."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def _has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16; emulation exists everywhere and is slow."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, bool)() for flag in flags)


def _probe(
    recipe: Recipe, model_source: ModelSource, num_classes: int, shape_CHW: tuple[int, int, int], device: torch.device
) -> dict[str, float]:
    """Time a whole batch in each precision, or as much of it as memory has room for; see :func:`_probe_batch`."""
    count = recipe.batch_size
    while True:
        try:
            return _probe_batch(count, recipe, model_source, num_classes, shape_CHW, device)
        except RuntimeError as error:
            if not is_out_of_memory(error) or count == 1:
                raise
        count = (count + 1) // 2
        if device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell lack of memory from other errors: CUDA raises its own class, the CPU's allocator a bare RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _probe_batch(
    count: int,
    recipe: Recipe,
    model_source: ModelSource,
    num_classes: int,
    shape_CHW: tuple[int, int, int],
    device: torch.device,
) -> dict[str, float]:
    """Least seconds of a forward and backward pass in each precision, taken in turns after one warm-up round."""
    # A probe must not change what is trained: the ambient generators are as before when it is done.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        channels, height, width = shape_CHW
        model = build_model(
            model_source,
            num_classes=num_classes,
            image_size=(height, width),
            channels=channels,
            model_args=recipe.model_args,
        )
        model.to(device).train()
        x_NCHW = torch.randn(count, *shape_CHW, device=device)
        y_N = torch.arange(count, device=device) % num_classes

        # In turns, so that whatever else runs on the machine meets both precisions alike.
        seconds = {"float32": float("inf"), "bf16": float("inf")}
        for round_ in range(1 + PROBE_ROUNDS):
            for precision in seconds:
                start = time.perf_counter()
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                    logits_NC = model(x_NCHW)
                F.cross_entropy(logits_NC.float(), y_N).backward()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_ > 0:
                    seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    return seconds


def prepare_torch(threads: int | None, deterministic: bool) -> None:
    """Set threads and determinism, which in PyTorch are settings of the whole process.

    Args:
        threads: of the CPU; None leaves PyTorch's choice.
        deterministic: refuse operations that give another result each time.

    Raises:
        RecipeError: fewer than one thread.
    """
    if threads is not None:
        if threads < 1:
            raise RecipeError(f"threads: 1 or more expected, {threads} found")
        torch.set_num_threads(threads)
    if deterministic:
        torch.use_deterministic_algorithms(True)
