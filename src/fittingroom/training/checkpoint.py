"""Checkpoints: the complete state of a training, in files that can't hold code, never half-written.

A checkpoint is a folder ``step-00000470`` with ``tensors.safetensors`` and ``state.json``. It is written under a
temporary name, fsynced and renamed, so a kill at any moment leaves the older ones untouched.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_directory

FORMAT = 1


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
    found = sorted(folder.glob("step-????????"))
    later = [each for each in found if each.name > path.name]  # damaged: training went on from before them
    for old in later + [each for each in found if each.name <= path.name][:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def tensors_to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """In the format of safetensors, which :func:`safetensors.torch.load` reads, bit for bit."""
    return safetensors.torch.save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the state of one checkpoint.

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
    """The newest undamaged checkpoint below ``folder``, or None; a damaged one is passed over with a warning."""
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            return load_checkpoint(path)
        except ArtifactError as error:
            warnings.warn(f"{error}; going on from an older checkpoint", stacklevel=2)
    return None
