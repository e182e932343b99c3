"""Calls of the grid operator over months."""

from schemas import events as e
from simulators.signal import Signals
from simulators.timeline import DAY_MS, to_ms
from tests.simulators_world import START_MS, an_operator

DAY = START_MS // DAY_MS * DAY_MS


def test_calls_have_an_end_never_overlap_and_limit_the_load() -> None:
    facilities = an_operator().facilities
    caps = {facility.facility_id: facility.cap_mw for facility in facilities}
    found = list(Signals(facilities, seed=1).signals(DAY, DAY + 30 * DAY_MS, since_ms=0))
    for facility_id, cap_mw in caps.items():
        mine = sorted((s for s in found if s.facility_id == facility_id), key=lambda s: s.observed_at)
        assert [s.status for s in mine] == [e.SignalStatus.CALLED, e.SignalStatus.ENDED] * (len(mine) // 2)
        assert all(a.signal_id == b.signal_id for a, b in zip(mine[::2], mine[1::2], strict=True))
        assert all(s.observed_at <= s.ends_at and s.starts_at < s.ends_at for s in mine)
        assert all(0 < s.limit_mw < cap_mw for s in mine)
        assert 20 < len(mine) / 2 < 75  # half of 90 thirds of a day


def test_calls_made_before_the_log_begins_are_not_ended_in_it() -> None:
    facilities = an_operator().facilities
    everything = list(Signals(facilities, seed=1).signals(DAY, DAY + 10 * DAY_MS, since_ms=0))
    call = next(s for s in everything if s.status is e.SignalStatus.CALLED)
    since_ms = to_ms(call.observed_at) + 1
    later = list(Signals(facilities, seed=1).signals(since_ms, DAY + 10 * DAY_MS, since_ms))
    assert call.signal_id not in {s.signal_id for s in later}
