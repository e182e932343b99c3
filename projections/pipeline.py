"""Preparing and applying batches beside reading them: three steps in three threads, each batch in order.

Decoding and COPY leave the interpreter lock for most of their time, so reading goes on meanwhile. Batches that have
become ready while others were applied are applied together: whoever is behind pays for fewer transactions. A store that
takes one row of each key has less work the more batches are put together, so there those that are still being prepared
are waited for too, and one that is about to be read.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class PipelinePolicy:
    """`depth` is the number of batches in hand: at most `most` are applied together, the others prepared meanwhile.

    With `waits` those that are applied together are as many as come at once, else as many as are prepared.
    """

    depth: int
    most: int
    waits: bool


AS_READY = PipelinePolicy(depth=8, most=4, waits=False)
TOGETHER = PipelinePolicy(depth=24, most=14, waits=True)


class Pipeline(Generic[R, P]):
    """Runs `prepare(batch)` and `apply` with a list of all that is prepared, in order; the list is `apply`'s to keep.

    After a failure nothing more is applied, and every call raises that failure.
    """

    def __init__(
        self, prepare: Callable[[R], P], apply: Callable[[list[P]], None], policy: PipelinePolicy = AS_READY
    ) -> None:
        self._prepare = prepare
        self._apply = apply
        self._policy = policy
        self._preparing = ThreadPoolExecutor(1, "prepare")
        self._applying = ThreadPoolExecutor(1, "apply")
        self._waiting: deque[Future[P]] = deque()
        self._in_hand = 0
        self._is_more = False
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    @property
    def is_full(self) -> bool:
        """Whether `submit` has to wait. Raises the failure of a batch."""
        self._check()
        return self._in_hand >= self._policy.depth

    @property
    def is_empty(self) -> bool:
        """Whether every batch is done. Raises the failure of a batch."""
        self._check()
        return not self._in_hand

    def submit(self, batch: R) -> None:
        """Takes a batch; call only while the pipeline is not full."""
        assert self._in_hand < self._policy.depth
        with self._changed:
            self._in_hand += 1
            self._waiting.append(self._preparing.submit(self._prepare, batch))
            self._changed.notify_all()
        self._applying.submit(self._apply_ready)

    def expect(self, *, more: bool) -> None:
        """Says whether another batch comes at once, so that one that can go together with it may wait."""
        with self._changed:
            self._is_more = more
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Returns when a batch is done, or after that time. Raises the failure of a batch."""
        with self._changed:
            before = self._in_hand
            self._changed.wait_for(lambda: not before or self._in_hand < before or self._failure, timeout_s)
        self._check()

    def drain(self) -> None:
        """Returns when all batches are done. Raises the failure of a batch."""
        self.expect(more=False)
        while self._in_hand:
            self.wait(60.0)
        self._check()

    def close(self) -> None:
        """Gives up what was not begun, waits for the rest; raises nothing."""
        self._failure = self._failure or RuntimeError("the pipeline is closed")
        self.expect(more=False)
        self._preparing.shutdown(cancel_futures=True)
        self._applying.shutdown()

    def _apply_ready(self) -> None:
        # Nothing is left for the call of a batch that was applied with an earlier one.
        if self._failure is not None or not self._waiting:
            return
        try:
            ready = [self._waiting.popleft().result()]
            while len(ready) < self._policy.most and self._is_next_ready():
                ready.append(self._waiting.popleft().result())
            count = len(ready)
            self._apply(ready)
        except BaseException as error:  # noqa: BLE001 - raised by every call from now on
            self._failure = error
            count = 0
        with self._changed:
            self._in_hand -= count
            self._changed.notify_all()

    def _is_next_ready(self) -> bool:
        if self._policy.waits:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._is_more)
        is_there = bool(self._waiting) and (self._policy.waits or self._waiting[0].done())
        # One that failed is left for the next call: it must not take those before it along.
        return is_there and self._waiting[0].exception() is None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
