"""Preparing and applying batches beside reading them: three steps in three threads, each batch in order.

Decoding and COPY leave the interpreter lock for most of their time, so reading goes on meanwhile. Batches that have
become ready while others were applied are applied together: whoever is behind pays for fewer transactions.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

R = TypeVar("R")
P = TypeVar("P")

DEPTH = 4
"""Batches in hand: one is applied, one is prepared, and two may wait, to be applied together."""


class Pipeline(Generic[R, P]):
    """Runs `prepare(batch)` and `apply` with all that is prepared, in order.

    After a failure nothing more is applied, and every call raises that failure.
    """

    def __init__(self, prepare: Callable[[R], P], apply: Callable[[Sequence[P]], None], depth: int = DEPTH) -> None:
        self._prepare = prepare
        self._apply = apply
        self._depth = depth
        self._preparing = ThreadPoolExecutor(1, "prepare")
        self._applying = ThreadPoolExecutor(1, "apply")
        self._waiting: deque[Future[P]] = deque()
        self._in_hand: deque[Future[None]] = deque()
        self._failure: BaseException | None = None

    @property
    def is_full(self) -> bool:
        """Whether `submit` has to wait. Raises the failure of a batch."""
        self._reap()
        return len(self._in_hand) >= self._depth

    @property
    def is_empty(self) -> bool:
        """Whether every batch is done. Raises the failure of a batch."""
        self._reap()
        return not self._in_hand

    def submit(self, batch: R) -> None:
        """Takes a batch; call only while the pipeline is not full."""
        assert len(self._in_hand) < self._depth
        self._waiting.append(self._preparing.submit(self._prepare, batch))
        self._in_hand.append(self._applying.submit(self._apply_ready))

    def wait(self, timeout_s: float) -> None:
        """Returns when the oldest batch is done, or after that time. Raises the failure of a batch."""
        if self._in_hand:
            wait([self._in_hand[0]], timeout_s)
        self._reap()

    def drain(self) -> None:
        """Returns when all batches are done. Raises the failure of a batch."""
        while self._in_hand:
            self.wait(60.0)
        self._reap()

    def close(self) -> None:
        """Gives up what was not begun, waits for the rest; raises nothing."""
        self._failure = self._failure or RuntimeError("the pipeline is closed")
        self._preparing.shutdown(cancel_futures=True)
        self._applying.shutdown()

    def _apply_ready(self) -> None:
        # Nothing is left for the call of a batch that was applied with an earlier one.
        if self._failure is not None or not self._waiting:
            return
        try:
            ready = [self._waiting.popleft().result()]
            while self._waiting and self._waiting[0].done() and self._waiting[0].exception() is None:
                ready.append(self._waiting.popleft().result())
            self._apply(ready)
        except BaseException as error:
            self._failure = error
            raise

    def _reap(self) -> None:
        while self._in_hand and self._in_hand[0].done():
            self._in_hand.popleft()
        if self._failure is not None:
            raise self._failure
