"""Calls of the grid operator over months."""

from datetime import UTC, datetime

from schemas import events as e
from simulators.grid import Grid
from simulators.replay import IntervalPrice, Replay
from simulators.signal import Signals
from simulators.timeline import DAY_MS, HOUR_MS, to_ms
from tests.simulators_world import START_MS, an_operator

DAY = START_MS // DAY_MS * DAY_MS


def a_grid_operator(facilities: tuple[e.Facility, ...], replay: Replay | None = None) -> Signals:
    return Signals(facilities, Grid([f.settlement_point for f in facilities], 1, replay), seed=1)


def test_calls_have_an_end_never_overlap_and_limit_the_load() -> None:
    facilities = an_operator().facilities
    caps = {facility.facility_id: facility.cap_mw for facility in facilities}
    found = list(a_grid_operator(facilities).signals(DAY, DAY + 30 * DAY_MS, since_ms=0))
    for facility_id, cap_mw in caps.items():
        mine = sorted((s for s in found if s.facility_id == facility_id), key=lambda s: s.observed_at)
        assert [s.status for s in mine] == [e.SignalStatus.CALLED, e.SignalStatus.ENDED] * (len(mine) // 2)
        assert all(a.signal_id == b.signal_id for a, b in zip(mine[::2], mine[1::2], strict=True))
        assert all(s.observed_at <= s.ends_at and s.starts_at < s.ends_at for s in mine)
        assert all(0 < s.limit_mw < cap_mw for s in mine)
        assert 20 < len(mine) / 2 < 75  # half of 90 thirds of a day


def test_calls_made_before_the_log_begins_are_not_ended_in_it() -> None:
    facilities = an_operator().facilities
    everything = list(a_grid_operator(facilities).signals(DAY, DAY + 10 * DAY_MS, since_ms=0))
    call = next(s for s in everything if s.status is e.SignalStatus.CALLED)
    since_ms = to_ms(call.observed_at) + 1
    later = list(a_grid_operator(facilities).signals(since_ms, DAY + 10 * DAY_MS, since_ms))
    assert call.signal_id not in {s.signal_id for s in later}


def test_an_emergency_is_called_ten_minutes_before_the_price_says_that_offers_run_out() -> None:
    facilities = tuple(f for f in an_operator().facilities if f.facility_id == "Texas-1")
    prices = [20.0] * 24 + [1500.0] * 18 + [20.0] * 54
    replay = Replay({"HB_WEST": [IntervalPrice(DAY + n * 300_000, 300_000, usd) for n, usd in enumerate(prices)]})
    found = list(a_grid_operator(facilities, replay).signals(DAY, DAY + 8 * HOUR_MS, since_ms=0))
    # From 02:00 on, for an hour and a half.
    begin, end = found
    assert (begin.kind, begin.limit_mw) == (e.SignalKind.CURTAILMENT, round(0.1 * facilities[0].cap_mw, 3))
    assert to_ms(begin.observed_at) == DAY + 110 * 60_000
    assert (to_ms(begin.starts_at), to_ms(begin.ends_at)) == (DAY + 2 * HOUR_MS, DAY + 3 * HOUR_MS + HOUR_MS // 2)
    assert (end.status, to_ms(end.observed_at)) == (e.SignalStatus.ENDED, to_ms(begin.ends_at))


def test_texas_stays_away_from_the_peaks_of_summer_weekdays_and_alberta_has_none() -> None:
    facilities = an_operator().facilities
    june = to_ms(datetime(2026, 6, 1, tzinfo=UTC))
    found = list(a_grid_operator(facilities).signals(june, june + 122 * DAY_MS, since_ms=0))
    peaks = [s for s in found if "-4cp-" in s.signal_id and s.status is e.SignalStatus.CALLED]
    assert {s.facility_id for s in peaks} == {"Texas-1", "Texas-2"}
    assert all(s.starts_at.weekday() < 5 and s.starts_at.hour == 21 for s in peaks)
    # Enough days to catch four peaks, far fewer than the 87 weekdays.
    days = {s.starts_at.date() for s in peaks}
    assert 8 <= len(days) <= 45
    winter = a_grid_operator(facilities).signals(DAY, DAY + 30 * DAY_MS, since_ms=0)
    assert not [s for s in winter if "-4cp-" in s.signal_id]
