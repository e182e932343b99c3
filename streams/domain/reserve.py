"""The load that a facility keeps running because capacity was awarded: only what runs can be shed when it is called.

An award of C MW is held where the load is C over what can't be shed (idle devices, the minimum load), as far as the
ramp can take it down within the response time. What is short of it isn't paid, and owes the award's penalty: a choice
of business, as a missed deadline is. The award that costs least is short first. In an interval in which a call asks for
a load under the floor, the capacity is deployed: nothing is held then, and nothing is short.
"""

from datetime import datetime, timedelta

import numpy as np

from schemas.events import AllocationSnapshot, CapacityAward, GivenUpRule
from streams.domain.economics.capacity import (
    CapacityObligation,
    CapacityService,
    capacity_payment_usd,
    non_performance_usd,
    qualified_mw,
    shortfall_usd_mwh,
)
from streams.domain.penalty import Rule
from streams.domain.plan.problem import Reserve

_HOUR_S = 3600.0
_NO_END = timedelta(days=1)
"""A mine that is off can stay off for as long as any service asks."""


def reserves(snapshot: AllocationSnapshot) -> tuple[Reserve, ...]:
    """Returns the reserves of a snapshot's awards over its horizon (the interval alone without), the dearest first."""
    awards = sorted(snapshot.capacity_awards, key=lambda a: (-_value_usd_mwh(a), a.product, a.starts_at))
    if not awards:
        return ()
    held = np.cumsum([[_held_mw(snapshot, a, at) for at in _starts(snapshot)] for a in awards], axis=0)
    idle_mw = sum(group.idle_power_mw for group in snapshot.groups) * snapshot.pue_ratio
    floor = held + max(idle_mw, snapshot.min_load_mw)
    called = np.array(
        [limit is not None and limit < most for limit, most in zip(_limits(snapshot), floor[-1], strict=True)]
    )
    floor = np.where((held > 0) & ~called, floor, 0.0)
    value = [_value_usd_mwh(award) for award in awards]
    return tuple(
        Reserve(
            product=award.product,
            floor_mw=floor[n],
            depth_mw=floor[n] - (floor[n - 1] if n else 0.0),
            short_usd_mwh=value[n],
            step_usd_mwh=value[n] - (value[n + 1] if n + 1 < len(value) else 0.0),
        )
        for n, award in enumerate(awards)
    )


def payment_usd_h(snapshot: AllocationSnapshot) -> list[float]:
    """What all awards bring in each interval where the load is at the floor or over it, USD an hour.

    What no ramp can shed in time is not paid, and owes its penalty, whatever the load.
    """
    return [
        sum(
            (
                capacity_payment_usd(_obligation(award), _held_mw(snapshot, award, at), _HOUR_S)
                - non_performance_usd(_obligation(award), _held_mw(snapshot, award, at), _HOUR_S)
                for award in snapshot.capacity_awards
                if _holds(award, at)
            ),
            0.0,
        )
        for at in _starts(snapshot)
    ]


def earned_usd_h(snapshot: AllocationSnapshot, load_mw: float) -> float:
    """What all awards bring at a load in the first interval, what is short taken off, USD an hour."""
    return payment_usd_h(snapshot)[0] - sum(
        short_mw * held.short_usd_mwh for held, short_mw in _short(snapshot, load_mw)
    )


def beyond_ramp(snapshot: AllocationSnapshot) -> list[GivenUpRule]:
    """What of the awards no ramp can shed in time, interval by interval: given up whatever is decided."""
    hours = snapshot.interval_s / 3600
    return [
        GivenUpRule(
            rule=Rule.CAPACITY,
            subject=award.product,
            interval=n,
            amount=beyond_mw,
            unit="MW",
            penalty_usd=beyond_mw * _value_usd_mwh(award) * hours,
        )
        for n, at in enumerate(_starts(snapshot))
        for award in snapshot.capacity_awards
        if (beyond_mw := _beyond_mw(snapshot, award, at)) > 0
    ]


def _short(snapshot: AllocationSnapshot, load_mw: float) -> list[tuple[Reserve, float]]:
    load = np.full(1, load_mw)
    return [(reserve, float(reserve.short_mw(load)[0])) for reserve in reserves(snapshot)]


def _starts(snapshot: AllocationSnapshot) -> list[datetime]:
    length = timedelta(seconds=snapshot.interval_s)
    return [snapshot.interval_start + n * length for n in range(max(len(snapshot.horizon), 1))]


def _limits(snapshot: AllocationSnapshot) -> list[float | None]:
    return [entry.limit_mw for entry in snapshot.horizon] or [snapshot.limit_mw]


def _holds(award: CapacityAward, at: datetime) -> bool:
    return award.starts_at <= at < award.ends_at


def _held_mw(snapshot: AllocationSnapshot, award: CapacityAward, at: datetime) -> float:
    if not _holds(award, at):
        return 0.0
    ramp = max(snapshot.ramp_mw_min, 0.0) if award.response_s > 0 else 0.0
    return qualified_mw(award.capacity_mw, 0.0, ramp, _obligation(award).service)


def _beyond_mw(snapshot: AllocationSnapshot, award: CapacityAward, at: datetime) -> float:
    return award.capacity_mw - _held_mw(snapshot, award, at) if _holds(award, at) else 0.0


def _value_usd_mwh(award: CapacityAward) -> float:
    return shortfall_usd_mwh(_obligation(award))


def _obligation(award: CapacityAward) -> CapacityObligation:
    service = CapacityService(award.product, timedelta(seconds=award.response_s), _NO_END)
    return CapacityObligation(service, award.capacity_mw, award.price_usd_mw_h, award.penalty_usd_mwh)
