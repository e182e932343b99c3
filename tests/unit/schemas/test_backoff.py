"""Waits grow while something is away, begin anew once something was done, and end with a stop."""

import logging
import threading

import pytest
from prometheus_client import REGISTRY

from schemas import metric
from schemas.backoff import STEPS_S, Backoff


class Waits(threading.Event):
    """Takes no time, and keeps how long it was to take."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked_s.append(timeout)
        return False


def test_waits_grow_to_the_last_step_and_begin_anew_after_a_success() -> None:
    backoff, stop = Backoff("tested", "from the start"), Waits()
    for _ in range(len(STEPS_S) + 1):
        backoff.wait(stop, "kafka", OSError("away"))
    backoff.succeeded()
    backoff.wait(stop, "kafka", OSError("away"))
    assert stop.asked_s == [*STEPS_S, STEPS_S[-1], STEPS_S[0]]


def test_what_is_away_is_in_the_metrics_and_why_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    metric.DEPENDENCY_UP.labels("tested", "registry").set(1)
    with caplog.at_level(logging.WARNING):
        Backoff("tested", "from the start").wait(Waits(), "registry", OSError("no answer"), "; start it")
    assert REGISTRY.get_sample_value("hcp_dependency_up", {"worker": "tested", "dependency": "registry"}) == 0
    assert caplog.messages == ["tested: starting again from the start in 0.5 s: no answer; start it"]


def test_a_stop_ends_the_wait() -> None:
    stop, backoff = threading.Event(), Backoff("tested", "from the start")
    for _ in STEPS_S:
        backoff.wait(Waits(), "kafka", OSError("away"))
    waiting = threading.Thread(target=backoff.wait, args=(stop, "kafka", OSError("away")), daemon=True)
    waiting.start()
    stop.set()
    waiting.join(STEPS_S[-1] / 2)
    assert not waiting.is_alive()
