"""What Optuna is given for a study: the space as its distributions, the sampler, and what ends a trial early."""

from __future__ import annotations

from typing import Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from fittingroom.training.seeds import derive_seed
from fittingroom.tune.space import Choices, SearchSpace, label

Pruner = Literal["median", "hyperband", "none"]


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The space as Optuna has it; choices by their labels."""
    by_path: dict[str, BaseDistribution] = {}
    for path, entry in space.items():
        if isinstance(entry, Choices):
            by_path[path] = CategoricalDistribution([label(value) for value in entry.values])
        elif entry.whole:
            by_path[path] = IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
        else:
            by_path[path] = FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
    return by_path


def sampler_of_trial(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for each trial of a study with this ``seed``.

    What it draws depends on the trials before it, not on this process's past, so that a study that was stopped goes on
    as it would have gone on.
    """
    return optuna.samplers.TPESampler(seed=derive_seed(seed, "trial", number) % 2**32)


def make_pruner(name: Pruner, epochs: int) -> optuna.pruners.BasePruner:
    """What ends trials of so many ``epochs`` early; see :class:`fittingroom.tune.Plan`."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return optuna.pruners.NopPruner()
