"""Master data of the simulated operator: three facilities, their ASIC and GPU groups, three customers.

Figures of ASICs are the makers' nameplates (hashrate and wall power at 25 °C): Bitmain's product pages for S19j Pro
(104 TH/s, 3068 W), S19 XP (140 TH/s, 3010 W) and S21 (200 TH/s, 3500 W); MicroBT's page for M60S (186 TH/s at
18.5 J/TH, so 3441 W). NVIDIA's H100 data sheet: SXM5, 80 GB, up to 700 W.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas import events
from schemas.events import PowerMode, ResourceKind
from simulators.identity import event_id
from simulators.timeline import to_datetime

STANDBY_W = 20.0
"""An ASIC that is off: its control board (makers name 10 to 25 W)."""

GPU_IDLE_W = 70.0
GPU_MAX_W = 700.0
GPU_MODEL = "NVIDIA H100 SXM5 80GB"
GPUS_PER_NODE = 8
"""GPUs of an HGX H100 board; groups are whole nodes as far as the number goes."""

# (hashrate, power) against NORMAL. Undervolting pays: the tuned steps of firmware profiles of the S19k Pro (LuxOS) give
# 80 % of the hashrate for 74 % of the power, and 112 % for 120 %; makers' own low-power modes save a little more.
_MODE_FACTORS = {
    PowerMode.ECO: (0.80, 0.72),
    PowerMode.NORMAL: (1.0, 1.0),
    PowerMode.TURBO: (1.12, 1.20),
}


@dataclass(frozen=True, slots=True)
class AsicModel:
    """Nameplate of a miner."""

    name: str
    slug: str
    hashrate_ths: float
    power_w: float


S19J_PRO = AsicModel("Antminer S19j Pro", "s19jpro", 104.0, 3068.0)
S19_XP = AsicModel("Antminer S19 XP", "s19xp", 140.0, 3010.0)
S21 = AsicModel("Antminer S21", "s21", 200.0, 3500.0)
M60S = AsicModel("Whatsminer M60S", "m60s", 186.0, 3441.0)


@dataclass(frozen=True, slots=True)
class Climate:
    """Yearly mean, seasonal and daily amplitude of the outside air, degrees Celsius, and hours of solar time to UTC."""

    mean_c: float
    seasonal_c: float
    daily_c: float
    solar_offset_h: float


@dataclass(frozen=True, slots=True)
class _Plan:
    facility_id: str
    name: str
    country: str
    timezone: str
    grid_operator: str
    settlement_point: str
    pue_ratio: float
    energy_adder_usd_mwh: float
    sell_back_share: float
    climate: Climate
    asic_shares: tuple[tuple[AsicModel, int], ...]
    gpu_share: int


# Shares are percent of the fleet. Canada-1 buys from the pool as it uses: it has no block of energy to sell back.
_PLANS = (
    _Plan(
        facility_id="Texas-1",
        name="Texas-1, Permian Basin",
        country="US",
        timezone="America/Chicago",
        grid_operator="ERCOT",
        settlement_point="HB_WEST",
        pue_ratio=1.06,
        energy_adder_usd_mwh=8.5,
        sell_back_share=0.6,
        climate=Climate(18.5, 9.5, 7.5, -6.8),
        asic_shares=((S19J_PRO, 25), (S21, 20)),
        gpu_share=45,
    ),
    _Plan(
        facility_id="Texas-2",
        name="Texas-2, north of Dallas",
        country="US",
        timezone="America/Chicago",
        grid_operator="ERCOT",
        settlement_point="HB_NORTH",
        pue_ratio=1.08,
        energy_adder_usd_mwh=9.5,
        sell_back_share=0.4,
        climate=Climate(19.0, 10.0, 6.0, -6.5),
        asic_shares=((S19_XP, 20), (M60S, 15)),
        gpu_share=30,
    ),
    _Plan(
        facility_id="Canada-1",
        name="Canada-1, southern Alberta",
        country="CA",
        timezone="America/Edmonton",
        grid_operator="AESO",
        settlement_point="AESO_POOL",
        pue_ratio=1.04,
        energy_adder_usd_mwh=14.0,
        sell_back_share=0.0,
        climate=Climate(5.5, 13.0, 6.5, -7.5),
        asic_shares=((S19J_PRO, 10), (S21, 10)),
        gpu_share=25,
    ),
)

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
    asic_plan = [(plan, model) for plan in _PLANS for model, _ in plan.asic_shares]
    asic_units = shares([share for plan in _PLANS for _, share in plan.asic_shares], miners)
    gpu_units = _gpu_units(gpus)
    resources = [_asic_group(p, m, units, recorded_at_ms) for (p, m), units in zip(asic_plan, asic_units, strict=True)]
    resources += [_gpu_group(p, units, recorded_at_ms) for p, units in zip(_PLANS, gpu_units, strict=True)]
    kept = sorted((r for r in resources if r.units > 0), key=lambda r: r.resource_group_id)
    facilities = [
        _facility(plan, [r for r in kept if r.facility_id == plan.facility_id], recorded_at_ms) for plan in _PLANS
    ]
    customers = [_customer(*row, recorded_at_ms) for row in _CUSTOMERS]
    return Operator(
        facilities=tuple(sorted(facilities, key=lambda f: f.facility_id)),
        resources=tuple(kept),
        customers=tuple(sorted(customers, key=lambda c: c.customer_id)),
        climates={plan.facility_id: plan.climate for plan in _PLANS},
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
    units = [GPUS_PER_NODE * part for part in shares([plan.gpu_share for plan in _PLANS], nodes)]
    units[0] += rest
    return units


def _asic_group(plan: _Plan, model: AsicModel, units: int, at_ms: int) -> events.Resource:
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
    )


def _gpu_group(plan: _Plan, units: int, at_ms: int) -> events.Resource:
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
    )


def _facility(plan: _Plan, resources: Sequence[events.Resource], at_ms: int) -> events.Facility:
    it_w = sum(r.units * (_normal_power_w(r) if r.kind is ResourceKind.ASIC else r.max_power_w) for r in resources)
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
        sell_back_limit_mw=round(plan.sell_back_share * cap_mw, 3),
        recorded_at=to_datetime(at_ms),
    )


def _normal_power_w(resource: events.Resource) -> float:
    return next(point.power_w for point in resource.modes if point.mode is PowerMode.NORMAL)


def _customer(customer_id: str, name: str, tier: str, price_usd: str, at_ms: int) -> events.Customer:
    return events.Customer(
        event_id=event_id("registry.customers", customer_id, at_ms),
        customer_id=customer_id,
        name=name,
        tier=tier,
        gpu_hour_price_usd=Decimal(price_usd),
        recorded_at=to_datetime(at_ms),
    )
