"""How a table of TimescaleDB is cut into chunks, compressed and forgotten."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Hypertable:
    """Chunks of `chunk` by the time column. The column itself is TimescaleDB's own, and so is its partitioning."""

    column: str
    chunk: timedelta


@dataclass(frozen=True, slots=True)
class Compression:
    """Chunks older than `after` are compressed; None: by hand only.

    `segment_by` columns are kept apart, rows are sorted by `order_by` within ("observed_at DESC").
    """

    segment_by: tuple[str, ...]
    order_by: tuple[str, ...]
    after: timedelta | None


def interval(duration: timedelta) -> str:
    """Returns a duration as PostgreSQL prints an interval: '2 days', '00:05:00', '1 day 12:00:00'.

    Whole seconds; raises ValueError for a part of one and for what isn't positive.
    """
    if duration <= timedelta(0) or duration.microseconds:
        raise ValueError(f"{duration!r} is not a whole, positive number of seconds")
    days, seconds = duration.days, duration.seconds
    parts = [f"{days} day{'s' if days > 1 else ''}"] if days else []
    if seconds:
        parts.append(f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}")
    return " ".join(parts)
