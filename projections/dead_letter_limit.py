"""When bad events are so many that a deployment is at fault, not they: the worker stops before it drains a topic."""

from collections import deque
from dataclasses import dataclass, field

from projections.error import TooManyDeadError


@dataclass(slots=True)
class DeadLetterLimit:
    """Counts over about the last `window` events; `ratio` 1 never stops."""

    ratio: float
    window: int = 1_000
    _batches: deque[tuple[int, int]] = field(default_factory=deque)
    _events: int = 0
    _dead: int = 0

    def observe(self, events: int, dead: int, example: str) -> None:
        """Takes note of a batch before it is applied. Raises TooManyDeadError, with a bad event's reason."""
        self._batches.append((events, dead))
        self._events += events
        self._dead += dead
        while self._batches and self._events - self._batches[0][0] >= self.window:
            old_events, old_dead = self._batches.popleft()
            self._events -= old_events
            self._dead -= old_dead
        if self._events >= self.window and self._dead > self.ratio * self._events:
            raise TooManyDeadError(
                f"{self._dead} of the last {self._events} events are bad, more than HCP_DEAD_LETTER_LIMIT={self.ratio} "
                f"allows; the newest: {example}. Nothing of them is lost: mend the cause, then start the worker again"
            )
