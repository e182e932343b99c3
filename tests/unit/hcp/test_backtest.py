"""The backtest: exact foresight, rules, and decisions that can't know what was not published."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcp.backtest.decider import AlwaysOn, BreakEven, FixedHours
from hcp.backtest.engine import FORESIGHT, NewDecider, Week, run_week, settled_usd
from hcp.backtest.error import BacktestError
from hcp.backtest.fleet import Fleet
from hcp.backtest.live import LivePath
from hcp.backtest.market import Known, Market, block_height
from hcp.backtest.planner import Planner
from hcp.backtest.report import best_rule, lead_table, lead_usd, signs, total_share
from tests import streams_event
from tests.backtest_case import (
    AUCTION_LEAD_MS,
    DAY_MS,
    HISTORY_DAYS,
    HOUR_MS,
    MONDAY_MS,
    fleet,
    market,
    resources,
    wavy_prices,
)

RULE_USD = ((0, 91.0), (1, 90.0), (2, 95.0))


def _everyone(machine: Fleet, recorded: Market, end_ms: int | None = None) -> Week:
    deciders: dict[str, NewDecider] = {
        "plan": lambda: Planner(machine),
        "live": lambda: LivePath(machine, resources()),
        "break-even": lambda: BreakEven(machine),
        "always on": lambda: AlwaysOn(machine),
        "fixed hours": lambda: FixedHours(machine),
    }
    week = run_week(recorded, machine, deciders, MONDAY_MS, end_ms)
    assert week is not None
    return week


def test_states_keep_the_cap_and_steps_keep_least_times() -> None:
    machine = fleet(cap_mw=0.6)
    assert machine.load_mw.max() <= 0.6
    # Group a waits three hours once it is off, and runs two once it is on.
    off = next(s for s in range(len(machine.modes)) if machine.modes[s].tolist() == [0, 0])
    assert [machine.modes[machine.obey(off, (1, 1))].tolist() for off in [off]] == [[0, 1]]


def test_path_is_the_best_of_all_paths() -> None:
    machine = fleet()
    margins = machine.margins_usd(np.full(3, 0.05), np.array([400.0, -20.0, 55.0]))
    _, worth = machine.best_path(margins, machine.full)
    every = product(range(len(machine.modes)), repeat=3)
    assert worth == pytest.approx(max(settled_usd(machine, margins, np.array(path)) for path in every))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), cap_mw=st.floats(0.2, 0.9))
def test_nobody_earns_more_than_perfect_foresight(seed: int, cap_mw: float) -> None:
    week = _everyone(fleet(cap_mw), market(wavy_prices(seed=seed)), MONDAY_MS + DAY_MS)
    assert all(margin <= week.margin_usd[FORESIGHT] + 1e-6 for margin in week.margin_usd.values())


@settings(max_examples=5, deadline=None)
@given(hour=st.integers(1, 12), delay_ms=st.sampled_from([0, HOUR_MS]), seed=st.integers(0, 10_000))
def test_decisions_do_not_depend_on_what_is_not_published_yet(hour: int, delay_ms: int, seed: int) -> None:
    machine, prices = fleet(), wavy_prices(seed=seed)
    altered = prices.copy()
    known = HISTORY_DAYS * 24 + hour + (1 if delay_ms == 0 else 0)
    altered[known:] = 3000 - altered[known:]
    auction = np.roll(prices, -1)
    other_auction = auction.copy()
    other_auction[HISTORY_DAYS * 24 + hour + AUCTION_LEAD_MS // HOUR_MS + 1 :] += 1000
    before, after = (
        _everyone(machine, market(*series, delay_ms=delay_ms), MONDAY_MS + DAY_MS)
        for series in ((prices, auction), (altered, other_auction))
    )
    for name in ("plan", "live", "break-even", "always on", "fixed hours"):
        assert before.load_mw[name][: hour + 1].tolist() == after.load_mw[name][: hour + 1].tolist()
    # The test can fail: who knows the future does otherwise.
    assert before.load_mw[FORESIGHT].tolist() != after.load_mw[FORESIGHT].tolist()


def test_what_is_known_can_not_reach_what_is_not() -> None:
    recorded = market(wavy_prices())
    known = recorded.known(MONDAY_MS)
    for series in (known.prices.real_time, known.bitcoin.price_usd, known.bitcoin.difficulty, known.bitcoin.fees_btc):
        assert series.published_ms[-1] <= MONDAY_MS
        assert series.values.base is None


def test_margin_is_revenue_less_power_and_wear() -> None:
    machine = fleet()
    margins = machine.margins_usd(np.array([0.048]), np.array([100.0]))
    state = next(s for s in range(len(machine.modes)) if machine.modes[s].tolist() == [1, 1])
    # ECO: 100 x 120 + 100 x 60 = 18,000 TH/s at 0.048/24 USD an hour are 36 USD; 2 x 0.22 MW at 100 USD/MWh cost 44.
    assert margins[0, state] == pytest.approx(36.0 - 44.0)
    stopped = next(s for s in range(len(machine.modes)) if machine.modes[s].tolist() == [0, 0])
    assert machine.step_cost_usd[machine.full, stopped] == 2.0


def test_break_even_rule_stops_the_group_that_loses_money() -> None:
    machine, prices = fleet(cap_mw=0.7), np.full(24 * (HISTORY_DAYS + 1), 70.0)
    known = market(prices).known(MONDAY_MS)
    # 86.4e18 hashes a day over 1e14 x 2^32: 0.000201 blocks, x 3.175 BTC x 98 % is 0.0626 USD/TH/s/day. NORMAL breaks
    # even at 150 x 0.0626 / 24 / 0.0033 = 118 USD/MWh in a, at 59 in b; power is 70 + 10.
    assert known.hashprice_usd_ths_day == pytest.approx(0.0626, rel=0.001)
    a, b = BreakEven(machine).decide(known, machine.full)
    assert (a > 0, b) == (True, 0)


def test_fixed_hours_are_off_from_four_to_eight_in_the_afternoon_of_the_site() -> None:
    recorded = market(np.full(24 * (HISTORY_DAYS + 7), 50.0))
    machine = Fleet(streams_event.facility(cap_mw=0.6), resources()[1:], HOUR_MS)
    week = run_week(recorded, machine, {"fixed": lambda: FixedHours(machine)}, MONDAY_MS)
    assert week is not None
    # 16:00 in Chicago is 21:00 UTC in June.
    assert np.flatnonzero(week.load_mw["fixed"][:28] < 0.01).tolist() == [0, 21, 22, 23, 24]


def test_week_without_a_price_is_left_out() -> None:
    assert run_week(market(wavy_prices(days=HISTORY_DAYS + 6)), fleet(), {}, MONDAY_MS) is None


def test_facility_with_too_many_states_is_refused_with_the_mend() -> None:
    groups = [streams_event.miners(f"g{n}", min_up_s=3600, min_down_s=3600) for n in range(4)]
    with pytest.raises(BacktestError, match="fewer groups or longer intervals"):
        Fleet(streams_event.facility(), groups, HOUR_MS // 12)


def test_blocks_are_counted_from_the_halving() -> None:
    # Block 840,000: 2024-04-20 00:09:27 UTC; a day has 144 blocks of 600 s.
    halving_ms = 1_713_571_767_000
    assert [block_height(at_ms) for at_ms in (halving_ms, halving_ms + DAY_MS)] == [840_000, 840_144]
    assert block_height(halving_ms - 1) < 840_000


def test_report_names_spikes_and_negative_prices_and_who_was_better() -> None:
    week = Week(0, {"ours": 90.0, "rule": 91.0, "other": 80.0, FORESIGHT: 100.0}, {}, np.array([-1.0, 800.0]))
    assert (signs(week), best_rule(week, "ours"), total_share([week, week], "ours")) == ("spike, negative", "rule", 0.9)
    assert (lead_usd(week, "ours"), lead_usd(week, "rule")) == (1.0, 0.0)


def test_report_lists_the_weeks_that_a_rule_won_by_its_lead() -> None:
    won = [Week(day * DAY_MS, {"ours": 90.0, "rule": usd, FORESIGHT: 100.0}, {}, np.ones(1)) for day, usd in RULE_USD]
    table = lead_table(won, "ours")
    assert table is not None
    cells = [list(column.cells) for column in table.columns]
    assert cells == [
        ["1970-01-03", "1970-01-01"],
        ["rule", "rule"],
        ["95.00%", "91.00%"],
        ["90.00%", "90.00%"],
        ["5.00", "1.00"],
        ["5.000%", "1.000%"],
    ]
    assert lead_table(won[1:2], "ours") is None


@pytest.mark.parametrize(
    ("hours", "delay_ms", "runs"),
    [
        pytest.param(1, HOUR_MS, True, id="spike that is over"),
        pytest.param(8, HOUR_MS, False, id="plateau"),
        pytest.param(1, 0, False, id="spike that begins"),
    ],
)
def test_plan_stops_for_a_high_price_only_where_it_lasts(hours: int, delay_ms: int, runs: bool) -> None:
    # 600 USD/MWh, far over the break-even of 118, in the last hour known; 30 before it. By the record such a price
    # was there for one hour, or for eight. Where it is known as its hour begins, that hour is the one to decide.
    machine, clock = fleet(cap_mw=0.7), np.arange(HISTORY_DAYS * 24)
    prices = np.where((len(clock) - 1 - clock) % 20 < hours, 600.0, 30.0)
    prices[-hours:] = [30.0] * (hours - 1) + [600.0]
    known = market(prices, delay_ms=delay_ms).known(MONDAY_MS - HOUR_MS + delay_ms)
    assert any(BreakEven(machine).decide(known, machine.full)) is False
    assert any(Planner(machine).decide(known, machine.full)) is runs


def test_plan_needs_prices_to_learn_from() -> None:
    with pytest.raises(BacktestError, match="choose a later --from"):
        Planner(fleet()).decide(market([30.0]).known(MONDAY_MS), 0)


class _Peek:
    """Fails where it is given something that was published later."""

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        assert known.prices.real_time.published_ms[-1] <= known.now_ms
        return (1, 1)


def test_engine_gives_deciders_the_past_only() -> None:
    machine = fleet()
    assert run_week(market(wavy_prices()), machine, {"peek": _Peek}, MONDAY_MS) is not None
