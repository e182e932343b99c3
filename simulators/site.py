"""Master data of the simulated operator: its facilities, their ASIC and GPU groups, three customers.

NVIDIA's H100 data sheet: SXM5, 80 GB, up to 700 W.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from schemas import events
from schemas.events import PowerMode, ResourceKind
from simulators.identity import event_id
from simulators.portfolio import PLANS, AsicModel, Climate, SitePlan
from simulators.timeline import to_datetime

STANDBY_W = 20.0
"""An ASIC that is off: its control board (makers name 10 to 25 W)."""

GPU_IDLE_W = 70.0
GPU_MAX_W = 700.0
GPU_MODEL = "NVIDIA H100 SXM5 80GB"
GPUS_PER_NODE = 8
"""GPUs of an HGX H100 board; groups are whole nodes as far as the number goes."""

MIN_RUN_S = 900
"""Least time between two switches of a group: a miner takes minutes to tune its chips, and heat cycles wear it."""

_START_WEAR_USD = 0.02
_STOP_WEAR_USD = 0.01
# Wear a device, assumed: a miner of 3,000 USD whose hash boards stand some hundred thousand switches.

_RAMP_SHARE_MIN = 0.15
_MIN_LOAD_SHARE = 0.02
# Of the cap, assumed: rows are switched one after another, and what cools the site runs on.

_AWARD_USD_MW_H = 8.0
_AWARD_PENALTY_USD_MWH = 20.0
# About the mean price of ERCOT's ECRS in 2024, 8.28 USD; the charge of a contract is assumed.

_DAY_MS = 86_400_000

_TRANSFORMERS = 2
_TRANSFORMER_MARGIN = 1.1
# A transformer carries its groups in NORMAL with a margin, but not all of them in TURBO at 120 %.

# (hashrate, power) against NORMAL. Undervolting pays: the tuned steps of firmware profiles of the S19k Pro (LuxOS) give
# 80 % of the hashrate for 74 % of the power, and 112 % for 120 %; makers' own low-power modes save a little more.
_MODE_FACTORS = {
    PowerMode.ECO: (0.80, 0.72),
    PowerMode.NORMAL: (1.0, 1.0),
    PowerMode.TURBO: (1.12, 1.20),
}


_CUSTOMERS = (
    ("cust-reserved", "Aurora Labs", "reserved", "2.10"),
    ("cust-on-demand", "Blue Finch AI", "on-demand", "2.90"),
    ("cust-spot", "Cobalt Research", "spot", "1.60"),
)


@dataclass(frozen=True, slots=True)
class Operator:
    """Everything that the operator owns; each tuple is sorted by id. `climates` is keyed by facility_id."""

    facilities: tuple[events.Facility, ...]
    resources: tuple[events.Resource, ...]
    customers: tuple[events.Customer, ...]
    climates: Mapping[str, Climate]

    def groups(self, kind: ResourceKind) -> tuple[events.Resource, ...]:
        """Returns the resource groups of a kind."""
        return tuple(resource for resource in self.resources if resource.kind is kind)


def operator(miners: int, gpus: int, recorded_at_ms: int) -> Operator:
    """Returns the operator with that many devices, spread over its groups; a group without any is left out.

    A facility's cap is 95 % of what it would draw with every ASIC in NORMAL and every GPU busy: it binds when the GPUs
    are busy or TURBO pays, and does not otherwise. Raises ValueError where there is no device at all.
    """
    if miners < 0 or gpus < 0 or miners + gpus == 0:
        raise ValueError(f"a fleet needs at least one device, got {miners=} and {gpus=}")
    asic_plan = [(plan, model) for plan in PLANS for model, _ in plan.asic_shares]
    asic_units = shares([share for plan in PLANS for _, share in plan.asic_shares], miners)
    gpu_units = _gpu_units(gpus)
    resources = [_asic_group(p, m, units, recorded_at_ms) for (p, m), units in zip(asic_plan, asic_units, strict=True)]
    resources += [_gpu_group(p, units, recorded_at_ms) for p, units in zip(PLANS, gpu_units, strict=True)]
    kept = _fed(sorted((r for r in resources if r.units > 0), key=lambda r: r.resource_group_id))
    facilities = [
        _facility(plan, [r for r in kept if r.facility_id == plan.facility_id], recorded_at_ms) for plan in PLANS
    ]
    customers = [_customer(*row, recorded_at_ms) for row in _CUSTOMERS]
    return Operator(
        facilities=tuple(sorted(facilities, key=lambda f: f.facility_id)),
        resources=tuple(kept),
        customers=tuple(sorted(customers, key=lambda c: c.customer_id)),
        climates={plan.facility_id: plan.climate for plan in PLANS},
    )


def shares(weights: Sequence[int], total: int) -> list[int]:
    """Returns whole parts of the total in proportion to the weights, by largest remainder; they add up to it."""
    whole = sum(weights)
    parts = [weight * total // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(weights[i] * total % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _gpu_units(gpus: int) -> list[int]:
    nodes, rest = divmod(gpus, GPUS_PER_NODE)
    units = [GPUS_PER_NODE * part for part in shares([plan.gpu_share for plan in PLANS], nodes)]
    units[0] += rest
    return units


def _asic_group(plan: SitePlan, model: AsicModel, units: int, at_ms: int) -> events.Resource:
    group_id = f"{plan.facility_id.lower()}-{model.slug}"
    modes = [events.PowerModePoint(mode=PowerMode.OFF, power_w=STANDBY_W, hashrate_ths=0.0)]
    modes += [
        events.PowerModePoint(
            mode=mode, power_w=round(model.power_w * power, 1), hashrate_ths=round(model.hashrate_ths * hashrate, 2)
        )
        for mode, (hashrate, power) in _MODE_FACTORS.items()
    ]
    return events.Resource(
        event_id=event_id("registry.resources", group_id, at_ms),
        resource_group_id=group_id,
        facility_id=plan.facility_id,
        kind=ResourceKind.ASIC,
        model=model.name,
        units=units,
        idle_power_w=STANDBY_W,
        max_power_w=max(point.power_w for point in modes),
        modes=modes,
        recorded_at=to_datetime(at_ms),
        start_cost_usd=round(_START_WEAR_USD * units, 2),
        stop_cost_usd=round(_STOP_WEAR_USD * units, 2),
        min_up_s=MIN_RUN_S,
        min_down_s=MIN_RUN_S,
    )


def _gpu_group(plan: SitePlan, units: int, at_ms: int) -> events.Resource:
    group_id = f"{plan.facility_id.lower()}-h100"
    return events.Resource(
        event_id=event_id("registry.resources", group_id, at_ms),
        resource_group_id=group_id,
        facility_id=plan.facility_id,
        kind=ResourceKind.GPU,
        model=GPU_MODEL,
        units=units,
        idle_power_w=GPU_IDLE_W,
        max_power_w=GPU_MAX_W,
        modes=[],
        recorded_at=to_datetime(at_ms),
        island_gpus=GPUS_PER_NODE,
    )


def _fed(resources: Sequence[events.Resource]) -> list[events.Resource]:
    """Returns the groups, each behind a transformer of its facility, in turn."""
    fed: list[events.Resource] = []
    for facility_id in sorted({resource.facility_id for resource in resources}):
        own = [resource for resource in resources if resource.facility_id == facility_id]
        fed += [
            replace(resource, transformer_id=f"{facility_id.lower()}-t{number % _TRANSFORMERS + 1}")
            for number, resource in enumerate(own)
        ]
    return sorted(fed, key=lambda resource: resource.resource_group_id)


def _transformers(plan: SitePlan, resources: Sequence[events.Resource]) -> list[events.TransformerLimit]:
    names = sorted({resource.transformer_id for resource in resources if resource.transformer_id is not None})
    return [
        events.TransformerLimit(
            transformer_id=name,
            cap_mw=round(
                sum(full_power_w(r) for r in resources if r.transformer_id == name)
                * plan.pue_ratio
                * _TRANSFORMER_MARGIN
                / 1e6,
                6,
            ),
        )
        for name in names
    ]


def _facility(plan: SitePlan, resources: Sequence[events.Resource], at_ms: int) -> events.Facility:
    it_w = sum(full_power_w(resource) for resource in resources)
    # A facility without devices still has a connection: the smallest cap that the contract allows to show.
    cap_mw = max(0.001, round(0.95 * it_w * plan.pue_ratio / 1e6, 3))
    return events.Facility(
        event_id=event_id("registry.facilities", plan.facility_id, at_ms),
        facility_id=plan.facility_id,
        name=plan.name,
        country=plan.country,
        timezone=plan.timezone,
        grid_operator=plan.grid_operator,
        settlement_point=plan.settlement_point,
        cap_mw=cap_mw,
        pue_ratio=plan.pue_ratio,
        energy_adder_usd_mwh=plan.energy_adder_usd_mwh,
        transmission_usd_kw_year=plan.transmission_usd_kw_year,
        sell_back_limit_mw=round(plan.sell_back_share * cap_mw, 3),
        recorded_at=to_datetime(at_ms),
        region=plan.region,
        ramp_mw_min=round(_RAMP_SHARE_MIN * cap_mw, 6),
        min_load_mw=round(_MIN_LOAD_SHARE * cap_mw, 6),
        block_mw=round(plan.block_share * cap_mw, 3),
        transformers=_transformers(plan, resources),
        capacity_awards=_awards(plan, cap_mw, at_ms),
    )


def _awards(plan: SitePlan, cap_mw: float, at_ms: int) -> list[events.CapacityAward]:
    """Returns a year of ERCOT's contingency reserve over a share of the cap, from a day before the record on."""
    if plan.award_share == 0:
        return []
    award = events.CapacityAward(
        product="ECRS",
        capacity_mw=round(plan.award_share * cap_mw, 6),
        price_usd_mw_h=_AWARD_USD_MW_H,
        penalty_usd_mwh=_AWARD_PENALTY_USD_MWH,
        response_s=600,
        starts_at=to_datetime(at_ms - _DAY_MS),
        ends_at=to_datetime(at_ms + 365 * _DAY_MS),
    )
    return [award]


def full_power_w(resource: events.Resource) -> float:
    """Returns what a group draws with every ASIC in NORMAL or every GPU busy, W."""
    if resource.kind is ResourceKind.GPU:
        return resource.units * resource.max_power_w
    return resource.units * next(point.power_w for point in resource.modes if point.mode is PowerMode.NORMAL)


def _customer(customer_id: str, name: str, tier: str, price_usd: str, at_ms: int) -> events.Customer:
    return events.Customer(
        event_id=event_id("registry.customers", customer_id, at_ms),
        customer_id=customer_id,
        name=name,
        tier=tier,
        gpu_hour_price_usd=Decimal(price_usd),
        recorded_at=to_datetime(at_ms),
    )
