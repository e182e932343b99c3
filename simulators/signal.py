"""Calls of the grid operator to a facility: demand response, curtailment, and their ends. Functions of event time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas import events
from schemas.events import SignalKind, SignalStatus
from simulators.identity import event_id
from simulators.noise import Noise
from simulators.timeline import HOUR_MS, MINUTE_MS, to_datetime

_BLOCK_MS = 8 * HOUR_MS
_CALL_CHANCE = 0.5
_DEMAND_RESPONSE_SHARE = 0.6


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

    def __init__(self, facilities: Sequence[events.Facility], seed: int) -> None:
        self._facilities = tuple(facilities)
        self._noise = {f.facility_id: Noise(seed, f"signal/{f.facility_id}") for f in facilities}
        self._block = -1
        self._calls: dict[str, _Call | None] = {}

    def signals(self, start_ms: int, end_ms: int, since_ms: int) -> Iterator[events.GridSignal]:
        """Yields the calls and ends of [start, end); of calls made before `since_ms`, the log's beginning, nothing."""
        for block in range(start_ms // _BLOCK_MS, (end_ms - 1) // _BLOCK_MS + 1):
            if block != self._block:
                self._block = block
                self._calls = {f.facility_id: self._draw(f, block) for f in self._facilities}
            for facility_id, call in self._calls.items():
                if call is None or call.called_ms < since_ms:
                    continue
                if start_ms <= call.called_ms < end_ms:
                    yield _signal(facility_id, call, SignalStatus.CALLED, call.called_ms)
                if start_ms <= call.ends_ms < end_ms:
                    yield _signal(facility_id, call, SignalStatus.ENDED, call.ends_ms)

    def _draw(self, facility: events.Facility, block: int) -> _Call | None:
        rng = self._noise[facility.facility_id].generator(block)
        chance, kind, place, notice, length, depth, payment = rng.random(7).tolist()
        if chance >= _CALL_CHANCE:
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
