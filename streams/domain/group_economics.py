"""What a resource group earns with its power: best mode, margin, break-evens, and what moves them."""

from dataclasses import dataclass
from datetime import datetime

from schemas.events import (
    FallbackRule,
    GroupEconomics,
    InputCondition,
    InputFallback,
    InputReference,
    PowerMode,
    PowerModePoint,
    Resource,
    ResourceKind,
)
from streams.domain import economics, fallback
from streams.domain.economics import gpu, mining
from streams.domain.market_state import FacilityInputs, MarketState

PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """The IT load of a group, W, the window it comes from, and the rule that stands in where none is fresh."""

    it_load_w: float
    reference: InputReference
    fallback: InputFallback | None


def running_modes(resource: Resource) -> tuple[PowerModePoint, ...]:
    """The modes in which a group does work: all but OFF."""
    return tuple(point for point in resource.modes if point.mode is not PowerMode.OFF)


def group_load(state: MarketState, resource: Resource, at: datetime) -> GroupLoad:
    """Returns the load of a group, measured or by the rule for windows that are stale or missing."""
    place = (resource.facility_id, resource.resource_group_id)
    reference = state.load.reference(*place, at, state.staleness.window)
    measured_w = state.load.it_load_w(*place)
    if not reference.is_stale:
        return GroupLoad(measured_w, reference, None)
    condition = InputCondition.STALE if reference.event_id else InputCondition.MISSING
    is_out = any(window.starts_at <= at < window.ends_at for window in resource.maintenance)
    options = {
        FallbackRule.LAST_KNOWN: measured_w if reference.event_id and not is_out else None,
        FallbackRule.IDLE_POWER: resource.idle_power_w * resource.units,
    }
    found = fallback.chosen(fallback.rule_of(reference.name, condition), options)
    assert found is not None  # standby power is always known
    rule, load_w = found
    return GroupLoad(
        load_w, reference, InputFallback(name=reference.name, condition=condition, rule=rule, value=load_w / 1e6)
    )


def group_economics(
    resource: Resource, load_mw: float, hashprice: float, cost: float, inputs: FacilityInputs
) -> GroupEconomics:
    """Returns what a group's power is worth. `hashprice` in USD/TH/s/day, `cost` all-in in USD/MWh."""
    if resource.kind is ResourceKind.GPU:
        return _gpus(resource, load_mw, cost, inputs)
    return _asics(resource, load_mw, hashprice, cost, inputs)


def _asics(resource: Resource, load_mw: float, hashprice: float, cost: float, inputs: FacilityInputs) -> GroupEconomics:
    points = {point.mode: point for point in running_modes(resource)}
    modes = [economics.mode_economics(point, hashprice, inputs.facility.pue_ratio) for point in points.values()]
    best = economics.best_mode(modes, cost)
    value = 0.0 if best is None else best.value_usd_mwh
    point = None if best is None else points[best.mode]
    hashes = point is not None and point.hashrate_ths > 0
    return GroupEconomics(
        resource_group_id=resource.resource_group_id,
        kind=resource.kind,
        load_mw=load_mw,
        value_usd_mwh=value,
        break_even_usd_mwh=value,
        margin_usd_mwh=value - cost,
        best_mode=None if best is None else best.mode,
        margin_usd_h=None if best is None else best.margin_usd_h(cost) * resource.units,
        efficiency_j_th=mining.efficiency_j_th(point.power_w, point.hashrate_ths) if point and hashes else None,
        break_even_btc_usd=mining.break_even_btc_price_usd(inputs.btc.price_usd, value, cost),
        break_even_difficulty=mining.break_even_difficulty(inputs.network.difficulty, value, cost),
        btc_sensitivity_usd_mwh=value * PERCENT,
        # Revenue goes with the inverse of the difficulty.
        difficulty_sensitivity_usd_mwh=value * (1 / (1 + PERCENT) - 1),
        power_sensitivity_usd_mwh=_power_sensitivity(inputs),
    )


def _gpus(resource: Resource, load_mw: float, cost: float, inputs: FacilityInputs) -> GroupEconomics:
    price, power_w, pue = inputs.gpu_hour.price_usd, resource.max_power_w, inputs.facility.pue_ratio
    value = economics.gpu_value_usd_mwh(price, power_w, pue)
    return GroupEconomics(
        resource_group_id=resource.resource_group_id,
        kind=resource.kind,
        load_mw=load_mw,
        value_usd_mwh=value,
        break_even_usd_mwh=value,
        margin_usd_mwh=value - cost,
        best_mode=None,
        margin_usd_h=(value - cost) * resource.units * power_w * pue / 1e6,
        break_even_gpu_hour_usd=gpu.break_even_gpu_hour_usd(cost, power_w, pue),
        power_sensitivity_usd_mwh=_power_sensitivity(inputs),
        gpu_hour_sensitivity_usd_mwh=value * PERCENT,
    )


def _power_sensitivity(inputs: FacilityInputs) -> float:
    # Of the locational price alone: the adder is agreed. Where it is negative, 1 % more pays 1 % more.
    return -inputs.price.price_usd_mwh * PERCENT
