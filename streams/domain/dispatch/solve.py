"""The exact optimum of one interval's choices, given what the plan made last has next, and the worth of its limits.

`knapsack` finds it; where it does not, or would take too long, CP-SAT has all of it. Both count in integers and stop by
work done, never by time, so the same snapshot gives the same bytes.
"""

from collections.abc import Iterable, Sequence

from schemas.events import AllocationSnapshot, BindingLimit, GivenUpRule
from streams.domain import reserve
from streams.domain.choice import (
    MONEY_PER_USD,
    Choices,
    Floor,
    has_to_stay,
    is_ramped,
    is_switched,
    stay_penalty_usd_h,
    stay_rule,
)
from streams.domain.dispatch import cp_sat, knapsack
from streams.domain.dispatch.dual import Dual, dual
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.dispatch.problem import problem_of
from streams.domain.outcome import Outcome
from streams.domain.penalty import Rule
from streams.domain.selection import Selection, excess_w, extra_w, worth


def dispatched(snapshot: AllocationSnapshot, found: Choices) -> Outcome:
    """Returns the optimum of the choices of a snapshot. Deterministic."""
    best = knapsack.optimum(found)
    if best is not None:
        selection, status, bound = best.selection, "OPTIMAL", float(best.worth)
        solver, limits = knapsack.NAME, binding_limits(snapshot, found, best.prices, best.floor_price)
    else:
        selection, status, bound = cp_sat.best(found, merit_order(found))
        solver = cp_sat.name()
        limits = binding_limits(snapshot, found, dual(problem_of(found, merged=True)), 0.0)
    load_mw = found.base_mw + extra_w(found, selection) / 1e6
    return Outcome(
        selection=selection,
        objective_usd_h=worth(found, selection) / MONEY_PER_USD + found.constant_usd_h,
        bound_usd_h=bound / MONEY_PER_USD + found.constant_usd_h,
        status=status,
        solver=solver,
        next_modes={},
        horizon=(),
        binding_limits=tuple(limits),
        given_up=(
            *reserve.beyond_ramp(snapshot),
            *reserve.given_up(snapshot, load_mw),
            *_given_up(snapshot, found, selection),
        ),
        capacity_usd_h=reserve.earned_usd_h(snapshot, load_mw),
    )


def binding_limits(
    snapshot: AllocationSnapshot, found: Choices, prices: Dual, floor_price: float
) -> list[BindingLimit]:
    """What limits a decision and the worth of one more MW or GPU, USD an hour, by rule and subject.

    They are the prices of the linear relaxation (Dantzig, "Linear Programming and Extensions", 1963, on duals): what a
    small change is worth on average, not what the next whole mode or workload is worth. A floor's is what one MW less
    of it is worth. What a call pays for the cap itself is not in them, nor the floors of a decision by CP-SAT.
    """
    # Money units for a W and USD for a MW are the same number.
    is_called = found.limit_extra_w is not None and found.limit_extra_w < found.cap_extra_w
    call = min(prices.watt, found.penalty_per_w) if is_called else 0.0
    gpu = prices.gpu if len(prices.gpu) == len(found.gpus) else prices.gpu * len(found.gpus)
    rows = [(Rule.GPU_UNITS, group, "GPU", price / MONEY_PER_USD) for group, price in zip(found.gpus, gpu, strict=True)]
    rows += [
        (Rule.RAMP if is_ramped(snapshot) else Rule.FACILITY_CAP, snapshot.facility_id, "MW", prices.watt - call),
        (Rule.GRID_LIMIT, snapshot.facility_id, "MW", call),
    ]
    behind = zip(found.transformers, prices.transformer, strict=True)
    rows += [(Rule.TRANSFORMER_CAP, transformer, "MW", price) for transformer, price in behind]
    rows += [(rule, subject, "MW", price) for rule, subject, price in _floor_prices(found.floors, floor_price)]
    return [
        BindingLimit(rule=rule, subject=subject, interval=0, unit=unit, usd_h=usd_h)
        for rule, subject, unit, usd_h in rows
        if usd_h > 0
    ]


def _floor_prices(floors: Sequence[Floor], price: float) -> Iterable[tuple[Rule, str, float]]:
    """Shares the price of a W out: the highest floors are short first, at their penalty, the last is only just kept."""
    for floor in sorted(floors, key=lambda f: (-f.extra_w, f.penalty_per_w)):
        share = min(price, floor.penalty_per_w)
        price -= share
        if floor.rule is not None:
            yield floor.rule, floor.subject, share


def _given_up(snapshot: AllocationSnapshot, found: Choices, selection: Selection) -> list[GivenUpRule]:
    """Rules that are not kept, but for awarded capacity."""
    hours = snapshot.interval_s / 3600
    load_w = extra_w(found, selection)
    rows = [(Rule.GRID_LIMIT, excess_w(found, load_w), found.penalty_per_w)]
    rows += [
        (floor.rule, floor.extra_w - load_w, floor.penalty_per_w)
        for floor in found.floors
        if floor.rule in {Rule.RAMP, Rule.MINIMUM_LOAD}
    ]
    return [
        GivenUpRule(
            rule=rule,
            subject=snapshot.facility_id,
            interval=0,
            amount=watts / 1e6,
            unit="MW",
            penalty_usd=watts * price / MONEY_PER_USD * hours,
        )
        for rule, watts, price in rows
        if watts > 0
    ] + [
        GivenUpRule(
            rule=stay_rule(group),
            subject=group.resource_group_id,
            interval=0,
            amount=1.0,
            unit="intervals",
            penalty_usd=stay_penalty_usd_h(snapshot, group) * hours,
        )
        for group in snapshot.groups
        if has_to_stay(group) and is_switched(group.current_mode, selection.modes.get(group.resource_group_id))
    ]
