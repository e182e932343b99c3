"""Day-ahead prices by delivery interval: what the day-ahead market cleared for the hours to come.

ERCOT publishes the prices of all 24 hours of an operating day at about 13:30 Central the day before (Nodal Protocols,
section 4.5.3). A price is found by the interval that it holds for, not by when it was published; a correction is a
second event for the same interval, and the newest one known holds.

The price of an hour is that of its mean. From the middle of an hour to that of the next the expected price goes in a
line: steps at full hours would be forecast that real-time prices don't take (`DayAheadPrices.expected_usd_mwh`).
"""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.events import GridPrice

_MOMENT = timedelta(microseconds=1)


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

    def expected_usd_mwh(self, moment: datetime, known_at: datetime) -> float | None:
        """The price expected at a moment, USD/MWh, as published by `known_at`; None where its interval has none.

        In a line between the middles of its interval and of the nearer neighbour, where that has a price too.
        """
        own = self.of(moment, known_at)
        if own is None:
            return None
        middle = own.interval_start + timedelta(seconds=own.interval_s) / 2
        beside = self.of(own.interval_start - _MOMENT if moment < middle else delivery_end(own), known_at)
        if beside is None:
            return own.price_usd_mwh
        between_s = (own.interval_s + beside.interval_s) / 2
        share = abs((moment - middle).total_seconds()) / between_s
        return own.price_usd_mwh + share * (beside.price_usd_mwh - own.price_usd_mwh)

    def forget_before(self, at: datetime) -> list[GridPrice]:
        """Drops the prices that nothing is expected by from `at` on; returns them.

        Those whose delivery was over an interval ago: what is expected leans on the interval before.
        """
        kept = [price for price in self.events if _last_use(price) > at]
        dropped = [price for price in self.events if _last_use(price) <= at]
        self.events = kept
        return dropped


def delivery_end(price: GridPrice) -> datetime:
    """End of the interval that a price holds for, exclusive."""
    return price.interval_start + timedelta(seconds=price.interval_s)


def _last_use(price: GridPrice) -> datetime:
    return delivery_end(price) + timedelta(seconds=price.interval_s)


def _order(price: GridPrice) -> tuple[datetime, datetime, str]:
    return price.interval_start, price.observed_at, price.event_id


def _start(price: GridPrice) -> datetime:
    return price.interval_start
