"""Persistent processes that roll out and train, one torch thread each.

Started by spawn (Lance and torch threads don't survive a fork), kept for a whole training so that imports are paid
once. Gradients are summed through shared memory: every process writes its row, waits, and sums all rows in rank order,
so all see the same bits; on one machine that is quicker than sockets and needs no port. A task is a module-level
function `(Worker, payload) -> result`. With one process everything runs in the caller and nothing is started.
"""

import logging
import multiprocessing as mp
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol, Self, TypeVar

import numpy as np
import torch

from schemas.errors import FaultlineError, TrainerError

P = TypeVar("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
    ":glibc.malloc.top_pad=67108864"
}
"""Environment of the workers: freed memory stays theirs, in large pages. Tensors of some megabytes otherwise go back to
the system and come again page by page, which was half of the time of a training step; other systems ignore it."""
REDUCE_TIMEOUT_S = 600.0
"""Longest wait for the slower process at one reduction."""


class Reducer(Protocol):
    """Sums a vector over all processes, in place."""

    def sum_(self, vector: torch.Tensor) -> None:
        """Replace the vector by the sum over processes."""
        ...


class LocalReducer:
    """One process: the sum is the vector."""

    def sum_(self, vector: torch.Tensor) -> None:
        """Leave the vector as it is."""


class SharedReducer:
    """Sum through a shared array of [2, n_processes, size] floats.

    Two halves in turn: a process that is already at its next reduction writes the other half, which all have left,
    so one barrier per sum is enough.
    """

    def __init__(self, shared: object, size: int, barrier: object, rank: int, n_processes: int) -> None:
        """Wrap the shared array as numpy."""
        flat = np.frombuffer(shared, np.float32)  # type: ignore[call-overload]
        self.rows = torch.from_numpy(flat.reshape(2, n_processes, size))
        self.barrier, self.rank, self.turn = barrier, rank, 0

    def sum_(self, vector: torch.Tensor) -> None:
        """Replace the vector (float32, at most `size` long) by the sum over processes."""
        half = self.rows[self.turn, :, : vector.numel()]
        self.turn = 1 - self.turn
        half[self.rank].copy_(vector)
        try:
            self.barrier.wait(REDUCE_TIMEOUT_S)  # type: ignore[attr-defined]
        except threading.BrokenBarrierError as error:
            raise TrainerError(
                f"worker[{self.rank}]: expected all processes at the reduction, got a broken barrier; another worker "
                "failed or was killed, see its error"
            ) from error
        torch.sum(half, dim=0, out=vector)


@dataclass
class Worker:
    """What a task sees of the process it runs in."""

    rank: int
    n_processes: int
    reducer: Reducer
    send: Callable[[object], None]
    """Gives the caller a picklable message while the task runs."""
    memory: dict[str, object] = field(default_factory=dict)
    """What one task leaves for a later one in the same process (weights, optimizer)."""


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Hold environment variables for processes that start meanwhile; what the user has set stays."""
    added = {key: value for key, value in changes.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch at one thread: two OpenMP threads on a shared machine are slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _serve(connection: Connection, rank: int, n_processes: int, shared: object, size: int, barrier: object) -> None:
    torch.set_num_threads(1)
    reducer = SharedReducer(shared, size, barrier, rank, n_processes)
    worker = Worker(rank, n_processes, reducer, lambda message: connection.send(("message", message)))
    while (job := connection.recv()) is not None:
        task, payload = job
        try:
            connection.send(("result", task(worker, payload)))
        except FaultlineError as error:
            barrier.abort()  # type: ignore[attr-defined]
            connection.send(("error", error))
        except Exception as error:  # the process boundary: reported by name and raised in the caller
            logger.exception("worker[%d] failed in %s", rank, task.__qualname__)
            barrier.abort()  # type: ignore[attr-defined]
            failure = f"worker[{rank}]: {task.__qualname__} raised {type(error).__name__}: {error}; see its traceback"
            connection.send(("error", TrainerError(failure)))


class WorkerPool:
    """`n_processes` workers; use it as a context manager. `reduce_size` bounds the vectors they can sum."""

    def __init__(self, n_processes: int, reduce_size: int) -> None:
        """Start the processes (none for one)."""
        self.n_processes = n_processes
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._broken = False
        self._local = Worker(0, 1, LocalReducer(), lambda message: None)
        if n_processes == 1:
            return
        context = mp.get_context("spawn")
        shared = context.RawArray("f", 2 * n_processes * reduce_size)
        barrier = context.Barrier(n_processes)
        self._kept = (shared, barrier)  # a collected barrier is unlinked before the children have opened it
        for rank in range(n_processes):
            ours, theirs = context.Pipe()
            args = (theirs, rank, n_processes, shared, reduce_size, barrier)
            process = context.Process(target=_serve, args=args, daemon=True, name=f"trainer-{rank}")
            with _environment(ALLOCATOR):
                process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the processes."""
        self.close()

    def run(
        self,
        task: Callable[[Worker, P], R],
        payloads: Sequence[P],
        on_message: Callable[[object], None] | None = None,
    ) -> list[R]:
        """Run the task once per process with its own payload; results in rank order.

        Raises:
            TrainerError: when a process died, or a task raised something that is not ours; errors of the Faultline
                tree come through as they are. The pool can't be used after either.
        """
        if len(payloads) != self.n_processes or self._broken:
            raise TrainerError(
                f"worker pool: expected a sound pool and {self.n_processes} payloads, got {len(payloads)} "
                f"(broken={self._broken}); start a new pool"
            )
        hear = on_message or (lambda message: None)
        if self.n_processes == 1:
            self._local.send = hear
            with one_thread():
                return [task(self._local, payloads[0])]
        for connection, payload in zip(self._connections, payloads, strict=True):
            try:
                connection.send((task, payload))
            except BrokenPipeError:
                logger.warning("worker process is gone; its exit code follows")
        return self._collect(hear)

    def _collect(self, hear: Callable[[object], None]) -> list:
        results: dict[int, object] = {}
        errors: list[FaultlineError] = []
        waiting = {connection: rank for rank, connection in enumerate(self._connections)}
        while waiting:
            for connection in wait(list(waiting)):
                rank = waiting[connection]  # type: ignore[index]
                try:
                    kind, content = connection.recv()  # type: ignore[union-attr]
                except EOFError:
                    kind, content = "error", self._death(rank)
                    self._stop_others(rank)
                if kind == "message":
                    hear(content)
                    continue
                del waiting[connection]  # type: ignore[arg-type]
                if kind == "result":
                    results[rank] = content
                else:
                    errors.append(content)
        if errors:
            self._broken = True
            raise min(errors, key=lambda error: "broken barrier" in str(error))
        return [results[rank] for rank in range(self.n_processes)]

    def _death(self, rank: int) -> TrainerError:
        self._processes[rank].join(5)
        return TrainerError(
            f"worker[{rank}]: expected a result, got exit code {self._processes[rank].exitcode}; the process was "
            "killed (out of memory?) or could not import the task"
        )

    def _stop_others(self, dead_rank: int) -> None:
        """Without this the living would wait at the barrier for the dead."""
        for rank, process in enumerate(self._processes):
            if rank != dead_rank and process.is_alive():
                process.terminate()

    def close(self) -> None:
        """Stop the processes; safe to call twice."""
        for connection, process in zip(self._connections, self._processes, strict=True):
            if process.is_alive():
                try:
                    connection.send(None)
                except OSError:
                    process.terminate()
            process.join(10)
            if process.is_alive():
                process.terminate()
                process.join(5)
            connection.close()
        self._processes, self._connections = [], []
