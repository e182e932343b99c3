"""A snapshot with some of its facts changed, and in what two decisions differ: the answer to "what if".

What can be set is named by a path, such as `grid.lmp.HB_WEST`, `facility.Texas-1.cap_mw` or
`facility.Texas-1.transformer.texas-1-t1.cap_mw`. A change goes through all
that follows from it: a higher LMP raises the all-in cost of a MWh, a higher BTC price the revenue of every mode.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from schemas.events import AllocationDecision, AllocationSnapshot, CapacityAward, GroupAllocation, ModeOption
from streams.domain import economics
from streams.domain.power_cost import PowerCost


class WhatIfError(Exception):
    """The change asked for can't be made; the message says what can."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A fact of a snapshot: its value, the least that it may be, and the snapshot with another value."""

    value: float
    changed: Callable[[float], AllocationSnapshot]
    least: float = -math.inf


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in two decisions, as people read it."""

    subject: str
    what: str
    before: str
    after: str


def assignment(text: str) -> tuple[str, float]:
    """Path and value of `PATH=VALUE`. Raises WhatIfError."""
    path, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (path and equals and math.isfinite(number)):
        raise WhatIfError(f"a change is PATH=NUMBER, such as grid.lmp.HB_WEST=300, got {text!r}")
    return path.strip(), number


def changed(snapshot: AllocationSnapshot, changes: Mapping[str, float]) -> AllocationSnapshot:
    """Returns the snapshot with the changes, made in order. Raises WhatIfError, naming what can be set."""
    for path, value in changes.items():
        known = settings(snapshot)
        if path not in known:
            raise WhatIfError(f"this decision has no {path}; what can be set: {', '.join(sorted(known))}")
        if not (math.isfinite(value) and value >= known[path].least):
            raise WhatIfError(f"{path} must be a number of at least {known[path].least:g}, got {value!r}")
        snapshot = known[path].changed(value)
    return snapshot


def settings(snapshot: AllocationSnapshot) -> dict[str, Setting]:
    """All that can be set in a snapshot, by path. What an older snapshot does not know is not in it."""
    facility = f"facility.{snapshot.facility_id}"
    found = {
        f"{facility}.cap_mw": Setting(snapshot.cap_mw, lambda mw: replace(snapshot, cap_mw=mw), 0.0),
        f"{facility}.pue_ratio": Setting(snapshot.pue_ratio, lambda ratio: replace(snapshot, pue_ratio=ratio), 1.0),
        "grid.power_cost_usd_mwh": Setting(snapshot.power_cost_usd_mwh, lambda cost: at_power_cost(snapshot, cost)),
    }
    lmp, adder = snapshot.lmp_usd_mwh, snapshot.energy_adder_usd_mwh
    if lmp is not None and adder is not None and snapshot.settlement_point is not None:
        cost = PowerCost(lmp, adder, snapshot.transmission_usd_mwh)
        found |= {
            f"grid.lmp.{snapshot.settlement_point}": Setting(
                lmp, lambda price: _priced(snapshot, replace(cost, lmp_usd_mwh=price))
            ),
            f"{facility}.energy_adder_usd_mwh": Setting(
                adder, lambda more: _priced(snapshot, replace(cost, energy_adder_usd_mwh=more))
            ),
            f"{facility}.transmission_usd_mwh": Setting(
                cost.transmission_usd_mwh, lambda more: _priced(snapshot, replace(cost, transmission_usd_mwh=more)), 0.0
            ),
        }
    if snapshot.limit_mw is not None:
        found["grid.limit_mw"] = Setting(snapshot.limit_mw, lambda mw: replace(snapshot, limit_mw=mw), 0.0)
        found["grid.payment_usd_mwh"] = Setting(
            snapshot.payment_usd_mwh,
            lambda paid: at_power_cost(replace(snapshot, payment_usd_mwh=paid), snapshot.power_cost_usd_mwh),
            0.0,
        )
    if snapshot.btc_price_usd:
        found["market.BTC-USD"] = Setting(snapshot.btc_price_usd, lambda usd: at_btc_price(snapshot, usd), 0.0)
    hashprice = snapshot.hashprice_usd_ths_day
    if hashprice:
        found["market.hashprice_usd_ths_day"] = Setting(
            hashprice,
            lambda usd: replace(_at_revenue(snapshot, usd / hashprice), hashprice_usd_ths_day=usd),
            0.0,
        )
    for n, limit in enumerate(snapshot.transformers):
        found[f"{facility}.transformer.{limit.transformer_id}.cap_mw"] = Setting(
            limit.cap_mw, _with_transformer_cap(snapshot, n), 0.0
        )
    for n, award in enumerate(snapshot.capacity_awards):
        found |= _award_settings(snapshot, n, award)
    for workload in snapshot.workloads:
        found[f"workload.{workload.workload_id}.revenue_usd_h"] = Setting(
            workload.revenue_usd_h, _with_revenue(snapshot, workload.workload_id), 0.0
        )
    return found


def _priced(snapshot: AllocationSnapshot, cost: PowerCost) -> AllocationSnapshot:
    return replace(
        at_power_cost(snapshot, cost.usd_mwh),
        lmp_usd_mwh=cost.lmp_usd_mwh,
        energy_adder_usd_mwh=cost.energy_adder_usd_mwh,
        transmission_usd_mwh=cost.transmission_usd_mwh,
    )


def at_power_cost(snapshot: AllocationSnapshot, cost_usd_mwh: float) -> AllocationSnapshot:
    """The snapshot with another all-in cost of a MWh, in the decided interval only."""
    return replace(
        snapshot,
        power_cost_usd_mwh=cost_usd_mwh,
        grid_value_usd_mwh=economics.grid_value_usd_mwh(cost_usd_mwh, snapshot.payment_usd_mwh),
        horizon=[replace(interval, power_cost_usd_mwh=cost_usd_mwh) for interval in snapshot.horizon[:1]]
        + snapshot.horizon[1:],
    )


def at_btc_price(snapshot: AllocationSnapshot, price_usd: float) -> AllocationSnapshot:
    """The snapshot at another BTC price: hashprice and mining revenues are proportional to it.

    Raises WhatIfError where the snapshot does not say which price its revenues rest on.
    """
    if not snapshot.btc_price_usd:
        raise WhatIfError("the snapshot does not say which BTC price its revenues rest on")
    ratio = price_usd / snapshot.btc_price_usd
    hashprice = snapshot.hashprice_usd_ths_day
    return replace(
        _at_revenue(snapshot, ratio),
        btc_price_usd=price_usd,
        hashprice_usd_ths_day=None if hashprice is None else hashprice * ratio,
    )


def differences(before: AllocationDecision, after: AllocationDecision) -> list[Difference]:
    """In what two decisions of one facility differ: totals first, then group by group."""
    totals = [
        ("margin USD/h", f"{before.objective_usd_h:.2f}", f"{after.objective_usd_h:.2f}"),
        ("load MW", f"{before.load_mw:.3f}", f"{after.load_mw:.3f}"),
        ("mining MW", f"{before.mining_mw:.3f}", f"{after.mining_mw:.3f}"),
        ("GPU MW", f"{before.gpu_mw:.3f}", f"{after.gpu_mw:.3f}"),
        ("left to the grid MW", f"{before.grid_mw:.3f}", f"{after.grid_mw:.3f}"),
        ("solver", f"{before.solver}, {before.status}", f"{after.solver}, {after.status}"),
        ("limits", _limits(before), _limits(after)),
    ]
    rows = [Difference(before.facility_id, *total) for total in totals]
    then = {group.resource_group_id: group for group in after.allocations}
    for group in before.allocations:
        pairs = zip(_facts(group), _facts(then[group.resource_group_id]), strict=True)
        rows += [Difference(group.resource_group_id, name, old, new) for (name, old), (_, new) in pairs]
    return [row for row in rows if row.before != row.after]


def _limits(decision: AllocationDecision) -> str:
    return ", ".join(
        f"{b.rule} {b.subject} {b.usd_h:.2f} USD/h a {b.unit}" for b in decision.binding_limits if b.interval == 0
    )


def _facts(group: GroupAllocation) -> list[tuple[str, str]]:
    return [
        ("mode", group.power_mode or ""),
        ("power MW", f"{group.power_mw:.3f}"),
        ("GPUs busy", str(group.gpus_busy)),
        ("workloads", ", ".join(group.workload_ids)),
        ("margin USD/h", f"{group.margin_usd_h:.2f}"),
        ("why", group.reason),
    ]


def _at_revenue(snapshot: AllocationSnapshot, ratio: float) -> AllocationSnapshot:
    def scaled(option: ModeOption) -> ModeOption:
        return replace(option, revenue_usd_h=option.revenue_usd_h * ratio)

    groups = [replace(group, modes=[scaled(option) for option in group.modes]) for group in snapshot.groups]
    return replace(snapshot, groups=groups)


def _with_transformer_cap(snapshot: AllocationSnapshot, n: int) -> Callable[[float], AllocationSnapshot]:
    def changed_to(cap_mw: float) -> AllocationSnapshot:
        limits = snapshot.transformers
        return replace(snapshot, transformers=[*limits[:n], replace(limits[n], cap_mw=cap_mw), *limits[n + 1 :]])

    return changed_to


def _award_settings(snapshot: AllocationSnapshot, n: int, award: CapacityAward) -> dict[str, Setting]:
    def instead(other: CapacityAward) -> AllocationSnapshot:
        awards = snapshot.capacity_awards
        return replace(snapshot, capacity_awards=[*awards[:n], other, *awards[n + 1 :]])

    path = f"capacity.{award.product}.{n}"
    return {
        f"{path}.capacity_mw": Setting(award.capacity_mw, lambda mw: instead(replace(award, capacity_mw=mw)), 0.0),
        f"{path}.price_usd_mw_h": Setting(
            award.price_usd_mw_h, lambda usd: instead(replace(award, price_usd_mw_h=usd)), 0.0
        ),
        f"{path}.penalty_usd_mwh": Setting(
            award.penalty_usd_mwh, lambda usd: instead(replace(award, penalty_usd_mwh=usd)), 0.0
        ),
    }


def _with_revenue(snapshot: AllocationSnapshot, workload_id: str) -> Callable[[float], AllocationSnapshot]:
    def changed_to(usd_h: float) -> AllocationSnapshot:
        workloads = [replace(w, revenue_usd_h=usd_h) if w.workload_id == workload_id else w for w in snapshot.workloads]
        return replace(snapshot, workloads=workloads)

    return changed_to
