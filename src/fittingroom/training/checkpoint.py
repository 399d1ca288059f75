"""Checkpoints: the complete state of a training, in files that can't hold code, never half-written.

A checkpoint is a folder ``step-00000470`` with ``tensors.safetensors`` and ``state.json``. It is written under a
temporary name, fsynced and renamed, so a kill at any moment leaves the older ones untouched.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import safetensors.torch
from torch import Tensor

from fittingroom.errors import ArtifactError
from fittingroom.files.atomic import atomic_directory, make_own_folder
from fittingroom.files.json_file import read_json
from fittingroom.files.records import SHA256, WHAT_TO_DO, Count, read_record
from fittingroom.files.run_file import read_run_file
from fittingroom.files.safetensors_header import refuse_large_header

FORMAT = 1
MAX_BYTES = 8 << 30  # of the tensors, which are a few megabytes for models of small images
CHECKPOINT_SECONDS = 60.0  # longest time between two checkpoints


class Header(TypedDict):
    """What ``state.json`` says; the state is read by whoever made it."""

    step: Count
    sha256: SHA256
    state_sha256: NotRequired[SHA256]  # 0.1 had none
    state: dict[str, Any]


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
        folder: made if need be; what it lies in is there.
        step: optimizer steps done; names the checkpoint.
        tensors: any names; stored in their own dtype and bit for bit.
        state: JSON values. Python's floats come back bit for bit.
        keep: ≥ 1.
    """
    path = folder / f"step-{step:08d}"
    make_own_folder(folder)
    data = tensors_to_bytes(tensors)
    header = {"format": FORMAT, "step": step, "sha256": hashlib.sha256(data).hexdigest()}
    header["state_sha256"] = _digest(state)
    with atomic_directory(path) as temporary:
        (temporary / "tensors.safetensors").write_bytes(data)
        (temporary / "state.json").write_text(json.dumps(header | {"state": state}), encoding="utf-8")

    # Later ones are damaged: training was resumed from before them.
    later = [checkpoint for checkpoint in folder.glob("step-????????") if checkpoint.name > path.name]
    for checkpoint in later:
        shutil.rmtree(checkpoint, ignore_errors=True)
    _remove_older(path, keep)
    return path


def _remove_older(path: Path, keep: int) -> None:
    """Remove the checkpoints before this one, all but ``keep`` - 1 of them."""
    for checkpoint in sorted(older for older in path.parent.glob("step-????????") if older.name <= path.name)[:-keep]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def tensors_to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """Encode tensors in the format of safetensors, which :func:`safetensors.torch.load` reads, bit for bit."""
    return safetensors.torch.save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (on the CPU) and the state of one checkpoint.

    Raises:
        ArtifactError: missing or damaged files, another format.
    """
    header = read_json(path / "state.json", format_number=FORMAT)
    read_record(Header, header, str(path / "state.json"), advice=WHAT_TO_DO)
    data = read_run_file(path / "tensors.safetensors", "the tensors of a checkpoint", limit=MAX_BYTES)
    if header.get("state_sha256") not in (None, _digest(header["state"])):
        raise ArtifactError(f"{path}: state.json is damaged: its SHA-256 is not the one that it says itself")
    if hashlib.sha256(data).hexdigest() != header["sha256"]:
        raise ArtifactError(f"{path}: tensors.safetensors is damaged: its SHA-256 is not the one in state.json")
    try:
        refuse_large_header(data)
        return safetensors.torch.load(data), header["state"]
    except (safetensors.SafetensorError, ValueError, KeyError) as error:  # KeyError: a kind of number that torch lacks
        raise ArtifactError(f"{path / 'tensors.safetensors'}: tensors expected, but it is damaged: {error}") from None


def _digest(state: dict[str, Any]) -> str:
    """SHA-256 of a state, whatever the order and layout of its JSON; hexadecimal."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _as_it_is(tensors: dict[str, Tensor], state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return tensors, state


def load_newest_checkpoint(
    folder: Path, accept: Callable[[dict[str, Tensor], dict[str, Any]], Any] = _as_it_is, *, keep: int | None = None
) -> Any:
    """Take the newest undamaged checkpoint below ``folder``; a damaged one is skipped with a warning.

    Args:
        folder: of the checkpoints.
        keep: how many stay; a training that was killed while it saved one may have left one more. None for all.
        accept: makes of tensors and state what the caller needs, and raises ArtifactError for what can't be that; by
            default they are given as they are.

    Returns:
        What ``accept`` made; None where there is no checkpoint that it takes.
    """
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            tensors, state = load_checkpoint(path)
            try:
                accepted = accept(tensors, state)
            except ArtifactError as error:
                raise ArtifactError(f"{path}: {error}") from None
            if keep is not None:
                _remove_older(path, keep)
            return accepted
        except ArtifactError as error:
            warnings.warn(f"{error}; going on from an older checkpoint", stacklevel=2)
    return None
