"""The rules for inputs that are stale or missing."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import FallbackRule, InputCondition
from streams.domain import fallback
from streams.domain.market_state import FacilityInputs, MarketState, MissingInputs
from tests import streams_event as a
from tests.unit.streams.test_market_state import known

R = FallbackRule
LIMIT = timedelta(minutes=15)


def inputs_at(state: MarketState, seconds: float) -> FacilityInputs:
    """What is known of Texas-1."""
    found = state.as_of("Texas-1", a.at(seconds))
    assert isinstance(found, FacilityInputs)
    return found


def test_every_input_has_one_rule_for_each_condition() -> None:
    names = ["grid.prices/HB_WEST", "market.ticks/BTC-USD", "market.ticks/H100-HOUR-USD", "network.stats/bitcoin"]
    for name in (*names, "fleet.windows/tx1-asic"):
        rules = {condition: fallback.rule_of(name, condition) for condition in InputCondition}
        assert {rule.condition for rule in rules.values()} == set(InputCondition)
    assert len(fallback.RULES) == len({(rule.input, rule.condition) for rule in fallback.RULES}) == 10
    with pytest.raises(KeyError, match=r"no rule for grid\.pricesX"):
        fallback.rule_of("grid.pricesX", InputCondition.STALE)


@pytest.mark.parametrize("rule", fallback.RULES, ids=lambda rule: f"{rule.input} {rule.condition}")
def test_the_first_rule_for_which_there_is_something_is_followed(rule: fallback.Rule) -> None:
    for number, expected in enumerate(rule.order):
        options = {candidate: None if rule.order.index(candidate) < number else 7.0 for candidate in rule.order}
        assert fallback.chosen(rule, options) == (expected, 7.0)
    assert fallback.chosen(rule, dict.fromkeys(rule.order)) is None


def test_stale_real_time_price_gives_way_to_the_day_ahead_price_of_the_hour() -> None:
    state = known(a.day_ahead(0, 44.0))
    assert inputs_at(state, 900).price == a.price()
    found = inputs_at(state, 901)
    assert found.price == a.day_ahead(0, 44.0)
    assert [(f.name, f.rule, f.value) for f in found.fallbacks if f.name.startswith("grid")] == [
        ("grid.prices/HB_WEST", R.DAY_AHEAD_OF_HOUR, 44.0)
    ]


def test_stale_real_time_price_without_a_day_ahead_price_holds_on() -> None:
    found = inputs_at(known(a.day_ahead(1, 44.0)), 901)
    assert found.price == a.price()
    assert [(f.rule, f.value) for f in found.fallbacks if f.name.startswith("grid")] == [(R.LAST_KNOWN, 30.0)]


def test_price_of_an_hour_is_fresh_while_its_hour_lasts() -> None:
    hourly = a.price(interval_s=3600)
    fresh = fallback.grid_price("grid.prices/X", hourly, a.day_ahead(0), a.at(3599), LIMIT)
    stale = fallback.grid_price("grid.prices/X", hourly, a.day_ahead(0), a.at(3600), LIMIT)
    assert fresh is not None
    assert stale is not None
    assert (fresh.event, fresh.fallback) == (hourly, None)
    assert stale.event == a.day_ahead(0)


def test_day_ahead_price_stands_in_before_the_first_real_time_price() -> None:
    state = MarketState()
    for event in (a.facility(), a.miners(), a.tick(), a.gpu_tick(), a.network(), a.day_ahead(0, 44.0)):
        state.add(event)
    found = inputs_at(state, 0)
    assert found.price.price_usd_mwh == 44.0
    assert [(f.condition, f.rule) for f in found.fallbacks] == [(InputCondition.MISSING, R.DAY_AHEAD_OF_HOUR)]
    assert {r.name: r.event_id for r in found.references if r.name.startswith("grid")} == {
        "grid.prices/HB_WEST": "",
        "grid.prices/HB_WEST/DAY_AHEAD": a.day_ahead(0).event_id,
    }


def test_old_btc_price_is_taken_with_its_risk() -> None:
    # A day of 63 % a year: 0.63 / sqrt(365) = 3.2976 %, times 1.645: exp(-0.054246) = 0.947199.
    assert fallback.less_risk_usd(100_000, timedelta(days=1)) == pytest.approx(94_719.9, rel=1e-5)
    found = inputs_at(known(), 601)
    (told,) = [f for f in found.fallbacks if f.name == "market.ticks/BTC-USD"]
    assert found.btc.price_usd == told.value == fallback.less_risk_usd(100_000, timedelta(seconds=601))
    assert found.btc.event_id == a.tick().event_id


@given(st.floats(0.01, 1e6), st.floats(0, 1e8), st.floats(0, 1e8))
def test_older_btc_price_is_never_worth_more_and_never_nothing(price: float, age_s: float, more_s: float) -> None:
    young, old = (fallback.less_risk_usd(price, timedelta(seconds=s)) for s in (age_s, age_s + more_s))
    assert 0 < old <= young <= price


def test_gpu_hour_that_was_never_seen_is_worth_the_lowest_contract() -> None:
    state = MarketState()
    needed = (a.facility(), a.miners(), a.tick(), a.network(), a.price(), a.customer("acme", "2.50"))
    for event in (*needed, a.customer("bolt", "1.75")):
        state.add(event)
    found = inputs_at(state, 0)
    assert (found.gpu_hour.price_usd, found.gpu_hour.source) == (1.75, "registry.customers/bolt")
    assert [(f.name, f.rule, f.value) for f in found.fallbacks] == [
        ("market.ticks/H100-HOUR-USD", R.LOWEST_CONTRACT, 1.75)
    ]


@pytest.mark.parametrize(
    ("left_out", "name"), [(a.tick(), "market.ticks/BTC-USD"), (a.network(), "network.stats/bitcoin")]
)
def test_without_bitcoin_or_the_network_nothing_stands_in(left_out: object, name: str) -> None:
    state = MarketState()
    needed = (a.facility(), a.miners(), a.tick(), a.gpu_tick(), a.network(), a.price(), a.customer())
    for event in needed:
        if event != left_out:
            state.add(event)
    assert state.as_of("Texas-1", a.at(0)) == MissingInputs("Texas-1", (name,))


@given(st.floats(0, 1e6))
def test_no_age_makes_an_input_zero(seconds: float) -> None:
    found = inputs_at(known(), seconds)
    assert min(found.btc.price_usd, found.gpu_hour.price_usd, found.network.difficulty, found.price.price_usd_mwh) > 0
    stale = {r.name for r in found.references if r.is_stale}
    assert stale == {f.name for f in found.fallbacks}
