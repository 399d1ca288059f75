"""Labelled small images: data sets, their readers, and the batches that training takes from them.

Names are imported on first use: `import fittingroom.data` loads neither NumPy nor Polars, Pillow or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.data.cache import cache_dir, cache_entries, clear_cache
    from fittingroom.data.dataset import Dataset, Fingerprint, Splits, concatenate, stratified_split
    from fittingroom.data.open import open_dataset
    from fittingroom.data.source import known_identity

_HOMES = {
    "Dataset": "dataset",
    "Fingerprint": "dataset",
    "Splits": "dataset",
    "cache_dir": "cache",
    "cache_entries": "cache",
    "clear_cache": "cache",
    "concatenate": "dataset",
    "known_identity": "source",
    "open_dataset": "open",
    "stratified_split": "dataset",
}

__all__ = [
    "Dataset",
    "Fingerprint",
    "Splits",
    "cache_dir",
    "cache_entries",
    "clear_cache",
    "concatenate",
    "known_identity",
    "open_dataset",
    "stratified_split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fittingroom.data' has no attribute {name!r}")
    value = getattr(import_module(f"fittingroom.data.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
