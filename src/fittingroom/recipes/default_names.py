"""The recipes that are taken where none is named. By themselves, so that ``--help`` names them without loading more."""

from __future__ import annotations

FOR_LARGE_SETS, FOR_ALL_OTHERS = "swift", "plain"  # by the data, see fittingroom.recipes.by_data
FOR_A_MODEL, FOR_WEIGHTS = "plain", "finetune"  # where a model is named, or weights to start from
