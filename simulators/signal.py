"""Calls of the grid operator to a facility, and their ends. Functions of event time alone.

Three kinds; of those in a third of a day the gravest comes about. *Emergency*: where the price says that offers run
out, load goes down with ten minutes' notice (ERCOT's Emergency Response Service, AESO's Load Shed Service); an
obligation. *4CP*: ERCOT's large loads stay away on summer afternoons that may hold the month's peak, as their load in
the peaks of June to September sets what they pay for transmission; what an hour away is worth is assumed. *Programme*:
demand response that is bought, or a curtailment by the wires, most often in the evening; rates are assumed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas import events
from schemas.events import SignalKind, SignalStatus
from simulators.grid import Grid
from simulators.identity import event_id
from simulators.noise import Noise
from simulators.replay import ERCOT_POINTS
from simulators.timeline import HOUR_MS, MINUTE_MS, to_datetime

_BLOCK_MS = 8 * HOUR_MS
# Of a call by a programme in a third of a day from 0, 8 and 16 h UTC: Texas' evening, night with morning, afternoon.
_CALL_CHANCES = (0.6, 0.35, 0.55)
_DEMAND_RESPONSE_SHARE = 0.6

_EMERGENCY_USD_MWH = dict.fromkeys(ERCOT_POINTS, 1000.0)
_POOL_EMERGENCY_USD_MWH = 690.0  # at Alberta's cap, nearly
_EMERGENCY_NOTICE_MS = 10 * MINUTE_MS
_EMERGENCY_SHORTEST_MS = HOUR_MS
_EMERGENCY_LIMIT_SHARE = 0.10

_PEAK_MONTHS = range(6, 10)
_PEAK_START_MS = 5 * HOUR_MS  # 21 h UTC, 16 h in Texas' summer, from the block's start
_PEAK_LENGTH_MS = 2 * HOUR_MS
_PEAK_NOTICE_MS = 150 * MINUTE_MS
_PEAK_LIMIT_SHARE = 0.25
_PEAK_USD_MWH = 1_500.0
_PEAK_DAY_AHEAD_USD_MWH = 45.0
"""Mean day-ahead price of the two hours from which on a day may hold the month's peak."""


@dataclass(frozen=True, slots=True)
class _Call:
    signal_id: str
    kind: SignalKind
    called_ms: int
    starts_ms: int
    ends_ms: int
    limit_mw: float
    payment_usd_mwh: float


class Signals:
    """The calls to all facilities: at most one in a third of a day each, wholly within it, so calls never overlap."""

    def __init__(self, facilities: Sequence[events.Facility], grid: Grid, seed: int) -> None:
        self._facilities = tuple(facilities)
        self._grid = grid
        self._noise = {f.facility_id: Noise(seed, f"signal/{f.facility_id}") for f in facilities}
        self._block = -1
        self._calls: dict[str, _Call | None] = {}

    def signals(self, start_ms: int, end_ms: int, since_ms: int) -> Iterator[events.GridSignal]:
        """Yields the calls and ends of [start, end); of calls made before `since_ms`, the log's beginning, nothing."""
        for block in range(start_ms // _BLOCK_MS, (end_ms - 1) // _BLOCK_MS + 1):
            if block != self._block:
                self._block = block
                self._calls = {f.facility_id: self._call(f, block) for f in self._facilities}
            for facility_id, call in self._calls.items():
                if call is None or call.called_ms < since_ms:
                    continue
                if start_ms <= call.called_ms < end_ms:
                    yield _signal(facility_id, call, SignalStatus.CALLED, call.called_ms)
                if start_ms <= call.ends_ms < end_ms:
                    yield _signal(facility_id, call, SignalStatus.ENDED, call.ends_ms)

    def _call(self, facility: events.Facility, block: int) -> _Call | None:
        return self._emergency(facility, block) or self._peak(facility, block) or self._programme(facility, block)

    def _emergency(self, facility: events.Facility, block: int) -> _Call | None:
        start_ms, end_ms = block * _BLOCK_MS, (block + 1) * _BLOCK_MS
        limit = _EMERGENCY_USD_MWH.get(facility.settlement_point, _POOL_EMERGENCY_USD_MWH)
        prices = self._grid.real_time(facility.settlement_point, start_ms, end_ms)
        scarce = [price for price in prices if price.usd >= limit]
        if not scarce:
            return None
        # Within the block, so that calls never overlap; an emergency that goes on is called again in the next one.
        starts_ms = max(scarce[0].at_ms, start_ms + MINUTE_MS)
        ends_ms = max(scarce[-1].at_ms + scarce[-1].interval_ms, starts_ms + _EMERGENCY_SHORTEST_MS)
        return _Call(
            signal_id=f"{facility.facility_id.lower()}-emergency-{block}",
            kind=SignalKind.CURTAILMENT,
            called_ms=max(starts_ms - _EMERGENCY_NOTICE_MS, start_ms),
            starts_ms=starts_ms,
            ends_ms=min(ends_ms, end_ms - MINUTE_MS),
            limit_mw=round(_EMERGENCY_LIMIT_SHARE * facility.cap_mw, 3),
            payment_usd_mwh=0.0,
        )

    def _peak(self, facility: events.Facility, block: int) -> _Call | None:
        starts_ms = block * _BLOCK_MS + _PEAK_START_MS
        day = to_datetime(starts_ms)
        is_season = day.hour == 21 and day.month in _PEAK_MONTHS and day.weekday() < 5
        if not is_season or facility.settlement_point not in ERCOT_POINTS:
            return None
        hours = self._grid.day_ahead(facility.settlement_point, starts_ms, starts_ms + _PEAK_LENGTH_MS)
        if sum(price.usd for price in hours) / len(hours) < _PEAK_DAY_AHEAD_USD_MWH:
            return None
        return _Call(
            signal_id=f"{facility.facility_id.lower()}-4cp-{block}",
            kind=SignalKind.DEMAND_RESPONSE,
            called_ms=starts_ms - _PEAK_NOTICE_MS,
            starts_ms=starts_ms,
            ends_ms=starts_ms + _PEAK_LENGTH_MS,
            limit_mw=round(_PEAK_LIMIT_SHARE * facility.cap_mw, 3),
            payment_usd_mwh=_PEAK_USD_MWH,
        )

    def _programme(self, facility: events.Facility, block: int) -> _Call | None:
        rng = self._noise[facility.facility_id].generator(block)
        chance, kind, place, notice, length, depth, payment = rng.random(7).tolist()
        if chance >= _CALL_CHANCES[block % 3]:
            return None
        notice_ms = int((5 + 25 * notice) * MINUTE_MS)
        length_ms = int((20 + 100 * length) * MINUTE_MS)
        called_ms = block * _BLOCK_MS + int(place * (_BLOCK_MS - notice_ms - length_ms - MINUTE_MS))
        is_response = kind < _DEMAND_RESPONSE_SHARE
        return _Call(
            signal_id=f"{facility.facility_id.lower()}-call-{block}",
            kind=SignalKind.DEMAND_RESPONSE if is_response else SignalKind.CURTAILMENT,
            called_ms=called_ms,
            starts_ms=called_ms + notice_ms,
            ends_ms=called_ms + notice_ms + length_ms,
            limit_mw=round((0.15 + 0.45 * depth) * facility.cap_mw, 3),
            # Demand response is bought; curtailment is an obligation with little or no pay.
            payment_usd_mwh=round(60 + 240 * payment if is_response else 20 * payment, 2),
        )


def _signal(facility_id: str, call: _Call, status: SignalStatus, at_ms: int) -> events.GridSignal:
    return events.GridSignal(
        event_id=event_id("grid.signals", f"{call.signal_id}/{status}", at_ms),
        signal_id=call.signal_id,
        facility_id=facility_id,
        kind=call.kind,
        status=status,
        observed_at=to_datetime(at_ms),
        starts_at=to_datetime(call.starts_ms),
        ends_at=to_datetime(call.ends_ms),
        limit_mw=call.limit_mw,
        payment_usd_mwh=call.payment_usd_mwh,
    )
