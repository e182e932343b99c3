"""Batches are prepared and applied in order, beside each other, and none after a failure."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence

import pytest

from projections.pipeline import AS_READY, TOGETHER, Pipeline, PipelinePolicy

LIMIT_S = 20.0


class Steps:
    """Prepares and applies numbers; `hold` keeps `apply` waiting, `slow` keeps `prepare`."""

    def __init__(self) -> None:
        self.hold, self.slow = threading.Event(), threading.Event()
        self.hold.set()
        self.slow.set()
        self.prepared: list[int] = []
        self.applied: list[int] = []
        self.together: list[int] = []
        self.is_prepared = threading.Event()

    def prepare(self, number: int) -> int:
        """Refuses -1."""
        assert self.slow.wait(LIMIT_S)
        if number == -1:
            raise ValueError("can't be prepared")
        self.prepared.append(number)
        self.is_prepared.set()
        return number * 10

    def apply(self, numbers: Sequence[int]) -> None:
        """Refuses 130."""
        assert self.hold.wait(LIMIT_S)
        if 130 in numbers:
            raise ValueError("can't be applied")
        self.applied += numbers
        self.together.append(len(numbers))


def submit_when_free(pipeline: Pipeline[int, int], number: int) -> None:
    while pipeline.is_full:
        pipeline.wait(LIMIT_S)
    pipeline.submit(number)


def test_batches_are_applied_in_order_and_a_drain_waits_for_all() -> None:
    steps = Steps()
    pipeline = Pipeline(steps.prepare, steps.apply)
    for number in range(10):
        submit_when_free(pipeline, number)
    pipeline.drain()
    assert steps.applied == [10 * n for n in range(10)]
    assert pipeline.is_empty
    pipeline.close()


def test_what_apply_takes_out_of_its_list_is_held_by_nobody_and_counts_as_applied() -> None:
    class Batch:
        """An object that can be asked whether it is still there."""

    left: list[int] = []

    def apply(batches: list[Batch]) -> None:
        seen = [weakref.ref(batch) for batch in batches]
        batches.clear()
        gc.collect()
        left.append(sum(reference() is not None for reference in seen))

    pipeline: Pipeline[int, Batch] = Pipeline(lambda _: Batch(), apply, TOGETHER)
    for number in range(5):
        pipeline.submit(number)
    pipeline.drain()
    assert pipeline.is_empty
    assert set(left) == {0}
    pipeline.close()


def test_the_next_batch_is_prepared_while_one_is_applied_and_then_it_is_full() -> None:
    steps = Steps()
    steps.hold.clear()
    pipeline = Pipeline(steps.prepare, steps.apply, PipelinePolicy(depth=2, most=1, waits=False))
    pipeline.submit(1)
    assert steps.is_prepared.wait(LIMIT_S)
    steps.is_prepared.clear()
    pipeline.submit(2)
    assert steps.is_prepared.wait(LIMIT_S)
    assert steps.prepared == [1, 2]
    assert pipeline.is_full
    pipeline.wait(0.01)
    assert (pipeline.is_full, steps.applied) == (True, [])
    steps.hold.set()
    pipeline.drain()
    pipeline.close()


def test_batches_that_became_ready_meanwhile_are_applied_together() -> None:
    steps = Steps()
    steps.hold.clear()
    pipeline = Pipeline(steps.prepare, steps.apply)
    for number in range(4):
        steps.is_prepared.clear()
        pipeline.submit(number)
        assert steps.is_prepared.wait(LIMIT_S)
    # The last may still be on its way from one thread to the other: what is sure is that two do not go alone.
    steps.hold.set()
    pipeline.drain()
    assert steps.applied == [0, 10, 20, 30]
    assert len(steps.together) < 4
    pipeline.close()


def patient(steps: Steps) -> Pipeline[int, int]:
    return Pipeline(steps.prepare, steps.apply, PipelinePolicy(depth=4, most=3, waits=True))


def test_where_it_waits_those_that_are_still_being_prepared_are_applied_too() -> None:
    steps = Steps()
    pipeline = patient(steps)
    steps.slow.clear()
    for number in range(3):
        pipeline.submit(number)
    steps.slow.set()
    pipeline.drain()
    assert steps.together == [3]
    pipeline.close()


def test_where_it_waits_a_batch_that_comes_at_once_is_waited_for() -> None:
    steps = Steps()
    pipeline = patient(steps)
    pipeline.expect(more=True)
    for number in range(2):
        pipeline.submit(number)
        assert steps.is_prepared.wait(LIMIT_S)
        steps.is_prepared.clear()
    pipeline.expect(more=False)
    pipeline.drain()
    assert steps.together == [2]
    pipeline.close()


def test_no_more_are_waited_for_than_go_together() -> None:
    steps = Steps()
    pipeline = patient(steps)
    pipeline.expect(more=True)
    for number in range(3):
        pipeline.submit(number)
    while not pipeline.is_empty:
        pipeline.wait(LIMIT_S)
    assert steps.together == [3]
    pipeline.close()


@pytest.mark.parametrize("end", [Pipeline.drain, Pipeline.close])
def test_who_ends_it_is_not_kept_waiting(end: Callable[[Pipeline[int, int]], None]) -> None:
    steps = Steps()
    pipeline = patient(steps)
    pipeline.expect(more=True)
    pipeline.submit(1)
    assert steps.is_prepared.wait(LIMIT_S)
    ending = threading.Thread(target=end, args=[pipeline])
    ending.start()
    ending.join(LIMIT_S)
    assert not ending.is_alive()
    pipeline.close()


@pytest.mark.parametrize("policy", [AS_READY, TOGETHER])
def test_a_batch_that_fails_in_preparation_does_not_take_those_before_it_along(policy: PipelinePolicy) -> None:
    steps = Steps()
    steps.hold.clear()
    pipeline = Pipeline(steps.prepare, steps.apply, policy)
    for number in (1, 2, -1):
        pipeline.submit(number)
    steps.hold.set()
    with pytest.raises(ValueError, match="can't be prepared"):
        pipeline.drain()
    pipeline.close()
    assert steps.applied == [10, 20]


@pytest.mark.parametrize("bad", [13, -1])
def test_after_a_failure_nothing_more_is_applied_and_every_call_says_so(bad: int) -> None:
    steps = Steps()
    steps.hold.clear()
    pipeline = Pipeline(steps.prepare, steps.apply)
    pipeline.submit(bad)
    pipeline.submit(14)
    steps.hold.set()
    for call in (pipeline.drain, lambda: pipeline.is_full, lambda: pipeline.wait(0)):
        with pytest.raises(ValueError, match="can't be"):
            call()
    pipeline.close()
    assert steps.applied == []


def test_closing_waits_for_the_batch_that_is_being_applied() -> None:
    steps = Steps()
    steps.hold.clear()
    pipeline = Pipeline(steps.prepare, steps.apply, PipelinePolicy(depth=2, most=1, waits=False))
    pipeline.submit(1)
    assert steps.is_prepared.wait(LIMIT_S)
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    steps.hold.set()
    closing.join(LIMIT_S)
    assert not closing.is_alive()


def test_closing_does_not_wait_for_a_batch_that_is_given_up() -> None:
    steps = Steps()
    steps.slow.clear()
    pipeline = patient(steps)
    for number in range(3):
        pipeline.submit(number)
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    given_up = pipeline._waiting[-1]
    while not given_up.cancelled():
        closing.join(0.01)
    steps.slow.set()
    closing.join(LIMIT_S)
    assert not closing.is_alive()
    assert steps.prepared == [0]
