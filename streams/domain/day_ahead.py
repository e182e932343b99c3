"""Day-ahead prices by delivery interval: what the day-ahead market cleared for the hours to come.

ERCOT publishes the prices of all 24 hours of an operating day at about 13:30 Central the day before (Nodal Protocols,
section 4.5.3). A price is found by the interval that it holds for, not by when it was published; a correction is a
second event for the same interval, and the newest one known holds.
"""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.events import GridPrice


@dataclass(slots=True)
class DayAheadPrices:
    """Prices of one settlement point, sorted by (start of delivery, publication, event id), each once."""

    events: list[GridPrice] = field(default_factory=list)

    def add(self, price: GridPrice) -> bool:
        """Adds a price; false where it is there already."""
        at = bisect_left(self.events, _order(price), key=_order)
        if at < len(self.events) and self.events[at].event_id == price.event_id:
            return False
        insort(self.events, price, key=_order)
        return True

    def of(self, moment: datetime, known_at: datetime) -> GridPrice | None:
        """The price of the interval that holds `moment`, as published by `known_at`; None where none was."""
        for index in range(bisect_right(self.events, moment, key=_start) - 1, -1, -1):
            price = self.events[index]
            if price.observed_at <= known_at:
                return price if moment < delivery_end(price) else None
        return None

    def forget_before(self, at: datetime) -> list[GridPrice]:
        """Drops the prices whose delivery is over at `at`; returns them."""
        kept = [price for price in self.events if delivery_end(price) > at]
        dropped = [price for price in self.events if delivery_end(price) <= at]
        self.events = kept
        return dropped


def delivery_end(price: GridPrice) -> datetime:
    """End of the interval that a price holds for, exclusive."""
    return price.interval_start + timedelta(seconds=price.interval_s)


def _order(price: GridPrice) -> tuple[datetime, datetime, str]:
    return price.interval_start, price.observed_at, price.event_id


def _start(price: GridPrice) -> datetime:
    return price.interval_start
