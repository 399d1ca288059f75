"""Weights of files: read without executing anything, fetched from where timm's lie, and fitted to a network."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fittingroom.data.fetch.download import Progress, SourceError, download, headers_of
from fittingroom.errors import DataError
from fittingroom.files.cache_dir import cache_dir
from fittingroom.files.json_file import read_json, write_json
from fittingroom.files.lock import exclusive
from fittingroom.files.run_file import sha256_of
from fittingroom.files.safetensors_header import refuse_large_header
from fittingroom.models.timm_networks import PREFIX, import_timm, pretrained_cfg

HUB = "https://huggingface.co"  # where timm's weights lie; $HF_ENDPOINT names a mirror, as for the hub's own client
FILE = "model.safetensors"
MOST = 4 << 30  # bytes of a file of weights
SUFFIX = ".safetensors"
NESTED = ("state_dict", "model", "model_state", "state_dict_ema")  # under which a checkpoint keeps the weights
NO_CLASSES = -1  # a number that no network has, so that timm leaves the head out
FORMAT = 1  # of what is noted of a fetched file


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name: safetensors, or a checkpoint of PyTorch that holds nothing but tensors.

    Raises:
        DataError: the file can't be read, is damaged, or is a pickle that would execute code.
    """
    try:
        if path.suffix == SUFFIX:
            refuse_large_header(path)
            return safetensors.torch.load_file(path)
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: weights expected, but it can't be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path}: weights in safetensors expected, but it is damaged: {error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, ImportError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: a file of PyTorch that holds tensors alone expected, as other ones execute code when they are "
            f"opened; it isn't one ({why}). Load it where you trust it, and write its state_dict with "
            "safetensors.torch.save_file"
        ) from None

    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise DataError(f"{path}: tensors by name expected, as a state_dict has them, none found")

    # A few bytes may be said to be a tensor of any size, by a stride of 0, which to copy would take all memory.
    for name, tensor in tensors.items():
        held = tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else 0
        if tensor.numel() * tensor.element_size() > held:
            raise DataError(
                f"{path}: whole tensors expected, {name[:80]} is said to be {tuple(tensor.shape)}, of which the file "
                f"has {held:,} bytes: write it with safetensors.torch.save_file"
            )
    return tensors


def fit_to_timm(
    model: str, tensors: Mapping[str, Tensor], network: nn.Module, *, num_classes: int, channels: int, where: str
) -> dict[str, Tensor]:
    """Pretrained weights as a network of timm takes them that is built for other images and other classes.

    By timm's own rules: names of older files are renamed, the first convolution is fitted to grey images, and position
    embeddings are resampled for another size. The weights of the classes are left out.

    Args:
        model: ``timm:NAME``.
        tensors: of the file.
        network: built for the new images; it is given the weights.
        num_classes, channels: that it is built for.
        where: what messages call the file.

    Returns:
        The network's tensors, without the head.

    Raises:
        DataError: the file lacks tensors of the network, or has them in other shapes.
    """
    timm = import_timm()
    config = pretrained_cfg(model)
    given: dict[str, Any] = {}
    hook = network.register_load_state_dict_post_hook(lambda _network, keys: given.update(missing=keys.missing_keys))
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    left_out = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)  # what it would say of single tensors is said here
    try:
        timm.models.load_pretrained(
            network,
            pretrained_cfg=config | {"state_dict": dict(tensors), "num_classes": NO_CLASSES},
            num_classes=num_classes,
            in_chans=channels,
            filter_fn=_filter_of(timm, model),
            strict=False,
        )
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{where}: weights of {model} expected, those found don't fit it: {why[:300]}") from None
    finally:
        log.setLevel(level)
        hook.remove()

    missing = [name for name in given.get("missing", ()) if name not in left_out and "num_batches" not in name]
    if missing:
        raise DataError(
            f"{where}: weights of {model} expected; {len(missing)} of its tensors are not in the file, such as "
            f"{missing[0]}: it is that of another network"
        )
    return {name: tensor for name, tensor in network.state_dict().items() if name not in left_out}


def fetch_timm_weights(model: str, progress: Progress) -> Path:
    """The file of timm's own weights for ``timm:NAME``, in the cache; fetched where it isn't there.

    It is checked by the SHA-256 that the hub names for it, each time that it is used.

    Raises:
        DataError: there are none, they can't be fetched, or what came is not what the hub has.
    """
    config = pretrained_cfg(model)
    repository = config.get("hf_hub_id")
    if not repository:
        raise DataError(f"{model}: timm has no weights for it; give `weights` a file, or 'none' for new ones")
    folder = cache_dir() / "weights" / str(repository).replace("/", "--")
    revision = str(config.get("hf_hub_revision") or "main")
    note, file = folder / f"{revision}.json", folder / f"{revision}{SUFFIX}"

    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock", lambda: progress(f"weights of {model}, by another process", 0, None)):
        if file.exists() and note.exists():
            known = read_json(note, format_number=FORMAT)["sha256"]
            if sha256_of(file, "weights", limit=MOST) == known:
                return file
        return _fetch(model, f"{_hub()}/{repository}/resolve/{revision}/{FILE}", file, note, progress)


def _fetch(model: str, url: str, file: Path, note: Path, progress: Progress) -> Path:
    partial = file.with_suffix(".part")
    by_hand = f"Bring {url} to this machine and give the file by `weights`, or train from new weights by weights = none"
    try:
        expected = _checksum(url)
        download(url, partial, most=MOST, progress=lambda done, total: progress(f"weights of {model}", done, total))
    except SourceError as error:
        raise DataError(f"{model}: its weights can't be fetched from {_hub()}: {error}. {by_hand}") from None

    found = sha256_of(partial, "weights", limit=MOST)
    if expected is not None and found != expected:
        partial.unlink()
        raise DataError(
            f"{model}: weights with the SHA-256 {expected} expected, {found} came from {_hub()}: damaged on the way, "
            f"or not the file that was asked for; try again. {by_hand}"
        )
    _refuse_other_files(partial, model)
    partial.replace(file)
    write_json(note, {"format": FORMAT, "url": url, "sha256": found, "checked": expected is not None})
    return file


def _refuse_other_files(path: Path, model: str) -> None:
    """Refuse what isn't safetensors, such as the page of a proxy, before it is kept. Raises DataError."""
    try:
        with safetensors.safe_open(path, "pt") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        path.unlink(missing_ok=True)
        raise DataError(
            f"{model}: weights in safetensors expected from {_hub()}, something else came: {error}"
        ) from None


def _hub() -> str:
    given = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    try:
        is_address = urlsplit(given).scheme in ("http", "https") and bool(urlsplit(given).hostname)
    except ValueError:  # half of an IPv6 address
        is_address = False
    if not is_address or not given.isprintable() or " " in given:
        raise DataError(f"$HF_ENDPOINT: an address such as {HUB} expected, {given[:80]!r} found")
    return given


def _checksum(url: str) -> str | None:
    """The SHA-256 that the hub names for a file, in the answer that points to where it lies; None where it names none.

    Raises:
        SourceError: the hub can't be reached, or has no such file.
    """
    headers = headers_of(url)
    digest = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").strip('W/"')
    return digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None


def _filter_of(timm: Any, model: str) -> Callable[..., Any] | None:
    """The function by which timm's file of a network renames and resamples the tensors of older or other files."""
    entry = timm.models.model_entrypoint(model.removeprefix(PREFIX).partition(".")[0])
    module = importlib.import_module(entry.__module__)
    found: Callable[..., Any] | None = getattr(module, "checkpoint_filter_fn", None)
    return found
