"""Solving in processes of its own, so that a solve takes neither the event loop nor the interpreter's lock.

What is asked is pure, so it matters neither which process answers nor how often it is asked. A caller that no longer
wants an answer cancels: a solve that waits never begins, and the answer of one that runs is dropped. Intervals that are
decided alone have a process of their own: they take milliseconds, and would wait for plans that take seconds.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from time import perf_counter
from typing import Self

from schemas import metric
from schemas.events import AllocationDecision, AllocationSnapshot


class SolverPool:
    """`processes` that plan, and one that dispatches.

    A process that dies takes those of its kind with it: BrokenProcessPool from then on.
    """

    def __init__(self, processes: int) -> None:
        self._plans, self._dispatches = _executor(processes), _executor(1)
        self._processes = processes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def warm(self) -> None:
        """Starts the processes, so that the first decision does not wait for the solver's imports."""
        loop = asyncio.get_running_loop()
        executors = [self._dispatches, *[self._plans] * self._processes]
        await asyncio.gather(*(loop.run_in_executor(executor, _ready) for executor in executors))

    async def solve(self, snapshot: AllocationSnapshot) -> AllocationDecision:
        """Returns the decision of a snapshot. Raises BrokenProcessPool where a solving process died."""
        loop = asyncio.get_running_loop()
        executor = self._plans if snapshot.horizon else self._dispatches
        decision, took_s = await loop.run_in_executor(executor, _timed_solve, snapshot)
        metric.SOLVER_SECONDS.labels(snapshot.facility_id).observe(took_s)
        return decision

    def close(self) -> None:
        """Ends the processes; what waits is dropped."""
        for executor in (self._dispatches, self._plans):
            executor.shutdown(wait=True, cancel_futures=True)


def _executor(processes: int) -> ProcessPoolExecutor:
    # Spawned, not forked: the worker has threads, and a fork may inherit their locks.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_initialise)


def _timed_solve(snapshot: AllocationSnapshot) -> tuple[AllocationDecision, float]:
    from streams.domain.allocation import solve  # noqa: PLC0415 - see `_ready`

    started = perf_counter()
    decision = solve(snapshot)
    return decision, perf_counter() - started


def _ready() -> None:
    # Half a second of solvers, which the worker itself need not import: it never solves.
    import streams.domain.allocation  # noqa: F401, PLC0415


def _initialise() -> None:
    # Ctrl-C is the worker's business, which then ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed worker closes no pool, and its processes would wait for work for ever: they hold both ends of its queue.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
