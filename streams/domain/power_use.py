"""The merit order of a facility: each use that the next megawatt could be put to, and what it is worth there.

The worth is that of one MWh more at the meter: in a power mode, for what it draws over the mode below; on a GPU, for
what a busy one draws over an idle one. Giving power back is worth the cost that it avoids, and what a call pays on top.
"""

from collections.abc import Iterator, Sequence

from schemas.events import (
    GridSignal,
    PowerUse,
    Resource,
    ResourceKind,
    UseKind,
    WorkloadState,
    WorkloadTransition,
)
from streams.domain import economics
from streams.domain.economics import mining
from streams.domain.group_economics import running_modes
from streams.domain.market_state import FacilityInputs
from streams.domain.workload import ON_GPUS


def merit_order(
    inputs: FacilityInputs,
    *,
    hashprice: float,
    cost: float,
    call: GridSignal | None,
    load_mw: float,
    workloads: Sequence[WorkloadTransition],
) -> list[PowerUse]:
    """Returns the uses of a facility's power, the most valuable first.

    `hashprice` in USD/TH/s/day, `cost` all-in in USD/MWh, `load_mw` at the meter; `workloads` that wait or run there.
    """
    uses = list(_grid(inputs, cost, call, load_mw))
    for resource in inputs.resources:
        if resource.kind is ResourceKind.GPU:
            uses.extend(_gpus(resource, inputs, cost, workloads))
        else:
            uses.extend(_modes(resource, inputs, hashprice, cost))
    return sorted(uses, key=lambda use: (-use.value_usd_mwh, use.use, use.resource_group_id or "", use.mode or ""))


def _modes(resource: Resource, inputs: FacilityInputs, hashprice: float, cost: float) -> Iterator[PowerUse]:
    pue = inputs.facility.pue_ratio
    modes = [economics.mode_economics(point, hashprice, pue) for point in running_modes(resource)]
    for step in mining.mode_steps(modes, resource.idle_power_w * pue / 1e6):
        yield PowerUse(
            use=UseKind.MINING,
            resource_group_id=resource.resource_group_id,
            mode=step.mode,
            value_usd_mwh=step.value_usd_mwh,
            margin_usd_mwh=step.value_usd_mwh - cost,
            available_mw=step.extra_mw * resource.units,
        )


def _gpus(
    resource: Resource, inputs: FacilityInputs, cost: float, workloads: Sequence[WorkloadTransition]
) -> Iterator[PowerUse]:
    pue, extra_w = inputs.facility.pue_ratio, resource.max_power_w - resource.idle_power_w
    if extra_w <= 0:
        return
    held = sum(w.gpus for w in workloads if w.to_state in ON_GPUS and w.resource_group_id == resource.resource_group_id)
    free = max(resource.units - held, 0)
    offers = [(UseKind.GPU_SPOT, inputs.gpu_hour.price_usd, free)]
    waiting = [w for w in workloads if w.to_state is WorkloadState.QUEUED and w.gpus <= free]
    if waiting:
        best = max(waiting, key=lambda w: (w.price_usd_gpu_hour, w.gpus, w.workload_id))
        offers.append((UseKind.GPU_QUEUE, best.price_usd_gpu_hour, best.gpus))
    for use, price, gpus in offers:
        value = economics.gpu_value_usd_mwh(price, extra_w, pue)
        yield PowerUse(
            use=use,
            resource_group_id=resource.resource_group_id,
            value_usd_mwh=value,
            margin_usd_mwh=value - cost,
            available_mw=gpus * extra_w * pue / 1e6,
        )


def _grid(inputs: FacilityInputs, cost: float, call: GridSignal | None, load_mw: float) -> Iterator[PowerUse]:
    facility = inputs.facility
    # Of what is used, the block comes first: only what is taken off it is sold, the rest is not bought. What of the
    # block is not used is sold already.
    sold = max(facility.block_mw - load_mw, 0.0)
    sellable = min(load_mw, facility.block_mw, facility.sell_back_limit_mw - sold)
    offers = [(UseKind.GRID, cost, max(load_mw - facility.block_mw, 0.0)), (UseKind.SELL_BACK, cost, sellable)]
    if call is not None:
        offers.append((UseKind.DEMAND_RESPONSE, economics.grid_value_usd_mwh(cost, call.payment_usd_mwh), load_mw))
    for use, value, available_mw in offers:
        if available_mw > 0:
            yield PowerUse(use=use, value_usd_mwh=value, margin_usd_mwh=value - cost, available_mw=available_mw)
