"""What the market state knows as of a moment, and what it lets go of."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Facility, SignalStatus
from streams.domain.market_state import FacilityInputs, MarketState, MissingInputs
from streams.domain.master_data import MasterData
from tests import streams_event as a


def known(*more: object) -> MarketState:
    """A state with all that Texas-1 needs at noon."""
    state = MarketState()
    events = (a.facility(), a.miners(), a.gpus(), a.tick(), a.gpu_tick(), a.network(), a.price(), *more)
    for event in events:
        state.add(event)  # type: ignore[arg-type]
    return state


def test_missing_inputs_are_named() -> None:
    state = MarketState()
    state.add(a.facility())
    state.add(a.tick())
    assert state.as_of("Texas-1", a.at(10)) == MissingInputs(
        "Texas-1",
        (
            "grid.prices/HB_WEST",
            "market.ticks/H100-HOUR-USD",
            "network.stats/bitcoin",
            "registry.resources/Texas-1",
        ),
    )


def test_inputs_are_the_newest_not_later_than_the_moment() -> None:
    state = known(a.tick(60, 90_000.0), a.tick(120, 80_000.0))
    found = state.as_of("Texas-1", a.at(60))
    assert isinstance(found, FacilityInputs)
    assert found.btc == a.tick(60, 90_000.0)


def test_altered_future_changes_no_past_input() -> None:
    before = known().as_of("Texas-1", a.at(30))
    assert known(a.tick(31, 1.0), a.price(31, 9_000.0), a.network(31, 1.0)).as_of("Texas-1", a.at(30)) == before


def test_stale_input_is_flagged_and_kept() -> None:
    found = known(a.price(660)).as_of("Texas-1", a.at(660))
    assert isinstance(found, FacilityInputs)
    assert {r.name: r.is_stale for r in found.references} == {
        "grid.prices/HB_WEST": False,
        "market.ticks/BTC-USD": True,  # 11 minutes old, limit 10
        "market.ticks/H100-HOUR-USD": True,
        "network.stats/bitcoin": False,  # limit 3 hours
    }


def test_day_ahead_price_does_not_take_the_place_of_a_real_time_price() -> None:
    state = known(a.day_ahead(0, 99.0, published=5))
    found = state.as_of("Texas-1", a.at(60))
    assert isinstance(found, FacilityInputs)
    assert found.price == a.price()


def test_day_ahead_price_is_that_of_the_hour_which_holds_the_moment() -> None:
    state = known(a.day_ahead(0, 40.0), a.day_ahead(1, 50.0), a.day_ahead(3, 70.0))
    asked = (0, 3599, 3600, 7200, 10_800)
    found = [state.day_ahead("HB_WEST", a.at(seconds), at=a.at(0)) for seconds in asked]
    assert [None if p is None else p.price_usd_mwh for p in found] == [40.0, 40.0, 50.0, None, 70.0]
    assert state.day_ahead("HB_NORTH", a.at(0), at=a.at(0)) is None


def test_day_ahead_price_is_unknown_before_it_is_published_and_a_correction_holds_from_then_on() -> None:
    state = known(a.day_ahead(1, 44.0, published=600), a.day_ahead(1, 40.0, published=0))
    found = [state.day_ahead("HB_WEST", a.at(3600), at=a.at(seconds)) for seconds in (-1, 0, 599, 600)]
    assert [None if p is None else p.price_usd_mwh for p in found] == [None, 40.0, 40.0, 44.0]


def test_day_ahead_price_is_kept_until_its_hour_is_over() -> None:
    state = known(a.day_ahead(0), a.day_ahead(1))
    assert state.add(a.day_ahead(1)) is None
    assert a.day_ahead(0).event_id not in state.forget_before(a.at(3599))
    assert a.day_ahead(0).event_id in state.forget_before(a.at(3600))
    assert state.day_ahead("HB_WEST", a.at(3600), at=a.at(3600)) == a.day_ahead(1)


def test_call_that_begins_within_the_interval_is_active() -> None:
    state = known(a.signal(0, starts_at=a.at(200), ends_at=a.at(900)))
    call = state.active_call("Texas-1", a.at(0), a.at(300))
    assert call is not None
    assert call.signal_id == "dr-1"
    assert state.active_call("Texas-1", a.at(0), a.at(200)) is None
    assert state.active_call("Texas-1", a.at(900), a.at(1200)) is None


def test_ended_call_is_not_active() -> None:
    state = known(a.signal(0), a.signal(100, status=SignalStatus.ENDED))
    assert state.active_call("Texas-1", a.at(99), a.at(300)) is not None
    assert state.active_call("Texas-1", a.at(100), a.at(300)) is None


def test_tightest_of_two_calls_holds() -> None:
    state = known(a.signal(0, limit_mw=0.5), a.signal(1, limit_mw=0.3, signal_id="dr-2"))
    call = state.active_call("Texas-1", a.at(2), a.at(300))
    assert call is not None
    assert call.signal_id == "dr-2"


def test_load_adds_the_parts_of_a_group() -> None:
    # Two partitions of 50 miners at 3 kW; the newer window of the second drew 2 kW each: 150 + 100 kW.
    state = known(a.window(15), a.window(15, partition=1), a.window(30, partition=1, power_w_sum=100_000.0))
    assert state.load.it_load_w("Texas-1", "tx1-asic") == 250_000.0


def test_part_that_fell_silent_no_longer_counts() -> None:
    state = known(a.window(15), a.window(300, partition=1))
    assert state.load.it_load_w("Texas-1", "tx1-asic") == 150_000.0


def test_device_that_reports_twice_a_window_counts_once() -> None:
    state = known(a.window(15, readings=100, devices=50, power_w_sum=300_000.0))
    assert state.load.it_load_w("Texas-1", "tx1-asic") == 150_000.0


def test_replaced_window_is_let_go() -> None:
    state = known(a.window(15))
    assert state.add(a.window(30)) == (a.window(15).event_id,)
    assert state.add(a.window(15)) is None


def test_forgetting_keeps_what_the_present_needs() -> None:
    state = known(a.tick(60), a.tick(120))
    dropped = state.forget_before(a.at(100))
    assert dropped == (a.tick(0).event_id,)
    found = state.as_of("Texas-1", a.at(100))
    assert isinstance(found, FacilityInputs)
    assert found.btc == a.tick(60)


def records() -> list[Facility]:
    """What is said of Texas-1: a cap of 1 MW until noon, 2 MW for five minutes, 3 MW after that."""
    (first, second, third) = ((1.0, -3600), (2.0, 0), (3.0, 300))
    return [
        a.facility(cap_mw=cap_mw, recorded_at=a.at(seconds), event_id=f"cap-{cap_mw}")
        for cap_mw, seconds in (first, second, third)
    ]


@given(st.permutations([*records(), *records()]))
def test_master_data_is_that_of_the_moment_in_whatever_order_it_comes(found: list[Facility]) -> None:
    state = known()
    state.facility_records = MasterData()
    for record in found:
        assert state.add(record) == ()
    caps = {seconds: inputs.facility.cap_mw for seconds in (0, 299, 300, 900)
            if isinstance(inputs := state.as_of("Texas-1", a.at(seconds)), FacilityInputs)}  # fmt: skip
    assert caps == {0: 2.0, 299: 2.0, 300: 3.0, 900: 3.0}
    assert state.facilities["Texas-1"].cap_mw == 3.0
    # Before the first record that one holds: nothing else is known.
    assert state.facility_records.as_of(a.at(-7200))["Texas-1"].cap_mw == 1.0


def test_master_data_is_forgotten_where_no_question_reaches_it() -> None:
    state = known()
    state.facility_records = MasterData()
    for record in records():
        state.add(record)
    # At 299 s that of noon still holds.
    assert set(state.forget_before(a.at(299))) & {"cap-1.0", "cap-2.0", "cap-3.0"} == {"cap-1.0"}
    assert set(state.forget_before(a.at(300))) & {"cap-1.0", "cap-2.0", "cap-3.0"} == {"cap-2.0"}
    assert state.facilities["Texas-1"].cap_mw == 3.0


@given(st.permutations([a.tick(n) for n in range(0, 50, 10)] + [a.tick(20), a.tick(30)]))
def test_order_and_repetition_of_ticks_change_nothing(ticks: list[object]) -> None:
    found = known(*ticks).tick_series("BTC-USD").events
    assert found == [a.tick(n) for n in range(0, 50, 10)]


def test_first_complete_names_the_input_that_came_last() -> None:
    state = MarketState()
    for event in (a.facility(), a.miners(), a.tick(), a.gpu_tick(3), a.network(2), a.price(5)):
        assert state.first_complete("Texas-1") is None
        state.add(event)
    found = state.first_complete("Texas-1")
    assert found is not None
    assert (found.at, found.name) == (a.at(5), "grid.prices/HB_WEST")


def test_replacing_a_resource_moves_it() -> None:
    state = known(replace(a.gpus(), event_id="moved", facility_id="Texas-2", recorded_at=a.at(1)))
    for seconds, groups in ((0, ["tx1-asic", "tx1-gpu"]), (1, ["tx1-asic"])):
        found = state.as_of("Texas-1", a.at(seconds))
        assert isinstance(found, FacilityInputs)
        assert [r.resource_group_id for r in found.resources] == groups
