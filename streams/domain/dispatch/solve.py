"""The exact optimum of one interval's choices, given what the plan made last has next, and the worth of its limits.

`knapsack` finds it; where it does not, or would take too long, CP-SAT has all of it. Both count in integers and stop by
work done, never by time, so the same snapshot gives the same bytes.
"""

from schemas.events import AllocationSnapshot, BindingLimit, GivenUpRule
from streams.domain import reserve
from streams.domain.choice import MONEY_PER_USD, Choices
from streams.domain.dispatch import cp_sat, knapsack
from streams.domain.dispatch.dual import Dual, dual
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.dispatch.problem import problem_of
from streams.domain.outcome import Outcome
from streams.domain.plan.penalty import Rule
from streams.domain.selection import Selection, excess_w, extra_w, worth


def dispatched(snapshot: AllocationSnapshot, found: Choices) -> Outcome:
    """Returns the optimum of the choices of a snapshot. Deterministic."""
    best = knapsack.optimum(found)
    if best is not None:
        selection, status, bound = best.selection, "OPTIMAL", float(best.worth)
        solver, prices = knapsack.NAME, best.prices
    else:
        selection, status, bound = cp_sat.best(found, merit_order(found))
        solver, prices = cp_sat.name(), dual(problem_of(found, merged=True))
    load_mw = found.base_mw + extra_w(found, selection) / 1e6
    return Outcome(
        selection=selection,
        objective_usd_h=worth(found, selection) / MONEY_PER_USD + found.constant_usd_h,
        bound_usd_h=bound / MONEY_PER_USD + found.constant_usd_h,
        status=status,
        solver=solver,
        next_modes={},
        horizon=(),
        binding_limits=tuple(binding_limits(snapshot, found, prices)),
        given_up=(
            *reserve.beyond_ramp(snapshot),
            *reserve.given_up(snapshot, load_mw),
            *_given_up(snapshot, found, selection),
        ),
        capacity_usd_h=reserve.earned_usd_h(snapshot, load_mw),
    )


def binding_limits(snapshot: AllocationSnapshot, found: Choices, prices: Dual) -> list[BindingLimit]:
    """What limits a decision and the worth of one more MW or GPU, USD an hour, by rule and subject.

    They are the prices of the linear relaxation (Dantzig, "Linear Programming and Extensions", 1963, on duals): what a
    small change is worth on average, not what the next whole mode or workload is worth. What a call pays for the cap
    itself is not in them.
    """
    # Money units for a W and USD for a MW are the same number.
    is_called = found.limit_extra_w is not None and found.limit_extra_w < found.cap_extra_w
    call = min(prices.watt, found.penalty_per_w) if is_called else 0.0
    gpu = prices.gpu if len(prices.gpu) == len(found.gpus) else prices.gpu * len(found.gpus)
    rows = [("GPUs", group, "GPU", price / MONEY_PER_USD) for group, price in zip(found.gpus, gpu, strict=True)]
    rows += [
        ("facility cap", snapshot.facility_id, "MW", prices.watt - call),
        ("grid call", snapshot.signal_id or "", "MW", call),
    ]
    behind = zip(found.transformers, prices.transformer, strict=True)
    rows += [(Rule.TRANSFORMER_CAP, transformer, "MW", price) for transformer, price in behind]
    return [
        BindingLimit(rule=rule, subject=subject, interval=0, unit=unit, usd_h=usd_h)
        for rule, subject, unit, usd_h in rows
        if usd_h > 0
    ]


def _given_up(snapshot: AllocationSnapshot, found: Choices, selection: Selection) -> list[GivenUpRule]:
    hours = snapshot.interval_s / 3600
    load_w = extra_w(found, selection)
    kept = [floor for floor in found.floors if floor.rule not in {"sell-back limit", Rule.CAPACITY}]
    rows = [("grid call", snapshot.signal_id or "", excess_w(found, load_w), found.penalty_per_w)]
    rows += [(f.rule, snapshot.facility_id, f.extra_w - load_w, f.penalty_per_w) for f in kept]
    return [
        GivenUpRule(
            rule=rule,
            subject=subject,
            interval=0,
            amount=watts / 1e6,
            unit="MW",
            penalty_usd=watts * price / MONEY_PER_USD * hours,
        )
        for rule, subject, watts, price in rows
        if watts > 0
    ]
