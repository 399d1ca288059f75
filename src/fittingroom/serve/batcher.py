"""Requests that come while the model is at work wait together and are computed as one batch.

A server that is idle answers at once: nothing waits for company that may not come. One that is busy gathers what comes
in the few milliseconds that a batch takes. What waits is bounded; beyond that, requests are turned away.

A batch that takes less time than handing it to another thread is computed on the spot.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.predict.classifier import Classified
from fittingroom.serve.guard import Refused

Images = NDArray[np.uint8]
QUICK_SECONDS = 0.0005  # for which the event loop may be held up


@dataclass
class _Waiting:
    """A request in the queue."""

    images: Images
    answer: asyncio.Future[Classified]


class Batcher:
    """One model's queue. Use within a running event loop, as an asynchronous context manager.

    Args:
        classify: uint8 (N, H, W[, 3]) → what the model says. One call at a time; in a thread of its own unless it is
            quick.
        most_waiting: images that may wait.
        largest: images in one batch; a request of more is a batch of its own.
        observe: receives the number of images of each batch.
    """

    def __init__(
        self,
        classify: Callable[[Images], Classified],
        *,
        most_waiting: int = 2_000,
        largest: int = 200,
        observe: Callable[[int], None] = lambda _: None,
    ):
        self._classify, self._observe = classify, observe
        self.most_waiting, self.largest = most_waiting, largest
        self.waiting = 0
        self._queue: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self._seconds_an_image = float("inf")  # as measured of late
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def __aenter__(self) -> Batcher:
        self._work = asyncio.create_task(self._work_off())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self._thread.shutdown()

    async def classify(self, images: Images) -> Classified:
        """What the model says of these images, uint8 (N, H, W[, 3]).

        Raises:
            Refused: 503, too many wait already.
        """
        if self.waiting + len(images) > self.most_waiting:
            raise Refused(503, f"busy: {self.waiting:,} images are waiting already; try again", {"Retry-After": "1"})
        waiting = _Waiting(images, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self.waiting += len(images)
        self._came.set()
        return await waiting.answer

    async def _work_off(self) -> None:
        """Compute what waits, batch by batch, for as long as the batcher is open."""
        while True:
            await self._came.wait()
            batch = self._next_batch()
            if not batch:
                self._came.clear()
                continue

            await self._answer(batch)

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Compute a batch, and give each request its own rows."""
        try:
            images = batch[0].images if len(batch) == 1 else np.concatenate([each.images for each in batch])
            classified = await self._compute(images)
        except Exception as error:  # whatever it is, it is the answer to these requests and not the end of the work
            if len(batch) > 1:  # it may be one request's alone, and the others are strangers to it
                for waiting in batch:
                    await self._answer([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self._observe(len(images))

        # Each gets its own rows back; whose sender left meanwhile is done already.
        start = 0
        for waiting in batch:
            stop = start + len(waiting.images)
            if not waiting.answer.done():
                waiting.answer.set_result(classified.subset(slice(start, stop)))
            start = stop

    async def _compute(self, images: Images) -> Classified:
        """Classify on the spot where that is quick, else in the model's thread."""
        if len(images) * self._seconds_an_image <= QUICK_SECONDS:
            return self._measured(images)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._measured, images)

    def _measured(self, images: Images) -> Classified:
        """Classify, and note how long the model took; what a busy machine takes to switch threads isn't the model's."""
        start = time.perf_counter()
        classified = self._classify(images)

        # A running mean: one slow batch, beside another program, doesn't make the model a slow one.
        seconds, before = (time.perf_counter() - start) / len(images), self._seconds_an_image
        self._seconds_an_image = seconds if before == float("inf") else 0.8 * before + 0.2 * seconds
        return classified

    def _next_batch(self) -> list[_Waiting]:
        """The requests that go next, in the order in which they came; without those whose sender has left."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].images) <= self.largest):
            first = self._queue.popleft()
            self.waiting -= len(first.images)
            if not first.answer.done():
                batch.append(first)
                size += len(first.images)
        return batch
