"""When bad events are so many that a deployment is at fault, not they: the worker stops before it drains a topic."""

from collections import deque
from dataclasses import dataclass, field

from projections.error import TooManyDeadError


@dataclass(slots=True)
class DeadLetterLimit:
    """Counts over the newest batches that together hold `window` events or more; `ratio` 1 never stops.

    Until `window` events have come, those still to come count as good: a few bad ones at the start do not stop the
    worker, and more than the window may hold stop it without waiting for the rest.
    """

    ratio: float
    window: int = 1_000
    _batches: deque[tuple[int, int]] = field(default_factory=deque)
    _events: int = 0
    _dead: int = 0

    def observe(self, events: int, dead: int, example: str) -> None:
        """Takes note of a batch before it is applied. Raises TooManyDeadError, with a bad event's reason.

        With no events, `dead` are more bad ones found in the newest batch: those that the store refused.
        """
        self._batches.append((events, dead))
        self._events += events
        self._dead += dead
        # What the store refused of a batch stands behind it without events, and so leaves the window with it.
        while self._events - self._batches[0][0] >= self.window:
            old_events, old_dead = self._batches.popleft()
            self._events -= old_events
            self._dead -= old_dead
        if self.ratio < 1 and self._dead > self.ratio * max(self._events, self.window):
            raise TooManyDeadError(
                f"{self._dead} of the last {self._events} events are bad, more than HCP_DEAD_LETTER_LIMIT={self.ratio} "
                f"allows; the newest: {example}. Nothing of them is lost: mend the cause, then start the worker again, "
                "or set them all aside with HCP_DEAD_LETTER_LIMIT=1"
            )
