"""The programs that are compared: each trains the tutorial notebook's network with Adam at 0.01 in batches of 256.

Each is set up as its own documentation does it, with the data in memory, and tells an :class:`EpochClock` when an epoch
starts and ends. The network is ``fittingroom.models.tutorial_cnn.TutorialCNN``, for Keras the same layers in Keras.
Peers are imported by the function that runs them. fastai is imported as ``fastai.basics``, which needs no torchvision.

A name that ends in ", same settings" is a peer with what ours has beside its loop: autocast to bf16, channels_last and
memory that glibc keeps. What is left between it and "fittingroom auto" is the gain of the loop. Of Keras on torch the
layout stays its own, NHWC, and bf16 is its policy ``mixed_bfloat16``.

Keras on JAX has compiled what it trains by before its epoch is timed: that takes seconds, once for all epochs.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

from fittingroom.bench import NOTEBOOK_BATCH, NOTEBOOK_STAGES, Notebook, NotebookData
from fittingroom.data.dataset import Dataset
from fittingroom.models.tutorial_cnn import TutorialCNN
from fittingroom.training.device import keep_freed_memory
from fittingroom.training.inference import judge, predict_dataset

Program = Callable[..., None]  # train, test, epochs, clock

LR = NOTEBOOK_STAGES[0][1]
PREDICT_BATCH = 1000


@dataclass
class EpochClock:
    """Times epochs; what happens between two of them, such as judging the network, isn't counted.

    Attributes:
        judge_epochs: judge the network on the test images after each epoch.
        seconds, cpu_seconds: of each epoch so far.
        accuracies: on test after each epoch, where asked for.
    """

    judge_epochs: bool = False
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def start(self) -> None:
        """An epoch starts."""
        self._started = time.perf_counter(), time.process_time()

    def stop(self, judge: Callable[[], float]) -> None:
        """An epoch has ended; ``judge`` gives the share of the test images that the network has right now."""
        self.seconds.append(time.perf_counter() - self._started[0])
        self.cpu_seconds.append(time.process_time() - self._started[1])
        if self.judge_epochs:
            self.accuracies.append(judge())


@dataclass(frozen=True)
class Arrays:
    """Float32 images (N, 1, H, W) in 0–1, which is what the peers are fed, and labels."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset) -> Arrays:
        return cls(dataset.images[:, None].astype(np.float32) / 255, np.array(dataset.labels))

    def loader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        """PyTorch's own: shuffled batches of the tensors."""
        tensors = TensorDataset(torch.from_numpy(self.images), torch.from_numpy(self.labels))
        return DataLoader(tensors, batch_size=NOTEBOOK_BATCH, shuffle=True)

    def share_right(self, network: torch.nn.Module) -> float:
        """Judge a network on them; its training mode is restored."""
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            predicted = [network(x).argmax(dim=1) for x in torch.from_numpy(self.images).split(PREDICT_BATCH)]
        network.train(was_training)
        return float((torch.cat(predicted).numpy() == self.labels).mean())


class SameNetwork(TutorialCNN):
    """The tutorial's network, computed as ``fittingroom train --set precision=bf16`` does it on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.to(memory_format=torch.channels_last)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Map float32 (N, 1, H, W) to float32 logits (N, 10), convolutions in bf16."""
        with torch.autocast(x_NCHW.device.type, dtype=torch.bfloat16):
            logits_NC = super().forward(x_NCHW.contiguous(memory_format=torch.channels_last))
        return logits_NC.float()


def notebook(train: Dataset, test: Dataset, epochs: int, clock: EpochClock) -> None:
    """The tutorial notebook's loop; its learning rates too, should it come to its 51st epoch."""
    program = Notebook()
    loader = NotebookData(train.images, np.array(train.labels)).loader(shuffle=True)
    test_loader = NotebookData(test.images, np.array(test.labels)).loader(shuffle=False)
    done = 0
    for stage_epochs, lr in NOTEBOOK_STAGES:
        program.start_stage(lr)
        for _ in range(min(stage_epochs, epochs - done)):
            clock.start()
            program.train_epoch(loader)
            clock.stop(lambda: program.evaluate(test_loader))
            done += 1


def lightning(
    train: Dataset, test: Dataset, epochs: int, clock: EpochClock, network: type[TutorialCNN] = TutorialCNN
) -> None:
    """Lightning: a LightningModule and a Trainer with its default settings."""
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int) -> torch.Tensor:
            x, y = batch
            return torch.nn.functional.cross_entropy(self.network(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LR)

    class Clock(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            clock.start()

        def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            clock.stop(lambda: test_arrays.share_right(module.network))

    test_arrays = Arrays.of(test)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(max_epochs=epochs, callbacks=[Clock()], default_root_dir=folder)
        trainer.fit(Module(), Arrays.of(train).loader())


def skorch(
    train: Dataset, test: Dataset, epochs: int, clock: EpochClock, network: type[TutorialCNN] = TutorialCNN
) -> None:
    """skorch: a NeuralNetClassifier; nothing is held out, so that it trains on as many images as the others."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback

    class Clock(Callback):
        def on_epoch_begin(self, net: NeuralNetClassifier, **_: object) -> None:
            clock.start()

        def on_epoch_end(self, net: NeuralNetClassifier, **_: object) -> None:
            clock.stop(lambda: test_arrays.share_right(net.module_))

    arrays, test_arrays = Arrays.of(train), Arrays.of(test)
    net = NeuralNetClassifier(
        network,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LR,
        batch_size=NOTEBOOK_BATCH,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("clock", Clock())],
    )
    net.fit(arrays.images, arrays.labels)


def fastai(
    train: Dataset, test: Dataset, epochs: int, clock: EpochClock, network: type[TutorialCNN] = TutorialCNN
) -> None:
    """fastai: a Learner over PyTorch's DataLoader, with fastai's own Adam at a constant rate."""
    from fastai.basics import Adam, Callback, CrossEntropyLossFlat, DataLoaders, Learner

    class Clock(Callback):
        def before_train(self) -> None:
            clock.start()

        def after_train(self) -> None:
            clock.stop(lambda: test_arrays.share_right(self.learn.model))

    arrays, test_arrays = Arrays.of(train), Arrays.of(test)
    loaders = DataLoaders(arrays.loader(), [])  # nothing to validate on, as with the others
    learner = Learner(loaders, network(), loss_func=CrossEntropyLossFlat(), opt_func=Adam, lr=LR, cbs=[Clock()])
    learner.fit(epochs)


def keras(
    train: Dataset,
    test: Dataset,
    epochs: int,
    clock: EpochClock,
    *,
    policy: str = "float32",
    backend: str = "torch",
) -> None:
    """Keras on torch or on JAX: a Sequential model, compiled and fitted."""
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from keras import layers

    keras.config.set_dtype_policy(policy)

    def judge() -> float:
        logits_NC = model.predict(test_x, batch_size=PREDICT_BATCH, verbose=0)
        return float((logits_NC.argmax(axis=1) == test_arrays.labels).mean())

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            clock.start()

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            clock.stop(judge)

    def convolution(channels: int, side: int, padding: str = "valid") -> list[layers.Layer]:
        return [layers.Conv2D(channels, side, padding=padding), layers.BatchNormalization(), layers.ReLU()]

    arrays, test_arrays = Arrays.of(train), Arrays.of(test)
    x, test_x = (np.moveaxis(each.images, 1, -1) for each in (arrays, test_arrays))
    first = [keras.Input(x.shape[1:]), *convolution(16, 5, "same"), layers.MaxPooling2D()]
    second = [*convolution(32, 3), *convolution(64, 3), layers.MaxPooling2D()]
    model = keras.Sequential([*first, *second, layers.Flatten(), layers.Dense(10, dtype="float32")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(LR), loss=loss)
    if backend == "jax":  # a whole batch, and the shorter one at an epoch's end
        few = NOTEBOOK_BATCH + len(x) % NOTEBOOK_BATCH
        model.fit(x[:few], arrays.labels[:few], batch_size=NOTEBOOK_BATCH, epochs=1, verbose=0)
    model.fit(x, arrays.labels, batch_size=NOTEBOOK_BATCH, epochs=epochs, callbacks=[Clock()])


def fittingroom_float32(train: Dataset, test: Dataset, epochs: int, clock: EpochClock) -> None:
    """``fittingroom train --recipe tutorial``."""
    _fittingroom(train, test, epochs, clock, "float32")


def fittingroom_auto(train: Dataset, test: Dataset, epochs: int, clock: EpochClock) -> None:
    """``fittingroom train --recipe tutorial --set precision=auto``."""
    _fittingroom(train, test, epochs, clock, "auto")


def _fittingroom(train: Dataset, test: Dataset, epochs: int, clock: EpochClock, precision: str) -> None:
    import fittingroom as fr
    from fittingroom.events import EpochDone, Event, TrainingStarted
    from fittingroom.recipes.changes import with_epochs

    def observe(event: Event) -> None:
        if isinstance(event, TrainingStarted):
            clock.start()
        elif isinstance(event, EpochDone):
            clock.stop(lambda: float("nan"))
            clock.start()

    recipe = with_epochs(fr.load_recipe("tutorial", overrides=[f"precision='{precision}'"]), epochs)
    with tempfile.TemporaryDirectory() as folder:
        run = fr.train(train, recipe, out=Path(folder) / "run", observe=observe)
        if clock.judge_epochs:  # only the last weights are there to be judged
            artifact = run.artifact
            scores = judge(predict_dataset(artifact.network(), test, artifact.normalization), test).scores()
            clock.accuracies[-1] = scores["accuracy"]


def _same(program: Program, **settings: object) -> Program:
    """A peer with our settings: the allocator's are those of the whole process, which runs this one program."""

    def run(train: Dataset, test: Dataset, epochs: int, clock: EpochClock) -> None:
        if not keep_freed_memory():
            raise RuntimeError("glibc expected, and FITTINGROOM_MALLOC not set: the allocator can't be made the same")
        program(train, test, epochs, clock, **settings)

    return run


PROGRAMS: dict[str, Program] = {
    "notebook": notebook,
    "Lightning": lightning,
    "skorch": skorch,
    "fastai": fastai,
    "Keras on torch": keras,
    "Keras on JAX": partial(keras, backend="jax"),
    "fittingroom float32": fittingroom_float32,
    "fittingroom auto": fittingroom_auto,
}
SAME: dict[str, Program] = {
    "Lightning, same settings": _same(lightning, network=SameNetwork),
    "skorch, same settings": _same(skorch, network=SameNetwork),
    "fastai, same settings": _same(fastai, network=SameNetwork),
    "Keras on torch, same settings": _same(keras, policy="mixed_bfloat16"),
    "Keras on JAX, same settings": _same(keras, policy="mixed_bfloat16", backend="jax"),
}
