"""One training on many processes, which torchrun started: who this one is, and sums over all of them.

Every process holds the whole model and takes its shard of every batch. What they compute is summed, and a sum has the
same bits in every process, so the weights stay equal without being sent. The process of rank 0, the *main* process,
alone reads and writes the run's folder and speaks; the others learn from it what they need, so hosts need no common
disk.

Whoever opens the group (:func:`process_group`) passes it on; no function asks for it behind its caller's back. PyTorch
is not loaded, and nothing is sent, where a training has one process.
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

from fittingroom.errors import FittingRoomError, Interrupted, PeerFailed, PeerLost, RecipeError, TrainingDiverged

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

TIMEOUT = 600.0  # seconds; the slowest host may have to fetch its data while the others wait
MEETING_SECONDS = 0.05  # between two questions who is there
STORE_SECONDS = 5.0  # to ask who failed first; a link that is cut gives no answer


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """The processes of one training.

    Attributes:
        rank: this process's number, 0 for the main process.
        size: how many there are.
        timeout: seconds after which a process that others wait for is given up.
    """

    rank: int = 0
    size: int = 1
    timeout: float = TIMEOUT

    @property
    def is_main(self) -> bool:
        """Whether this process reads and writes the run's folder, and speaks."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """This process's share of ``count`` examples, in their order; the first processes may have one more."""
        least, longer = divmod(count, self.size)
        start = self.rank * least + min(self.rank, longer)
        return slice(start, start + least + (self.rank < longer))

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that can't be split evenly: in each step, the processes with less to do would wait.

        Raises:
            RecipeError: ``batch_size`` is no multiple of the number of processes.
        """
        if batch_size % self.size:
            fitting = [str(n) for n in range(1, batch_size + 1) if batch_size % n == 0]
            shown = fitting if len(fitting) < 10 else [*fitting[:8], "…", fitting[-1]]
            raise RecipeError(
                f"batch_size: a number that {self.size} processes divide evenly expected, {batch_size:,} found. "
                f"Start {', '.join(shown)} processes, or a new run with another batch_size"
            )

    def all_reduce(self, tensors: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        """Put in place of each tensor its sum over all processes, and return the sums of the numbers.

        It is one message, in float32, and every process receives the same bits. An average would be divided by the
        number of processes; shards may differ in length, so callers divide by the examples of the whole batch instead.

        Raises:
            PeerLost: another process has ended, or gave no answer within the timeout.
        """
        if self.size == 1:
            return list(numbers)
        import torch
        from torch import distributed

        # One message in place of one a tensor: a small network has many, and each message waits for the network once.
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

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Give every process what ``make`` returns in the main process, which alone calls it: JSON values.

        Raises:
            PeerFailed: ``make`` failed in the main process, where its own error is raised.
            PeerLost: as for :meth:`all_reduce`.
        """
        if self.size == 1:
            return make()
        return json.loads(self.broadcast_bytes(lambda: json.dumps(make()).encode()))

    def broadcast_bytes(self, make: Callable[[], bytes]) -> bytes:
        """Give every process the bytes that ``make`` returns in the main process; errors as for :meth:`broadcast`."""
        if self.size == 1:
            return make()
        import torch

        # The length goes first, so that the others can allocate; -1 says that there is nothing to wait for.
        if self.is_main:
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
            raise PeerFailed("the process of rank 0 failed, and says why")
        content = torch.empty(int(size), dtype=torch.uint8)
        self._broadcast(content)
        return content.numpy().tobytes()

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """Run the block in one process of each host, then in the others: what it fetched into the cache is there."""
        # A sum over all processes is a barrier: the first of each host enters it after its block, the rest before.
        waits = _number("LOCAL_RANK", 0) > 0
        if waits:
            self.all_reduce((), [0.0])
        yield
        if not waits:
            self.all_reduce((), [0.0])

    def _broadcast(self, tensor: Tensor) -> None:
        from torch import distributed

        with self._waiting():
            distributed.broadcast(tensor, src=0)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Turn PyTorch's errors of communication, each of which is a RuntimeError, into one that says what happened."""
        try:
            yield
        except RuntimeError as error:
            raise _lost(f"process {self.rank} of {self.size}", self.timeout, error) from error


ALONE = ProcessGroup()


@contextmanager
def process_group(timeout: float = TIMEOUT) -> Iterator[ProcessGroup]:
    """Join the group that torchrun put this process into for the length of the block; ``ALONE`` without torchrun.

    Where several processes fail, the first leaves the block with its error, or the main process where all end after the
    same step, and the others leave it with :class:`PeerFailed`: one message is shown.

    Args:
        timeout: seconds that any process waits for another, > 0.

    Raises:
        PeerLost: the others were not there within the timeout.
    """
    if processes() == 1:
        yield ALONE
        return
    from torch import distributed

    # Who fails first is agreed on by torchrun's store: PyTorch's group may be what has failed.
    store = _meet(timeout)
    group = ProcessGroup(rank=distributed.get_rank(), size=distributed.get_world_size(), timeout=timeout)
    try:
        yield group
    except PeerFailed:
        raise
    except BaseException as error:
        # Ctrl-C and divergence end all processes after the same step, and there is no race for who was first.
        together = isinstance(error, (Interrupted, TrainingDiverged))
        speaks = group.is_main if together else _is_first_to_fail(store)
        if not speaks:
            raise PeerFailed("another process failed first, and says why") from error
        raise
    finally:
        distributed.destroy_process_group()


def processes() -> int:
    """Count the processes of the training by the environment that torchrun makes; 1 without it."""
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return _number("WORLD_SIZE", 1, least=1) if all(name in os.environ for name in needed) else 1


def _number(variable: str, otherwise: int, *, least: int = 0) -> int:
    """A number that torchrun puts into the environment. Raises FittingRoomError where it is none."""
    said = os.environ.get(variable, str(otherwise))
    if not (said.isdecimal() and len(said) < 8 and int(said) >= least):
        raise FittingRoomError(
            f"${variable}: a whole number from {least} on expected, as torchrun sets it, {said[:40]!r} found: start it "
            "by torchrun, or unset RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for one process"
        )
    return int(said)


def launcher() -> str:
    """What stands before ``fittingroom`` in a command that starts as many processes again; empty for one."""
    if processes() == 1:
        return ""
    hosts = _number("GROUP_WORLD_SIZE", 1)
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
    """Form PyTorch's process group, gloo for tensors on the CPU and NCCL for those on CUDA, and return its store."""
    import torch

    # Loaded before there is a group, because functions of this module have the group as a default argument. Whatever
    # loads it later, as an optimizer does, keeps the group for ever; its threads then go on beside Python's end, and
    # may abort it.
    import torch.distributed.nn.functional
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    gpu = _number("LOCAL_RANK", 0)
    _refuse_no_place()
    if gpu < torch.cuda.device_count():
        torch.cuda.set_device(gpu)  # what `cuda` then means in this process

    limit = timedelta(seconds=timeout)
    try:
        meeting: tuple[Store, int, int] = next(rendezvous("env://", timeout=limit))
        store, rank, size = meeting
        store = _store_of_this_start(store, rank, size, timeout)
        distributed.init_process_group(store=store, rank=rank, world_size=size, timeout=limit)
    except RuntimeError as error:
        raise _lost(f"process {os.environ['RANK']} of {processes()}, at the start", timeout, error) from error
    return store


def _refuse_no_place() -> None:
    """Raise FittingRoomError where the environment names no place at which the processes could meet."""
    if _number("RANK", 0) >= (size := processes()):
        raise FittingRoomError(
            f"$RANK: a number of 0 to {size - 1} expected, as there are {size} processes, {os.environ['RANK']} found"
        )
    if not os.environ["MASTER_ADDR"]:
        raise FittingRoomError("$MASTER_ADDR: the address of the first process expected, an empty text found")
    _number("MASTER_PORT", 0)


def _store_of_this_start(store: Store, rank: int, size: int, timeout: float) -> Store:
    """The part of torchrun's store that these processes alone use.

    torchrun keeps one store over all restarts, with the addresses of the processes that are gone, and its count of
    restarts may differ between hosts. So each process draws a name, and they go on when all have seen the same names.

    Raises:
        RuntimeError: they have not within the timeout.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    names, seen = ([f"fittingroom/{what}/{i}" for i in range(size)] for what in ("name", "seen"))
    limit = time.monotonic() + timeout
    store.set(names[rank], secrets.token_hex(16))

    # A process of the last start may have left its name; it is overwritten when its successor arrives, so look again.
    while True:
        start = hashlib.sha256(b"".join(store.multi_get(names))).hexdigest()  # waits until all have one
        store.set(seen[rank], start)
        if set(store.multi_get(seen)) == {start.encode()}:
            return PrefixStore(start, store)
        if time.monotonic() > limit:
            raise RuntimeError("timed out waiting for processes that see each other")
        time.sleep(MEETING_SECONDS)


def _is_first_to_fail(store: Store) -> bool:
    """Ask the store, which torchrun itself keeps. Where it gives no answer, nobody may have spoken: yes."""
    counts: list[int] = []

    def ask() -> None:
        try:
            counts.append(store.add("fittingroom/failures", 1))
        except RuntimeError:
            return

    thread = threading.Thread(target=ask, daemon=True)  # the question itself has no timeout
    thread.start()
    thread.join(STORE_SECONDS)
    return counts in ([], [1])


def _lost(who: str, timeout: float, error: RuntimeError) -> PeerLost:
    reason = str(error).strip().splitlines()[0]
    if ("timed out" in reason.lower() or "timeout" in reason.lower()) and "refused" not in reason.lower():
        return PeerLost(
            f"{who}: no answer from another process within {timeout:g} s, the timeout: it hangs, or the network "
            f"between them does ({reason})"
        )
    return PeerLost(f"{who}: another process ended, or the network between them did ({reason})")
