"""Who decides in a backtest: the seam, and the rules that every operator knows. They see only what was published."""

from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from hcp.backtest.fleet import Fleet
from hcp.backtest.market import Known
from streams.domain.power_cost import power_cost

# The hours of ERCOT's peaks in summer, and of most of its high prices all year.
PEAK_HOURS = range(16, 20)


class Decider(Protocol):
    """Decides for the next interval. One decider sees the moments of one week, in order."""

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """The wanted mode of each group, by its index; `state` is that of the fleet at `known.now_ms`."""


class AlwaysOn:
    """As much hashrate as the cap allows, whatever the price."""

    def __init__(self, fleet: Fleet) -> None:
        self._modes = tuple(int(mode) for mode in fleet.modes[fleet.full])

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol."""
        return self._modes


class BreakEven:
    """Always on, but a group is off while its power costs more than it mines, by the newest price."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._modes = tuple(int(mode) for mode in fleet.modes[fleet.full])

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol."""
        now = datetime.fromtimestamp(known.now_ms / 1000, UTC)
        cost_usd_mwh = power_cost(self._fleet.facility, known.price_usd_mwh, now).usd_mwh
        revenue_usd_ths_h = known.hashprice_usd_ths_day / 24
        return tuple(
            mode if group.hashrate_ths[mode] * revenue_usd_ths_h > group.power_mw[mode] * cost_usd_mwh else 0
            for group, mode in zip(self._fleet.groups, self._modes, strict=True)
        )


class FixedHours:
    """Blind to prices: off from 16:00 to 20:00 local time, every day."""

    def __init__(self, fleet: Fleet) -> None:
        self._zone = ZoneInfo(fleet.facility.timezone)
        self._modes = tuple(int(mode) for mode in fleet.modes[fleet.full])

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol."""
        hour = datetime.fromtimestamp(known.now_ms / 1000, self._zone).hour
        return (0,) * len(self._modes) if hour in PEAK_HOURS else self._modes
