"""The exact optimum of one interval's choices, given what the plan made last has next, and the worth of its limits.

`knapsack` finds it; where it does not, or would take too long, CP-SAT has all of it. Both count in integers and stop by
work done, never by time, so the same snapshot gives the same bytes. What is given up is told by the plan's own rules,
for the one interval: of a minimum run or rest that is cut short a plan counts all intervals that are missing within its
horizon, so the dispatch counts one.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from schemas.events import AllocationSnapshot, BindingLimit, GivenUpRule
from streams.domain import reserve
from streams.domain.choice import (
    MONEY_PER_USD,
    Choices,
    Floor,
    idle_mw,
    is_ramped,
    is_switched,
    stay_penalty_usd_h,
    stay_rule,
)
from streams.domain.commitment import has_to_stay
from streams.domain.dispatch import cp_sat, knapsack
from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.outcome import Outcome
from streams.domain.penalty import Rule
from streams.domain.plan.value import broken
from streams.domain.planning import alone, given_up_rule, planned, site_of
from streams.domain.selection import Selection, draws, extra_w, worth


def dispatched(snapshot: AllocationSnapshot, found: Choices) -> Outcome:
    """Returns the optimum of the choices of a snapshot. Deterministic."""
    best = knapsack.optimum(found)
    if best is not None:
        selection, status, bound = best.selection, "OPTIMAL", float(best.worth)
        solver, limits = knapsack.NAME, _binding_limits(snapshot, found, best.prices, best.floor_price)
    else:
        selection, status, bound = cp_sat.best(found, merit_order(found))
        # Floors and limits may both have a price then, which the prices of the knapsack leave out.
        solver, limits = f"{knapsack.NAME}, {cp_sat.name()}", planned(alone(snapshot)).binding_limits
    load_mw = found.base_mw + extra_w(found, selection) / 1e6
    return Outcome(
        selection=selection,
        objective_usd_h=worth(found, selection) / MONEY_PER_USD + found.constant_usd_h,
        bound_usd_h=bound / MONEY_PER_USD + found.constant_usd_h,
        status=status,
        solver=solver,
        planned_modes={},
        horizon=(),
        binding_limits=tuple(limits),
        given_up=(*reserve.beyond_ramp(snapshot), *_given_up(snapshot, found, selection, load_mw)),
        capacity_usd_h=reserve.earned_usd_h(snapshot, load_mw),
    )


def _binding_limits(
    snapshot: AllocationSnapshot, found: Choices, prices: Dual, floor_price: float
) -> Sequence[BindingLimit]:
    """What limits a decision and the worth of one more MW or GPU, USD an hour, by rule and subject.

    They are the prices of the linear relaxation (Dantzig, "Linear Programming and Extensions", 1963, on duals): what a
    small change is worth on average, not what the next whole mode or workload is worth. A floor's is what one MW less
    of it is worth. What a call pays for the cap itself is not in them.
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


def _given_up(
    snapshot: AllocationSnapshot, found: Choices, selection: Selection, load_mw: float
) -> Iterable[GivenUpRule]:
    """Rules that are not kept, in the plan's order: also by load that nothing can turn off."""
    hours = snapshot.interval_s / 3600
    through = {
        name: np.array([idle_mw(snapshot, name) + watts / 1e6])
        for name, watts in draws(found, selection).behind_w.items()
    }
    for entry in broken(site_of(alone(snapshot)), np.array([load_mw]), through, hours):
        yield given_up_rule(entry)
    for group in snapshot.groups:
        if has_to_stay(group) and is_switched(group.current_mode, selection.modes.get(group.resource_group_id)):
            yield GivenUpRule(
                rule=stay_rule(group),
                subject=group.resource_group_id,
                interval=0,
                amount=1.0,
                unit="intervals",
                penalty_usd=stay_penalty_usd_h(snapshot, group) * hours,
            )
