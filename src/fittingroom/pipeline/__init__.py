"""What makes a whole run: train → export → evaluate → report.

The test set never reaches the training: only :meth:`fittingroom.Run.evaluate` is given it, and only on request.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fittingroom.data.dataset import Dataset
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.data.splits import Splits
from fittingroom.errors import ArtifactError, RecipeError
from fittingroom.events import Hooks, Observer, RecipeSettled
from fittingroom.models.timm_networks import is_timm
from fittingroom.parallel.process_group import ALONE, ProcessGroup, process_group, processes
from fittingroom.parallel.ray_engine import RayEngine, check_engine
from fittingroom.pipeline.whole_run import complete
from fittingroom.recipes.default_names import FOR_A_MODEL, FOR_ALL_OTHERS, FOR_WEIGHTS
from fittingroom.recipes.keywords import plain, refuse_unknown_keys, with_keys
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.progress import shown
from fittingroom.runs.create import recipe_for, start
from fittingroom.runs.environment_record import Options, holds_run
from fittingroom.runs.more_seeds import record_more_seeds, refuse_more_seeds
from fittingroom.runs.one_writer import clear_away, one_writer, refuse_unbegun
from fittingroom.runs.origin import NEW, open_origin, open_weights
from fittingroom.runs.preprocessing import preprocessing_of
from fittingroom.runs.recorded import (
    code_files,
    recorded_code,
    recorded_environment,
    recorded_recipe,
    refuse_changes,
)
from fittingroom.runs.run import Run
from fittingroom.runs.run_data import as_splits, given_again, open_recorded_data
from fittingroom.training.device import prepare_torch
from fittingroom.training.turns import own_turn
from fittingroom.watch.beside_training import refuse_unwatchable


def train(
    data: Splits | Dataset | str | Path,
    recipe: Recipe | str | Path | None = None,
    *,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | Literal["auto"] | None = None,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    from_run: Run | str | Path | None = None,
    weights: str | Path | None = None,
    trust_code: bool = False,
    out: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    options: Options | None = None,
    folds: int | None = None,
    look_at_test: bool = False,
    engine: RayEngine | None = None,
    progress: bool | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
    group: ProcessGroup | None = None,
    watch: bool = False,
    **keys: Any,
) -> Run:
    """Train a model and write the run's folder: weights, ``model.onnx``, scores on validation images, a report.

    Started by torchrun, the processes train one model together. The one of rank 0 writes the folder; the others return
    when the training is done, and may find the folder unfinished, or none on their host. A run that torchrun had to
    restart goes on from its newest checkpoint.

    Args:
        data: an open data set, a name such as ``fashion-mnist``, or a path.
        recipe: a recipe, the name of one of the package's, or the path of a TOML file. None: with ``from_run`` that
            run's own; with ``weights`` ``finetune``; else ``swift`` for 20,000 grey images of 28×28 pixels or more,
            ``plain`` for all others. A ``model`` alone is trained by ``plain``, one of timm by ``finetune``.
        epochs: in all: stages are cut short, or the last is lengthened. None for the recipe's.
        lr: peak learning rate of the first stage; the others keep their ratio to it. None for the recipe's.
        batch_size: examples a step. None for the recipe's.
        seed: in place of the recipe's.
        seeds: train once for each: a number N for N seeds from the recipe's on, or a list of them.
        from_run: a finished run to go on from, of one model. The training starts from its weights, with its network and
            its preprocessing; classes are matched by name, and those that it doesn't know get a new head. On the run's
            own data the validation images stay the same.
        weights: a file of weights to start from, safetensors or a checkpoint of PyTorch that holds tensors alone;
            ``none`` for new ones. By default a network ``timm:NAME`` starts from timm's own, which are fetched at their
            first use, and any other from new ones.
        trust_code: permits executing the code that ``from_run`` keeps.
        out: the run's folder, new or empty, with ``~`` for the home directory; by default the next free
            ``runs/<recipe>-<number>``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; None for that of the options.
        threads: number of CPU threads; None for that of the options.
        options: further options of how the run is carried out.
        folds: 2 or more: judge every training image by a model that learned from the other folds, in place of holding
            some out, and ship a model that learned from all; see :mod:`fittingroom.runs.out_of_fold`.
        look_at_test: evaluate the finished model on the test set, once, before the report is written.
        engine: where several seeds are trained side by side; each gets the options' threads, by default one. None
            trains them one after another in this process. The result is the same for the same kind of processor
            and number of threads.
        progress: whether to show a bar, and a line an epoch; None for: on a terminal or in a notebook, where nobody
            observes.
        observe: receives the events of :mod:`fittingroom.events`; of several seeds each event with its seed's name.
        should_stop: asked after each step; true saves the state and ends with :class:`Interrupted`.
        group: the processes that train together, where the caller has joined them; None joins those of torchrun, if
            there are any.
        watch: have a process of its own show the training in a browser of this machine, at the address that is printed
            and reported as :class:`~fittingroom.events.WatchedAt`. The result is the same, bit for bit.
        keys: any other key of :class:`Recipe`, in place of the recipe's: ``mirror="random"``, ``model="tutorial"``; for
            model, loss, augmentation and optimizer also a class or function of your own.

    Returns:
        The run: ``run.result`` has its scores, :meth:`Run.evaluate` judges it, :func:`load` opens its model.

    Raises:
        RecipeError, DataError: what the user gave doesn't work, and why.
        Interrupted: stopped on request; :func:`resume` goes on.
        TrainingDiverged: an infinite or NaN loss.
        PeerLost, PeerFailed: in a training on several processes, see :mod:`fittingroom.parallel.process_group`.
        FittingRoomError: Ray isn't installed, or failed.

    Example:
        >>> import fittingroom as fr
        >>> run = fr.train("sample", "plain", epochs=1, mirror="random", seed=1, threads=1, out="runs/first")
        >>> run.recipe.mirror, run.result["validation"]["n"], run.result["test"]  # test was not asked for
        ('random', 200, None)
    """
    changes = {"epochs": epochs, "lr": lr, **({} if batch_size is None else {"batch_size": batch_size}), **keys}
    refuse_unknown_keys(keys, inspect.signature(train).parameters)
    options = options or Options()
    device = None if device is None else str(device)  # a torch.device, too
    seed, seeds = plain(seed), [*map(plain, seeds)] if isinstance(seeds, Iterable) else plain(seeds)
    options = dataclasses.replace(options, device=device or options.device, threads=plain(threads) or options.threads)

    if watch:
        refuse_unwatchable()

    # Side by side, jobs of PyTorch's own number of threads would take each other's cores.
    if engine is not None:
        _check_engine(engine, seeds is not None)
        options = dataclasses.replace(options, threads=options.threads or 1)
    with _joined(group) as (joined, held), shown(progress if joined.is_main else False, observe) as observer:
        hooks = Hooks.of(observer, should_stop)
        origin = None if from_run is None else open_origin(from_run, trust_code=trust_code)
        if origin is not None:
            _refuse_two_starts(weights, keys)
            if recipe is None:
                recipe = recorded_code(origin.run, origin.run.recipe, ALONE, trust_code=trust_code)
        elif recipe is None:
            recipe, data = _default_recipe(data, weights, keys, options, hooks, joined)
        recipe = with_keys(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), changes)

        # One process of each host fetches what the others find.
        with joined.local_main_first():
            beginning = origin or open_weights(recipe, weights)
        run = start(
            data,
            recipe,
            seed=seed,
            seeds=seeds,
            out=out,
            options=options,
            look_at_test=look_at_test,
            origin=beginning,
            folds=folds,
            hooks=hooks,
            group=joined,
            held=held,
        )
        if reason := recorded_environment(run, joined).recipe_reason:
            hooks.observe(RecipeSettled(sentence=reason))

        # The model's code may be executed: it is what the caller gave.
        complete(run, look_at_test, engine, hooks, joined, trust_code=True, watch=watch)
        return run


def _refuse_two_starts(weights: str | Path | None, keys: Mapping[str, Any]) -> None:
    """Raise RecipeError for what a training from a run takes from that, and is given otherwise too."""
    if weights is not None:
        raise RecipeError("weights: from_run goes on from those of a run; give one of the two")
    if "model" in keys:
        raise RecipeError("model: from_run takes the network of a run; give one of the two")


def _default_recipe(
    data: Splits | Dataset | str | Path,
    weights: str | Path | None,
    keys: Mapping[str, Any],
    options: Options,
    hooks: Hooks,
    group: ProcessGroup,
) -> tuple[Recipe | str, Splits | Dataset | str | Path]:
    """The recipe where none was named, and the data, opened if the recipe goes by it."""
    if "model" in keys:
        has_weights = weights != NEW if weights else is_timm(str(keys["model"]))
        return FOR_WEIGHTS if has_weights else FOR_A_MODEL, data
    if weights not in (None, NEW):
        return FOR_WEIGHTS, data

    # The data decides between the other two, and neither says how pictures are read.
    wanted = preprocessing_of(with_keys(load_recipe(FOR_ALL_OTHERS), keys)) if keys else Preprocessing()
    with group.local_main_first():
        opened = as_splits(data, options, wanted, hooks)
    chosen = recipe_for(opened)
    hooks.observe(RecipeSettled(sentence=chosen.why))
    return chosen.recipe, opened


@contextmanager
def _joined(group: ProcessGroup | None) -> Iterator[tuple[ProcessGroup, ExitStack]]:
    """The processes that train together, and a stack for what they hold until the block ends; the block is a turn."""
    with (
        process_group() if group is None else nullcontext(group) as joined,
        own_turn(joined),
        ExitStack() as held,
    ):
        yield joined, held


def resume(
    path: Run | str | Path,
    *,
    data: Splits | Dataset | None = None,
    trust_code: bool = False,
    look_at_test: bool | None = None,
    engine: RayEngine | None = None,
    progress: bool | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
    group: ProcessGroup | None = None,
    watch: bool = False,
) -> Run:
    """Resume a run that was stopped, from its newest checkpoint, with its own recipe, data and options.

    On the CPU, with the same kind of processor, versions and threads, the result is the same, bit for bit, as without
    the stop; on CUDA where the run is deterministic.

    Args:
        path: the run, or its folder.
        data: needed where the run was given its data in memory.
        trust_code: permits executing the source that the user's own network came with.
        look_at_test: None for what was chosen when the run was started.
        engine, progress, observe, should_stop, group, watch: as for :func:`train`.

    Raises:
        ArtifactError: no such run, a recipe that was changed (the difference is shown), code that isn't trusted.
        RecipeError: the run is trained in bf16, in which this hardware doesn't compute.
        DataError: the data is not what the run was started with.

    Example:
        >>> import fittingroom as fr
        >>> fr.resume("runs/plain-1").is_finished  # nothing was left to do
        True
    """
    with shown(progress, observe) as observer:
        return _go_on(
            path,
            data=data,
            trust_code=trust_code,
            look_at_test=look_at_test,
            engine=engine,
            hooks=Hooks.of(observer, should_stop),
            group=group,
            watch=watch,
        )


def add_seeds(
    path: Run | str | Path,
    count: int,
    *,
    data: Splits | Dataset | None = None,
    trust_code: bool = False,
    look_at_test: bool | None = None,
    engine: RayEngine | None = None,
    progress: bool | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[], bool] | None = None,
    group: ProcessGroup | None = None,
    watch: bool = False,
) -> Run:
    """Train more seeds of a finished run of several, with its own recipe, data and options.

    They are the seeds after its largest one, and become members like the others, which stay as they are. If it is
    stopped, :func:`resume` goes on.

    Args:
        path: the run, or its folder.
        count: seeds to add, ≥ 1.
        look_at_test: None: the new members are judged if all the others were.
        data, trust_code, engine, progress, observe, should_stop, group, watch: as for :func:`resume`.

    Raises:
        ArtifactError: as for :func:`resume`; a run of one seed; one that isn't finished.
        RecipeError, DataError: as for :func:`resume`.

    Example:
        >>> import fittingroom as fr
        >>> recipe = fr.load_recipe("plain", overrides=["stages.0.epochs=1"])
        >>> run = fr.train("sample", recipe, seeds=2, out="runs/more", options=fr.Options(threads=1))
        >>> [member.recipe.seed for member in fr.add_seeds("runs/more", 1).members]
        [0, 1, 2]
    """
    with shown(progress, observe) as observer:
        return _go_on(
            path,
            more_seeds=count,
            data=data,
            trust_code=trust_code,
            look_at_test=look_at_test,
            engine=engine,
            hooks=Hooks.of(observer, should_stop),
            group=group,
            watch=watch,
        )


def _go_on(
    path: Run | str | Path,
    *,
    more_seeds: int | None = None,
    data: Splits | Dataset | None,
    trust_code: bool,
    look_at_test: bool | None,
    engine: RayEngine | None,
    hooks: Hooks,
    group: ProcessGroup | None,
    watch: bool,
) -> Run:
    """Resume a run, or with ``more_seeds`` add so many to it first."""
    if watch:
        refuse_unwatchable()
    with _joined(group) as (joined, held):
        run = Run(path.path if isinstance(path, Run) else Path(path))
        joined.broadcast(partial(_hold, run.path, held))
        environment, recipe = recorded_environment(run, joined), recorded_recipe(run, joined)
        if more_seeds is not None:
            joined.broadcast(partial(refuse_more_seeds, run, environment, more_seeds))
        if engine is not None:
            _check_engine(engine, environment.seeds is not None)
        joined.check_batch(recipe.images_a_step)
        prepare_torch(environment.machine.threads, environment.options.deterministic)

        # Nothing is trained before recipe, data and code are known to be those that the run was started with.
        with joined.local_main_first():
            if data is None:  # by the record as the main process has read it
                opened = open_recorded_data(run.path, environment)
            else:
                opened = given_again(data, environment, recipe)
            run = Run(run.path, opened)
        refuse_changes(run, environment, recipe, joined)
        joined.broadcast(lambda: _refuse_untrusted_code(run, trust_code))

        # Only now, as a run whose new seeds can't be trained must stay the finished run that it is.
        judge = environment.look_at_test
        if more_seeds is not None:
            judge = joined.broadcast(partial(record_more_seeds, run, environment, more_seeds))
        if look_at_test is None:
            look_at_test = judge

        complete(run, look_at_test, engine, hooks, joined, trust_code=trust_code, watch=watch)
        return run


def _hold(path: Path, held: ExitStack) -> None:
    """Become the only writer of a run, and clear away what killed processes left; other paths are left alone."""
    refuse_unbegun(path)
    if holds_run(path):
        held.enter_context(one_writer(path))
        with suppress(OSError):  # of a finished run that can't be written nothing is to be cleared away
            clear_away(path)


def _refuse_untrusted_code(run: Run, trusted: bool) -> None:
    """Refuse before anything is opened; whatever executes the code checks again."""
    if not trusted and (files := code_files(run)):
        raise ArtifactError(
            f"{run.path}: it is trained by code of its author's own, such as {files[0].relative_to(run.path)}; going "
            "on executes it. Read it, then say `trust_code=True`"
        )


def _check_engine(engine: RayEngine, has_seeds: bool) -> None:
    """Refuse an engine that isn't available, or has nothing to do, before a folder is made."""
    if processes() > 1:
        raise RecipeError("engine: it starts processes of its own; start without torchrun, or pass no engine")
    check_engine(engine)
    if not has_seeds:
        raise RecipeError("engine: it trains several seeds side by side; pass seeds, or no engine")
