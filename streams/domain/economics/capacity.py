"""What standing ready pays: ancillary services and demand-response capacity, with what is owed for not delivering.

ERCOT pays a load resource for each MW that it carries in an hour at the clearing price of capacity of the service
(Nodal Protocols, section 4.6.4), whether it is deployed or not; what is not carried is charged back at that price
(section 6.7). A contract's own penalty comes on top.
"""

from dataclasses import dataclass
from datetime import timedelta

from streams.domain.economics.argument import require_not_negative


@dataclass(frozen=True, slots=True)
class CapacityService:
    """A product: how fast a deployed load has to be down, and how long it has to be able to stay there."""

    name: str
    response: timedelta
    duration: timedelta


@dataclass(frozen=True, slots=True)
class CapacityObligation:
    """So many MW of a service held ready in every hour.

    `price_usd_mw_h`: clearing price, for a MW held over an hour. `penalty_usd_mwh`: owed by contract for each MWh that
    is not held ready or, deployed, not delivered.
    """

    service: CapacityService
    capacity_mw: float
    price_usd_mw_h: float
    penalty_usd_mwh: float = 0.0


NON_SPINNING = CapacityService("NSPIN", timedelta(minutes=30), timedelta(hours=4))
RESPONSIVE = CapacityService("RRS", timedelta(minutes=10), timedelta(hours=1))
CONTINGENCY = CapacityService("ECRS", timedelta(minutes=10), timedelta(hours=2))
"""ERCOT's services that a mine can carry as a load, response and duration as of 2024 (section 8.1.1.2.1)."""


def qualified_mw(load_mw: float, min_load_mw: float, ramp_mw_min: float, service: CapacityService) -> float:
    """MW of a service that a load can carry: what it can shed within the service's response time.

    A load that is off carries nothing: to hold a reduction ready, it has to run. A ramp of 0 is no limit.
    """
    require_not_negative("load_mw", load_mw)
    require_not_negative("min_load_mw", min_load_mw)
    require_not_negative("ramp_mw_min", ramp_mw_min)
    above = max(load_mw - min_load_mw, 0.0)
    return above if ramp_mw_min == 0 else min(above, ramp_mw_min * service.response.total_seconds() / 60)


def capacity_payment_usd(obligation: CapacityObligation, carried_mw: float, duration_s: float) -> float:
    """What holding ready brings, USD: paid for the obligation, charged back for what of it was not carried.

    Never below zero, as no more is charged back than was paid; carrying more than the obligation pays nothing more.
    """
    _check(obligation)
    require_not_negative("carried_mw", carried_mw)
    require_not_negative("duration_s", duration_s)
    return min(carried_mw, obligation.capacity_mw) * obligation.price_usd_mw_h * duration_s / 3600


def shortfall_usd_mwh(obligation: CapacityObligation) -> float:
    """What a MW of the obligation that is not held over an hour costs, USD: the payment lost, and the penalty."""
    _check(obligation)
    return obligation.price_usd_mw_h + obligation.penalty_usd_mwh


def non_performance_usd(obligation: CapacityObligation, delivered_mw: float, duration_s: float) -> float:
    """What is owed where less than the obligation is held or, where a deployment asks for all of it, delivered, USD.

    The contract's penalty for each MWh that is missing; more than the obligation makes up for nothing.
    """
    _check(obligation)
    require_not_negative("delivered_mw", delivered_mw)
    require_not_negative("duration_s", duration_s)
    short_mwh = max(obligation.capacity_mw - delivered_mw, 0.0) * duration_s / 3600
    return short_mwh * obligation.penalty_usd_mwh


def _check(obligation: CapacityObligation) -> None:
    require_not_negative("capacity_mw", obligation.capacity_mw)
    require_not_negative("price_usd_mw_h", obligation.price_usd_mw_h)
    require_not_negative("penalty_usd_mwh", obligation.penalty_usd_mwh)
