"""Labelled small images: data sets, the formats that they come in, where known ones are had from, and the cache.

Names are imported on first use: ``import fittingroom.data`` loads neither NumPy nor Polars, Pillow or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.data.cache import cache_entries as cache_entries
    from fittingroom.data.cache import clear_cache as clear_cache
    from fittingroom.data.cut import stratified_split as stratified_split
    from fittingroom.data.dataset import Dataset as Dataset
    from fittingroom.data.dataset import Fingerprint as Fingerprint
    from fittingroom.data.dataset import concatenate as concatenate
    from fittingroom.data.fetch.known_sets import known_identity as known_identity
    from fittingroom.data.fetch.known_sets import locate as locate
    from fittingroom.data.open import open_dataset as open_dataset
    from fittingroom.data.preprocessing import Preprocessing as Preprocessing
    from fittingroom.data.preprocessing import read_picture as read_picture
    from fittingroom.data.splits import Splits as Splits
    from fittingroom.files.cache_dir import cache_dir as cache_dir

_HOMES = {
    "Dataset": "data.dataset",
    "Fingerprint": "data.dataset",
    "Preprocessing": "data.preprocessing",
    "Splits": "data.splits",
    "cache_dir": "files.cache_dir",
    "cache_entries": "data.cache",
    "clear_cache": "data.cache",
    "concatenate": "data.dataset",
    "known_identity": "data.fetch.known_sets",
    "locate": "data.fetch.known_sets",
    "open_dataset": "data.open",
    "read_picture": "data.preprocessing",
    "stratified_split": "data.cut",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fittingroom.data' has no attribute {name!r}")
    value = getattr(import_module(f"fittingroom.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
