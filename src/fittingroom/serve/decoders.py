"""Pictures are decoded by processes of their own, few at a time.

One that takes too long, or whose sender left, is ended. A small file may hold a picture that takes minutes or gigabytes
to decode. A thread that is at it can't be stopped; a process can, and the system bounds its memory.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from fittingroom.predict.classifier import Classifier
from fittingroom.serve import decoder_process
from fittingroom.serve.guard import Refused

PROGRAM = "from fittingroom.serve.decoder_process import main; main()"
START_SECONDS = 30.0
LOOK_SECONDS = 0.5  # after which it is looked whether the sender is still there, and again


class Decoders:
    """Up to ``count`` processes. Use within a running event loop, as an asynchronous context manager.

    Args:
        count: pictures that are decoded at a time.
        most_waiting: pictures that may wait for their turn, those at work included.
    """

    def __init__(self, count: int = 2, most_waiting: int = 32):
        self.count, self.most_waiting, self.waiting = count, most_waiting, 0
        self._turn = asyncio.Semaphore(count)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def __aenter__(self) -> Decoders:
        self._first = asyncio.create_task(self._start_first())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._first, return_exceptions=True)
        for process in list(self._all):
            await self._end(process)

    async def image_of(
        self, content: bytes, model: Classifier, has_left: Callable[[], Awaitable[bool]]
    ) -> NDArray[np.uint8]:
        """The image uint8 (H, W) or (H, W, 3) that a model takes, from the bytes of a picture.

        Args:
            content: as the client sent it.
            model: whose images it is to be like.
            has_left: says whether the client is gone, so that nobody waits for the image.

        Raises:
            Refused: 400 for what is no picture or takes too long, 503 where too many wait already.
            ClientDisconnect: the client is gone.
        """
        # A bound on those that wait for their turn, each with its bytes in memory.
        if self.waiting >= self.most_waiting:
            raise Refused(503, "busy: too many pictures are waiting to be decoded", {"Retry-After": "1"})
        self.waiting += 1
        work = asyncio.create_task(self._in_turn(content, model))
        try:
            while not (await asyncio.wait({work}, timeout=LOOK_SECONDS))[0]:
                if await has_left():
                    raise ClientDisconnect
            return work.result()
        finally:
            self.waiting -= 1
            work.cancel()

    async def _in_turn(self, content: bytes, model: Classifier) -> NDArray[np.uint8]:
        async with self._turn:
            if not self._idle:
                await asyncio.wait({self._first})  # it may be about to be ready
            process = self._idle.pop() if self._idle else await self._start()

            # After a refusal the decoder is as good as before; after anything else, nobody knows what it is busy with.
            try:
                async with asyncio.timeout(decoder_process.SECONDS):
                    image = await _ask(process, content, model)
                self._idle.append(process)
                return image
            except Refused:
                self._idle.append(process)
                raise
            except TimeoutError:
                seconds = f"{decoder_process.SECONDS:g} seconds"
                raise Refused(
                    400, f"the picture: one that is decoded within {seconds} expected: make it smaller"
                ) from None
            except (asyncio.IncompleteReadError, ConnectionError):  # its decoder crashed, or the system ended it
                raise Refused(400, "the picture: a picture expected, one that ends its decoder found") from None
            finally:
                if process not in self._idle:
                    await asyncio.shield(self._end(process))

    async def _start_first(self) -> None:
        """Have one ready before the first picture comes."""
        with suppress(OSError, Refused):
            self._idle.append(await self._start())

    async def _start(self) -> Process:
        # What this process imports from, and not the folder in which it was started; without what is nobody's business.
        env = {key: value for key, value in os.environ.items() if key != "FITTINGROOM_API_KEY"}
        env |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=env
            )
        except OSError:  # the system has no more processes, open files or memory for this one
            raise _no_decoder() from None
        self._all.add(process)
        assert process.stdout is not None

        # A picture's time begins when there is somebody to decode it.
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.stdout.readexactly(len(decoder_process.READY))
        except (TimeoutError, asyncio.IncompleteReadError):
            await self._end(process)
            raise _no_decoder() from None
        except asyncio.CancelledError:
            await asyncio.shield(self._end(process))
            raise
        return process

    async def _end(self, process: Process) -> None:
        self._all.discard(process)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _no_decoder() -> Refused:
    return Refused(503, "busy: no process to decode pictures can be started", {"Retry-After": "1"})


async def _ask(process: Process, content: bytes, model: Classifier) -> NDArray[np.uint8]:
    """One picture through one process. Raises Refused, or an error where the process ends or fails."""
    assert process.stdin is not None
    assert process.stdout is not None
    background = int(np.mean(model.background))  # only the conversion of product photos asks for it
    process.stdin.write(decoder_process.encode(model.artifact.preprocessing.as_dict(), background, content))
    await process.stdin.drain()

    kind, size = decoder_process.ANSWER.unpack(await process.stdout.readexactly(decoder_process.ANSWER.size))
    answer = await process.stdout.readexactly(size)
    if kind == decoder_process.REFUSED:
        raise Refused(400, answer.decode())
    if kind != decoder_process.IMAGE:
        raise RuntimeError(f"a picture could not be decoded:\n{answer.decode(errors='replace')}")
    shape = decoder_process.SHAPE.unpack_from(answer)
    pixels = np.frombuffer(answer, np.uint8, offset=decoder_process.SHAPE.size)
    return pixels.reshape(shape if shape[2] == 3 else shape[:2])
