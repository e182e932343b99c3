"""The dispatch and a plan of one interval say the same of one facility, in the same words and at the same prices."""

from dataclasses import replace

import pytest

from schemas import events as e
from streams.domain.allocation import solve
from streams.domain.dispatch import cp_sat
from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.planning import alone
from tests.unit.streams.allocation_case import asic, award, chosen, gpu, job, snapshot

Limits = dict[tuple[str, str, str], float]


def planned(case: e.AllocationSnapshot) -> e.AllocationDecision:
    """The decision of the same facts as a plan of the one interval."""
    return solve(alone(case))


def limits_of(decision: e.AllocationDecision) -> Limits:
    return {(entry.rule, entry.subject, entry.unit): entry.usd_h for entry in decision.binding_limits}


# NORMAL draws 1 MW for 80 USD/h, TURBO 1.5 MW for 100: half a MW more for 20, 40 a MW.
CHEAP = replace(snapshot(asic()), power_cost_usd_mwh=30.0)
DEAR = replace(snapshot(asic()), power_cost_usd_mwh=100.0)
IDLE = replace(asic(), idle_power_mw=2.0)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param(replace(CHEAP, cap_mw=1.25), {("facility cap", "Texas-1", "MW"): 10.0}, id="facility cap"),
        pytest.param(
            replace(CHEAP, signal_id="dr-1", limit_mw=1.25), {("grid limit", "Texas-1", "MW"): 10.0}, id="grid limit"
        ),
        pytest.param(
            replace(
                CHEAP,
                groups=[replace(asic(), transformer_id="t1")],
                transformers=[e.TransformerLimit(transformer_id="t1", cap_mw=1.25)],
            ),
            {("transformer cap", "t1", "MW"): 10.0},
            id="transformer cap",
        ),
        pytest.param(
            replace(CHEAP, load_before_mw=1.0, ramp_mw_min=0.05), {("ramp", "Texas-1", "MW"): 10.0}, id="ramp up"
        ),
        # At 100 USD/MWh what runs up to 1 MW loses 20 USD/h a MW.
        pytest.param(replace(DEAR, min_load_mw=0.75), {("minimum load", "Texas-1", "MW"): 20.0}, id="minimum load"),
        pytest.param(
            replace(DEAR, load_before_mw=1.25, ramp_mw_min=0.1), {("ramp", "Texas-1", "MW"): 20.0}, id="ramp down"
        ),
        pytest.param(
            replace(DEAR, capacity_awards=[award(capacity_mw=0.75, price_usd_mw_h=50.0)]),
            {("capacity award", "ECRS", "MW"): 20.0},
            id="capacity award",
        ),
        # Two of three fill the GPUs to the last: one more is worth the third's bid, 2.50 less 0.05 of energy.
        pytest.param(
            snapshot(gpu(), job("a", usd_h=12.0), job("b", usd_h=11.0), job("c", usd_h=10.0)),
            {("GPUs in service", "g1", "GPU"): 2.45},
            id="GPUs",
        ),
    ],
)
def test_what_limits_has_the_same_name_and_price(case: e.AllocationSnapshot, expected: Limits) -> None:
    assert limits_of(solve(case)) == pytest.approx(expected)
    # A plan's prices have in them what decides between equals, a millionth.
    assert limits_of(planned(case)) == pytest.approx(expected, rel=1e-5)


def test_higher_floor_is_short_at_its_penalty_before_the_lower_one_is_priced() -> None:
    # An award at 15 USD/h is not worth 20 of loss a MW: it is short down to the minimum load, kept for the other 5.
    case = replace(DEAR, min_load_mw=0.6, capacity_awards=[award(capacity_mw=0.3, price_usd_mw_h=15.0)])
    assert limits_of(solve(case)) == pytest.approx(
        {("capacity award", "ECRS", "MW"): 15.0, ("minimum load", "Texas-1", "MW"): 5.0}
    )


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        # Nothing can draw 2 MW: half a MW is short for 5 minutes.
        pytest.param(
            replace(DEAR, min_load_mw=2.0), [("minimum load", "Texas-1", 0.5, "MW", 20_000.0)], id="minimum load"
        ),
        pytest.param(
            replace(DEAR, load_before_mw=2.5, ramp_mw_min=0.1), [("ramp", "Texas-1", 0.5, "MW", 35_000.0)], id="ramp"
        ),
        # What is idle can't be turned off: 2 MW, whatever the limits.
        pytest.param(
            replace(DEAR, groups=[IDLE], cap_mw=1.5),
            [("facility cap", "Texas-1", 0.5, "MW", 1_000_000.0)],
            id="idle, cap",
        ),
        pytest.param(
            replace(
                DEAR,
                groups=[replace(IDLE, transformer_id="t1")],
                transformers=[e.TransformerLimit(transformer_id="t1", cap_mw=1.25)],
            ),
            [("transformer cap", "t1", 0.75, "MW", 500_000.0)],
            id="idle, transformer",
        ),
        pytest.param(
            replace(DEAR, groups=[IDLE], signal_id="dr-1", limit_mw=1.0),
            [("grid limit", "Texas-1", 1.0, "MW", 100_000.0)],
            id="idle, call",
        ),
        pytest.param(
            replace(DEAR, groups=[IDLE], load_before_mw=1.0, ramp_mw_min=0.1),
            [("ramp", "Texas-1", 0.5, "MW", 35_000.0)],
            id="idle, ramp",
        ),
    ],
)
def test_rule_that_cannot_be_kept_is_given_up_at_the_same_penalty(
    case: e.AllocationSnapshot, expected: list[tuple[str, str, float, str, float]]
) -> None:
    for decision in (solve(case), planned(case)):
        found = [(g.rule, g.subject, round(g.amount, 9), g.unit) for g in decision.given_up]
        assert found == [(rule, subject, mw, unit) for rule, subject, mw, unit, _ in expected]
        penalties = [g.penalty_usd for g in decision.given_up]
        assert penalties == pytest.approx([mw * usd_mwh / 12 for _, _, mw, _, usd_mwh in expected])
    assert solve(case).objective_usd_h == pytest.approx(planned(case).objective_usd_h)


def test_minimum_run_is_given_up_for_a_grid_limit_and_said_so() -> None:
    # 1.5 MW that have to run on, or 1.5 MW over the limit of 0 at twice the penalty: it stops.
    group = replace(asic(), current_mode=e.PowerMode.TURBO, held_s=0, min_up_s=300)
    case = replace(CHEAP, groups=[group], signal_id="dr-1", limit_mw=0.0)
    penalty_usd = 1.5 * PENALTY_USD_MWH[Rule.MINIMUM_RUN] / 12
    for decision in (solve(case), planned(case)):
        (found,) = decision.given_up
        assert (found.rule, found.subject, found.amount, found.unit) == ("minimum run", "m1", 1.0, "intervals")
        assert found.penalty_usd == pytest.approx(penalty_usd)


def test_minimum_run_that_is_cut_short_counts_within_what_is_decided() -> None:
    # Held for 5 of 30 minutes: five intervals are missing, of which a plan of three sees three, the dispatch one.
    group = replace(asic(), current_mode=e.PowerMode.TURBO, held_s=300, min_up_s=1800)
    case = replace(CHEAP, groups=[group], signal_id="dr-1", limit_mw=0.0)
    ahead = replace(case, horizon=3 * alone(case).horizon)
    assert [g.amount for g in solve(case).given_up] == [1.0]
    assert [g.amount for g in solve(ahead).given_up] == [3.0]


def test_floor_has_its_price_where_the_general_solver_decides() -> None:
    # 2 MW at least, of which the grid limit leaves 1.25: a MW less of the floor is worth its penalty, a MW more of the
    # limit that less the 20 USD that it loses.
    group = asic(options=((e.PowerMode.NORMAL, 1.0, 80.0), (e.PowerMode.TURBO, 2.0, 160.0)))
    case = replace(DEAR, groups=[group], min_load_mw=2.0, signal_id="dr-1", limit_mw=1.25)
    decision = solve(case)
    assert decision.solver.endswith(cp_sat.name())
    assert limits_of(decision) == limits_of(planned(case))
    assert limits_of(decision) == pytest.approx(
        {("minimum load", "Texas-1", "MW"): 20_000.0, ("grid limit", "Texas-1", "MW"): 19_980.0}
    )


def test_conflict_of_rules_is_settled_the_same_way() -> None:
    # The ramp holds the load over 2 MW, the minimum run holds m1, and the limit of 1 MW is dearer than both.
    group = replace(asic("m1"), current_mode=e.PowerMode.NORMAL, held_s=0, min_up_s=300)
    case = replace(
        CHEAP,
        groups=[group, replace(asic("m2"), current_mode=e.PowerMode.NORMAL, held_s=900)],
        load_before_mw=2.0,
        ramp_mw_min=0.1,
        signal_id="dr-1",
        limit_mw=1.0,
    )
    ours, theirs = solve(case), planned(case)
    assert chosen(ours) == chosen(theirs) == ({"m1": "NORMAL", "m2": "OFF"}, {})
    assert [g.rule for g in ours.given_up] == [g.rule for g in theirs.given_up] == ["ramp"]


def test_group_out_of_service_owes_no_minimum_run() -> None:
    group = replace(asic(), current_mode=e.PowerMode.NORMAL, held_s=0, min_up_s=600, out_of_service=[0])
    decision = solve(replace(CHEAP, groups=[group]))
    assert (decision.objective_usd_h, decision.given_up) == (0.0, [])
