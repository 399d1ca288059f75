"""Requests are gathered while the model works; what waits is bounded; each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from fittingroom.predict.classifier import Classified
from fittingroom.serve.batcher import Batcher
from fittingroom.serve.guard import Refused


class Model:
    """Answers with each image's first pixel, when it is let; keeps the sizes of the batches."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.batches: list[int] = []

    def classify(self, images: NDArray[np.uint8]) -> Classified:
        assert self.may_answer.wait(10)
        self.batches.append(len(images))
        if (images == 255).any():
            raise ValueError("255 is too much")
        labels = images[:, 0, 0].astype(np.int64)
        return Classified(np.zeros((len(images), 2), np.float32), labels, None)


def image(value: int, count: int = 1) -> NDArray[np.uint8]:
    return np.full((count, 4, 4), value, np.uint8)


def test_what_comes_while_the_model_works_is_one_batch_and_each_gets_its_own_answer() -> None:
    async def scenario(model: Model) -> None:
        async with Batcher(model.classify) as batcher:
            first = asyncio.create_task(batcher.classify(image(7)))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(batcher.classify(image(i, 1 + i % 3))) for i in range(20)]
            await asyncio.sleep(0.05)

            model.may_answer.set()
            assert (await first).labels.tolist() == [7]
            for i, answer in enumerate(rest):
                assert (await answer).labels.tolist() == [i] * (1 + i % 3)

    model = Model()
    asyncio.run(scenario(model))
    assert model.batches == [1, sum(1 + i % 3 for i in range(20))]


def test_a_batch_has_a_largest_size_and_a_larger_request_is_one_of_its_own() -> None:
    async def scenario(model: Model) -> None:
        async with Batcher(model.classify, largest=10) as batcher:
            tasks = [asyncio.create_task(batcher.classify(image(1, n))) for n in (1, 4, 4, 4, 25, 3)]
            await asyncio.sleep(0.05)
            model.may_answer.set()
            await asyncio.gather(*tasks)

    model = Model()
    asyncio.run(scenario(model))
    assert model.batches in ([1, 8, 4, 25, 3], [9, 4, 25, 3])


def test_beyond_the_bound_requests_are_turned_away_at_once_and_later_taken_again() -> None:
    async def scenario(model: Model) -> None:
        async with Batcher(model.classify, most_waiting=5) as batcher:
            taken = [asyncio.create_task(batcher.classify(image(1)))]
            await asyncio.sleep(0.05)  # at work, no longer waiting
            taken += [asyncio.create_task(batcher.classify(image(1))) for _ in range(5)]
            await asyncio.sleep(0.05)

            with pytest.raises(Refused) as refused:
                await batcher.classify(image(1))
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")

            model.may_answer.set()
            await asyncio.gather(*taken)
            assert batcher.waiting == 0
            await batcher.classify(image(1, 5))

    asyncio.run(scenario(Model()))


def test_a_failure_is_the_answer_to_its_batch_and_ends_nothing_else() -> None:
    async def scenario(model: Model) -> None:
        model.may_answer.set()
        async with Batcher(model.classify) as batcher:
            with pytest.raises(ValueError, match="too much"):
                await batcher.classify(image(255))
            assert (await batcher.classify(image(3))).labels.tolist() == [3]

    asyncio.run(scenario(Model()))


def test_a_failure_of_one_request_is_no_answer_to_the_others_of_its_batch() -> None:
    async def scenario(model: Model) -> None:
        async with Batcher(model.classify) as batcher:
            first = asyncio.create_task(batcher.classify(image(7)))
            await asyncio.sleep(0.05)
            before, bad, after = [asyncio.create_task(batcher.classify(image(value))) for value in (8, 255, 9)]
            await asyncio.sleep(0.05)
            model.may_answer.set()
            assert [(await task).labels.tolist() for task in (first, before, after)] == [[7], [8], [9]]
            with pytest.raises(ValueError, match="255 is too much"):
                await bad

    model = Model()
    asyncio.run(scenario(model))
    assert model.batches == [1, 3, 1, 1, 1]


def test_who_has_left_is_not_computed_for() -> None:
    async def scenario(model: Model) -> None:
        async with Batcher(model.classify) as batcher:
            first = asyncio.create_task(batcher.classify(image(1)))
            await asyncio.sleep(0.05)
            gone, stays = (asyncio.create_task(batcher.classify(image(i))) for i in (2, 3))
            await asyncio.sleep(0.05)
            gone.cancel()
            await asyncio.sleep(0.05)

            model.may_answer.set()
            await asyncio.gather(first, stays)
            assert batcher.waiting == 0

    model = Model()
    asyncio.run(scenario(model))
    assert model.batches == [1, 1]


@pytest.mark.parametrize(("seconds", "on_the_spot"), [(0, True), (0.02, False)])
def test_only_a_quick_model_may_hold_up_the_server(seconds: float, on_the_spot: bool) -> None:
    threads: list[str] = []

    def classify(images: NDArray[np.uint8]) -> Classified:
        threads.append(threading.current_thread().name)
        time.sleep(seconds)
        return Classified(np.zeros((len(images), 2), np.float32), np.zeros(len(images), np.int64), None)

    async def scenario() -> None:
        async with Batcher(classify) as batcher:
            for _ in range(40):
                await batcher.classify(image(0))

    asyncio.run(scenario())
    assert threads[0].startswith("model")  # whether it is quick is not known yet
    assert ("MainThread" in threads) == on_the_spot
