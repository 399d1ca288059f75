"""Checkpoints: the complete state of a training, in files that can't hold code, never half-written.

A checkpoint is a folder ``step-00000470`` with ``tensors.safetensors`` and ``state.json``. It is written under a
temporary name, fsynced and renamed, so a kill at any moment leaves the older ones untouched.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_directory

FORMAT = 1
CHECKPOINT_SECONDS = 60.0  # longest time between two checkpoints


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where the checkpoints of a training are kept.

    Attributes:
        folder: made with the first of them.
        data: fingerprint of what the training set was split from; a checkpoint of other data is refused.
        keep: how many stay on disk, ≥ 1.
    """

    folder: Path
    data: str
    keep: int = 2


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], *, keep: int) -> Path:
    """Write the checkpoint of ``step`` below ``folder`` and remove all but the newest ``keep``.

    Args:
        folder: made if need be.
        step: optimizer steps done; names the checkpoint.
        tensors: any names; stored in their own dtype and bit for bit.
        state: JSON values. Python's floats come back bit for bit.
        keep: ≥ 1.
    """
    path = folder / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    data = tensors_to_bytes(tensors)
    header = {"format": FORMAT, "step": step, "sha256": hashlib.sha256(data).hexdigest()}
    with atomic_directory(path) as temporary:
        (temporary / "tensors.safetensors").write_bytes(data)
        (temporary / "state.json").write_text(json.dumps(header | {"state": state}), encoding="utf-8")

    # Later ones are damaged: training was resumed from before them.
    checkpoints = sorted(folder.glob("step-????????"))
    later = [checkpoint for checkpoint in checkpoints if checkpoint.name > path.name]
    older = [checkpoint for checkpoint in checkpoints if checkpoint.name <= path.name][:-keep]
    for checkpoint in later + older:
        shutil.rmtree(checkpoint, ignore_errors=True)
    return path


def tensors_to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """Encode tensors in the format of safetensors, which :func:`safetensors.torch.load` reads, bit for bit."""
    return safetensors.torch.save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (on the CPU) and the state of one checkpoint.

    Raises:
        ArtifactError: missing or damaged files, another format.
    """
    try:
        header = json.loads((path / "state.json").read_text(encoding="utf-8"))
        data = (path / "tensors.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: a checkpoint expected, but it can't be read: {error}") from None
    if header.get("format") != FORMAT:
        raise ArtifactError(f"{path}: checkpoint format {FORMAT} expected, {header.get('format')!r} found")
    if hashlib.sha256(data).hexdigest() != header["sha256"]:
        raise ArtifactError(f"{path}: tensors.safetensors is damaged: its SHA-256 is not the one in state.json")
    return safetensors.torch.load(data), header["state"]


def load_newest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the newest undamaged checkpoint below ``folder``, or None; a damaged one is skipped with a warning."""
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            return load_checkpoint(path)
        except ArtifactError as error:
            warnings.warn(f"{error}; going on from an older checkpoint", stacklevel=2)
    return None
