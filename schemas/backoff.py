"""Waiting while something that a worker needs is away: longer from try to try, seen in the metrics and in the log."""

import logging
import threading
from dataclasses import dataclass

from schemas import metric

log = logging.getLogger(__name__)

STEPS_S = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class Backoff:
    """One worker's; `again` is where it goes on, for the log, such as "from the stored offsets"."""

    worker: str
    again: str
    _failures: int = 0

    def succeeded(self) -> None:
        """Something was done: the next wait is a short one."""
        self._failures = 0

    def wait(self, stop: threading.Event, dependency: str, error: Exception, mend: str = "") -> None:
        """Says that a dependency is away, and why; returns when it may be tried again, or `stop` is set."""
        wait_s = STEPS_S[min(self._failures, len(STEPS_S) - 1)]
        self._failures += 1
        metric.DEPENDENCY_UP.labels(self.worker, dependency).set(0)
        log.warning("%s: starting again %s in %.1f s: %s%s", self.worker, self.again, wait_s, error, mend)
        stop.wait(wait_s)
