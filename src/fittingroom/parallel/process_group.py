"""One training on many processes, which torchrun started: who this one is, and sums over all of them.

Every process holds the whole model and takes its part of every batch. What they compute is summed, and a sum has the
same bits in every process, so the weights stay equal without being sent. The process of rank 0, the *writer*, alone
reads and writes the run's folder and speaks; the others learn from it what they need, so hosts need no common disk.

Nothing here is loaded, and nothing sent, where a training has one process.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fittingroom.errors import AnotherFailed, Interrupted, ProcessLost, RecipeError, TrainingDiverged

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

TIMEOUT = 600.0  # seconds; the slowest host may have to fetch its data while the others wait
MEETING_SECONDS = 0.05  # between two looks at who is there
STORE_SECONDS = 5.0  # to ask who failed first; a link that is cut gives no answer


@dataclass(frozen=True, kw_only=True)
class Group:
    """The processes of one training.

    Attributes:
        rank: this process's number, 0 for the writer.
        size: how many there are.
        timeout: seconds after which a process that others wait for is given up.
    """

    rank: int = 0
    size: int = 1
    timeout: float = TIMEOUT

    @property
    def is_writer(self) -> bool:
        """Whether this process reads and writes the run's folder, and speaks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's share of ``count`` examples, in their order; the first processes may have one more."""
        least, longer = divmod(count, self.size)
        start = self.rank * least + min(self.rank, longer)
        return slice(start, start + least + (self.rank < longer))

    def check_batch(self, batch_size: int) -> None:
        """Raise :class:`RecipeError` where a whole batch can't be cut evenly, so that each step waits for no one."""
        if batch_size % self.size:
            fitting = [str(n) for n in range(1, batch_size + 1) if batch_size % n == 0]
            shown = fitting if len(fitting) < 10 else [*fitting[:8], "…", fitting[-1]]
            raise RecipeError(
                f"batch_size: a number that {self.size} processes divide evenly expected, {batch_size:,} found. "
                f"Start {', '.join(shown)} processes, or a new run with --set batch_size=N"
            )

    def add_up(self, tensors: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        """Put in place of each tensor its sum over all processes, and return the sums of the numbers.

        It is one message, in float32, and every process receives the same bits.

        Raises:
            ProcessLost: another process has ended, or gave no answer within the timeout.
        """
        if self.size == 1:
            return list(numbers)
        import torch
        from torch import distributed

        device = tensors[0].device if tensors else None
        message = torch.cat(
            [*(tensor.flatten().float() for tensor in tensors), torch.tensor(numbers, device=device).float()]
        )
        with self._waiting():
            distributed.all_reduce(message)
        *sums, summed_numbers = message.split([*(tensor.numel() for tensor in tensors), len(numbers)])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view(tensor.shape))
        return [float(number) for number in summed_numbers.tolist()]

    def from_writer(self, make: Callable[[], Any]) -> Any:
        """What ``make`` returns in the writer, which alone calls it: JSON values.

        Raises:
            AnotherFailed: ``make`` failed in the writer, where its own error is raised.
            ProcessLost: as for :meth:`add_up`.
        """
        if self.size == 1:
            return make()
        return json.loads(self.bytes_from_writer(lambda: json.dumps(make()).encode()))

    def bytes_from_writer(self, make: Callable[[], bytes]) -> bytes:
        """As :meth:`from_writer`, for bytes."""
        if self.size == 1:
            return make()
        import torch

        if self.is_writer:
            try:
                data = make()
            except BaseException:
                self._broadcast(torch.tensor([-1]))
                raise
            self._broadcast(torch.tensor([len(data)]))
            self._broadcast(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            return data
        size = torch.zeros(1, dtype=torch.int64)
        self._broadcast(size)
        if size < 0:
            raise AnotherFailed("the process of rank 0 failed, and says why")
        content = torch.empty(int(size), dtype=torch.uint8)
        self._broadcast(content)
        return content.numpy().tobytes()

    @contextmanager
    def one_of_each_host_first(self) -> Iterator[None]:
        """Run the block in one process of each host, then in the others: what it fetched into the cache is there."""
        waits = int(os.environ.get("LOCAL_RANK", 0)) > 0
        if waits:
            self.add_up((), [0.0])
        yield
        if not waits:
            self.add_up((), [0.0])

    def _broadcast(self, tensor: Tensor) -> None:
        from torch import distributed

        with self._waiting():
            distributed.broadcast(tensor, src=0)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """PyTorch's errors of communication, each of which is a RuntimeError, become one that says what happened."""
        try:
            yield
        except RuntimeError as error:
            raise _lost(f"process {self.rank} of {self.size}", self.timeout, error) from error


ALONE = Group()

_joined: Group | None = None  # PyTorch's process group, too, is one for the whole process


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Group]:
    """The group that torchrun put this process into; ``ALONE`` where there is no other. Nested, the one that is there.

    Where several processes fail, the first leaves the block with its error, or the writer where all end after the same
    step, and the others leave it with :class:`AnotherFailed`: one message is shown.

    Args:
        timeout: seconds that any process waits for another, > 0.

    Raises:
        ProcessLost: the others were not there within the timeout.
    """
    global _joined
    if _joined is not None or processes() == 1:
        yield _joined or ALONE
        return
    from torch import distributed

    store = _meet(timeout)
    _joined = Group(rank=distributed.get_rank(), size=distributed.get_world_size(), timeout=timeout)
    try:
        yield _joined
    except AnotherFailed:
        raise
    except BaseException as error:
        together = isinstance(error, (Interrupted, TrainingDiverged))  # all end so after the same step
        if not (_joined.is_writer if together else _is_first_to_fail(store)):
            raise AnotherFailed("another process failed first, and says why") from error
        raise
    finally:
        distributed.destroy_process_group()
        _joined = None


def processes() -> int:
    """How many processes the training has, by the environment that torchrun makes; 1 without it."""
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in needed) else 1


def launcher() -> str:
    """What stands before ``fittingroom`` in a command that starts as many processes again; empty for one."""
    if processes() == 1:
        return ""
    hosts = int(os.environ.get("GROUP_WORLD_SIZE", 1))
    nodes = f"--nnodes {hosts} " if hosts > 1 else ""
    return f"torchrun {nodes}--nproc-per-node {os.environ.get('LOCAL_WORLD_SIZE', 1)} -m "


def torchrun_job() -> str | None:
    """The name of torchrun's job, the same after each restart: ``--rdzv-id``, or one that torchrun made up."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


def is_own_job(job: str | None) -> bool:
    """Whether what ``job`` began is for this process to go on with: torchrun has restarted it.

    With the rendezvous ``static`` all jobs are called ``none``; there, the count of restarts must tell.
    """
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    return job is not None and job == torchrun_job() and (job != "none" or restarted)


def _meet(timeout: float) -> Store:
    """Form PyTorch's process group: gloo for tensors on the CPU, NCCL for those on CUDA. Returns its store."""
    import torch
    import torch.distributed.nn.functional  # see below
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    # That module's functions have the process group as a default argument. Whatever loads it while there is a group, as
    # an optimizer does, keeps the group for ever; its threads then go on beside Python's end, and may abort it.
    card = int(os.environ.get("LOCAL_RANK", 0))
    if card < torch.cuda.device_count():
        torch.cuda.set_device(card)  # what `cuda` then means in this process
    limit = timedelta(seconds=timeout)
    try:
        found: tuple[Store, int, int] = next(rendezvous("env://", timeout=limit))
        store, rank, size = found
        store = _part_of_this_start(store, rank, size, timeout)
        distributed.init_process_group(store=store, rank=rank, world_size=size, timeout=limit)
    except RuntimeError as error:
        raise _lost(f"process {os.environ['RANK']} of {processes()}, at the start", timeout, error) from error
    return store


def _part_of_this_start(store: Store, rank: int, size: int, timeout: float) -> Store:
    """The part of torchrun's store that these processes alone use.

    torchrun keeps one store over all restarts, with the addresses of the processes that are gone, and its count of
    restarts may differ between hosts. So each process draws a name, and they go on when all have seen the same names.

    Raises RuntimeError where they don't within the timeout.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    names, seen = ([f"fittingroom/{what}/{i}" for i in range(size)] for what in ("name", "seen"))
    limit = time.monotonic() + timeout
    store.set(names[rank], secrets.token_hex(16))
    while True:
        start = hashlib.sha256(b"".join(store.multi_get(names))).hexdigest()  # waits until all have one
        store.set(seen[rank], start)
        if set(store.multi_get(seen)) == {start.encode()}:
            return PrefixStore(start, store)
        if time.monotonic() > limit:
            raise RuntimeError("timed out waiting for processes that see each other")
        time.sleep(MEETING_SECONDS)


def _is_first_to_fail(store: Store) -> bool:
    """Ask the store, which torchrun itself keeps. Where it gives no answer, nobody may have spoken: yes.

    In a thread, because the question itself has no timeout.
    """
    counts: list[int] = []

    def ask() -> None:
        try:
            counts.append(store.add("fittingroom/failures", 1))
        except RuntimeError:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(STORE_SECONDS)
    return counts in ([], [1])


def _lost(who: str, timeout: float, error: RuntimeError) -> ProcessLost:
    reason = str(error).strip().splitlines()[0]
    if ("timed out" in reason.lower() or "timeout" in reason.lower()) and "refused" not in reason.lower():
        return ProcessLost(
            f"{who}: no answer from another process within {timeout:g} s (--timeout): it hangs, or the network "
            f"between them does ({reason})"
        )
    return ProcessLost(f"{who}: another process ended, or the network between them did ({reason})")
