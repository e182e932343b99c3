"""Event time as integers: milliseconds since the epoch, UTC. Knows no clock."""

from datetime import UTC, datetime, timedelta

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_datetime(at_ms: int) -> datetime:
    """Returns the time as an aware datetime, exact to the millisecond."""
    return _EPOCH + at_ms * _MILLISECOND


def to_ms(at: datetime) -> int:
    """Returns an aware datetime as milliseconds since the epoch, rounded down. Raises TypeError for a naive one."""
    return (at - _EPOCH) // _MILLISECOND


def floor(at_ms: int, step_ms: int) -> int:
    """Returns the greatest multiple of the step that is not after the time."""
    return at_ms - at_ms % step_ms


def ceiling(at_ms: int, step_ms: int) -> int:
    """Returns the least multiple of the step that is not before the time."""
    return -(-at_ms // step_ms) * step_ms


def multiples(start_ms: int, end_ms: int, step_ms: int) -> range:
    """Returns the multiples of the step in [start, end)."""
    return range(ceiling(start_ms, step_ms), end_ms, step_ms)
