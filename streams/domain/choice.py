"""The choices of one decision with their power and worth: what the solver, the merit-order rule and the reasons share.

Power is counted in whole watts at the meter, rounded up, money in millionths of a USD an hour, so that a solution
is exact integers and the same on every machine. The load that nobody can turn off (idle devices, with cooling) is the
base; a choice draws on top of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.events import AllocationSnapshot, GroupInput, ModeOption, PowerMode, ResourceKind, WorkloadInput
from streams.domain import economics
from streams.domain.commitment import has_to_stay, losses_usd, remaining_s
from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.reserve import payment_usd_h, reserves
from streams.domain.workload import ON_GPUS

MONEY_PER_USD = 1_000_000


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """A group in one mode: `extra_w` over its idle draw, `worth` in money units an hour.

    `margin_usd_h` is its revenue less the cost of its power; of `worth` the wear of the change to it and what it loses
    in the intervals ahead are taken off.
    """

    group: str
    mode: PowerMode
    extra_w: int
    worth: int
    margin_usd_h: float


@dataclass(frozen=True, slots=True)
class PlaceChoice:
    """A workload on one group; `worth` counts its revenue less energy, and the preemption that it avoids."""

    workload: WorkloadInput
    group: str
    extra_w: int
    worth: int


@dataclass(frozen=True, slots=True)
class Floor:
    """A load over the base that is worth keeping: each W short of it costs `penalty_per_w`, money units an hour.

    `rule` is what asks for it, of `subject`; None where it is no rule but the energy of a block that can't be sold.
    """

    rule: Rule | None
    subject: str
    extra_w: int
    penalty_per_w: int


@dataclass(frozen=True, slots=True)
class Choices:
    """All choices of a snapshot: for each ASIC group exactly one mode, for each workload at most one place.

    `transformers`: what the groups behind each may draw over their idle draw, W; `fed_by`: the transformer of a group.
    """

    modes: dict[str, tuple[ModeChoice, ...]]
    places: tuple[PlaceChoice, ...]
    gpus: dict[str, int]
    transformers: dict[str, int]
    fed_by: dict[str, str]
    floors: tuple[Floor, ...]
    cap_extra_w: int
    limit_extra_w: int | None
    base_mw: float
    constant_usd_h: float
    penalty_per_w: int


def choices(snapshot: AllocationSnapshot, only: Mapping[str, PowerMode] | None = None) -> Choices:
    """Returns the choices of a snapshot; `only` has the modes of groups that have no choice."""
    only = only or {}
    pue = snapshot.pue_ratio
    # A MWh used costs its price and the payment that a call would have given for it.
    cost = economics.grid_value_usd_mwh(snapshot.power_cost_usd_mwh, snapshot.payment_usd_mwh)
    base_mw = sum(group.idle_power_mw for group in snapshot.groups) * pue
    preemptible = sum(
        preemption_usd_h(snapshot, workload) for workload in snapshot.workloads if workload.state in ON_GPUS
    )
    return Choices(
        modes={
            group.resource_group_id: tuple(
                choice
                for choice in _mode_choices(snapshot, group, pue, cost)
                if choice.mode is only.get(group.resource_group_id, choice.mode)
            )
            for group in snapshot.groups
            if group.kind is ResourceKind.ASIC
        },
        places=tuple(_places(snapshot, pue, cost)),
        gpus={
            g.resource_group_id: 0 if 0 in g.out_of_service else g.units
            for g in snapshot.groups
            if g.kind is ResourceKind.GPU
        },
        transformers={
            limit.transformer_id: _room_w(limit.cap_mw, idle_mw(snapshot, limit.transformer_id))
            for limit in snapshot.transformers
        },
        fed_by={g.resource_group_id: g.transformer_id for g in snapshot.groups if g.transformer_id is not None},
        floors=tuple(_floors(snapshot, base_mw)),
        cap_extra_w=_room_w(_cap_mw(snapshot), base_mw),
        limit_extra_w=None if snapshot.limit_mw is None else _room_w(snapshot.limit_mw, base_mw),
        base_mw=base_mw,
        constant_usd_h=snapshot.payment_usd_mwh * snapshot.cap_mw
        + payment_usd_h(snapshot)[0]
        - cost * base_mw
        - preemptible
        - _idle_penalty_usd_h(snapshot, base_mw),
        penalty_per_w=_penalty_per_w(PENALTY_USD_MWH[Rule.GRID_LIMIT]),
    )


def preemption_usd_h(snapshot: AllocationSnapshot, workload: WorkloadInput) -> float:
    """Cost of stopping a workload, spread over the rest of the interval: it compares with margins an hour."""
    return workload.preemption_cost_usd * 3600 / remaining_s(snapshot)


def switching_usd(group: GroupInput, before: PowerMode | None, after: PowerMode | None) -> float:
    """Wear of going from one mode to another, USD: starting or stopping the group; nothing between running modes.

    Nothing too where either is not known.
    """
    if not is_switched(before, after):
        return 0.0
    return group.start_cost_usd if before is PowerMode.OFF else group.stop_cost_usd


def is_switched(before: PowerMode | None, after: PowerMode | None) -> bool:
    """Whether a group is started or stopped between two modes; false where either is not known."""
    return before is not None and after is not None and (before is PowerMode.OFF) is not (after is PowerMode.OFF)


def stay_rule(group: GroupInput) -> Rule:
    """The rule that keeps a group in what it does."""
    return Rule.MINIMUM_REST if group.current_mode is PowerMode.OFF else Rule.MINIMUM_RUN


def stay_penalty_usd_h(snapshot: AllocationSnapshot, group: GroupInput) -> float:
    """Penalty of switching a group that has to stay, USD an hour: of all that it draws at most."""
    greatest_mw = max((option.power_mw for option in group.modes), default=0.0)
    return PENALTY_USD_MWH[stay_rule(group)] * greatest_mw * snapshot.pue_ratio


def is_ramped(snapshot: AllocationSnapshot) -> bool:
    """Whether the ramp allows less than the cap."""
    return _cap_mw(snapshot) < snapshot.cap_mw


def idle_mw(snapshot: AllocationSnapshot, transformer_id: str) -> float:
    """What always draws behind a transformer, with cooling, MW at the meter."""
    return sum(g.idle_power_mw for g in snapshot.groups if g.transformer_id == transformer_id) * snapshot.pue_ratio


def _idle_penalty_usd_h(snapshot: AllocationSnapshot, base_mw: float) -> float:
    """Penalty of what the base alone is over its limits, USD an hour, whatever is chosen."""
    over_mw = [(Rule.FACILITY_CAP, base_mw - snapshot.cap_mw)]
    over_mw += [
        (Rule.TRANSFORMER_CAP, idle_mw(snapshot, limit.transformer_id) - limit.cap_mw)
        for limit in snapshot.transformers
    ]
    if snapshot.limit_mw is not None:
        over_mw.append((Rule.GRID_LIMIT, base_mw - snapshot.limit_mw))
    if snapshot.load_before_mw is not None and snapshot.ramp_mw_min > 0:
        over_mw.append((Rule.RAMP, base_mw - snapshot.load_before_mw - _ramp_mw(snapshot)))
    return sum(max(mw, 0.0) * PENALTY_USD_MWH[rule] for rule, mw in over_mw)


def _ramp_mw(snapshot: AllocationSnapshot) -> float:
    return snapshot.ramp_mw_min * snapshot.interval_s / 60


def _cap_mw(snapshot: AllocationSnapshot) -> float:
    # Load that is there already is never over the ramp: the limit is on its rise.
    if snapshot.load_before_mw is None or snapshot.ramp_mw_min <= 0:
        return snapshot.cap_mw
    return min(snapshot.cap_mw, snapshot.load_before_mw + _ramp_mw(snapshot))


def _floors(snapshot: AllocationSnapshot, base_mw: float) -> Iterable[Floor]:
    cost = snapshot.power_cost_usd_mwh
    if snapshot.block_mw > snapshot.sell_back_limit_mw and cost > 0:
        # What can't be sold back of a block is paid for either way: using it costs nothing.
        yield Floor(
            None,
            snapshot.facility_id,
            _room_w(snapshot.block_mw - snapshot.sell_back_limit_mw, base_mw),
            _penalty_per_w(cost),
        )
    floor_mw: dict[Rule, float] = {}
    if snapshot.load_before_mw is not None and snapshot.ramp_mw_min > 0:
        floor_mw[Rule.RAMP] = snapshot.load_before_mw - _ramp_mw(snapshot)
    if snapshot.min_load_mw > 0:
        floor_mw[Rule.MINIMUM_LOAD] = snapshot.min_load_mw
    for rule, mw in floor_mw.items():
        yield Floor(rule, snapshot.facility_id, _room_w(mw, base_mw), _penalty_per_w(PENALTY_USD_MWH[rule]))
    for held in reserves(snapshot):
        if held.floor_mw[0] > 0 and held.step_usd_mwh > 0:
            room_w = _room_w(float(held.floor_mw[0]), base_mw)
            yield Floor(Rule.CAPACITY, held.product, room_w, _penalty_per_w(held.step_usd_mwh))


def _in_service(group: GroupInput) -> list[ModeOption]:
    if 0 not in group.out_of_service:
        return group.modes
    return [option for option in group.modes if option.mode is PowerMode.OFF]


def _mode_choices(snapshot: AllocationSnapshot, group: GroupInput, pue: float, cost: float) -> Iterable[ModeChoice]:
    lost_usd = losses_usd(snapshot, group)
    for option in _in_service(group):
        yield _mode_choice(snapshot, group, option, pue=pue, cost=cost, lost_usd=lost_usd[option.mode])


def _mode_choice(
    snapshot: AllocationSnapshot, group: GroupInput, option: ModeOption, *, pue: float, cost: float, lost_usd: float
) -> ModeChoice:
    extra_mw = max(option.power_mw - group.idle_power_mw, 0.0) * pue
    margin = option.revenue_usd_h - cost * extra_mw
    wear_usd = switching_usd(group, group.current_mode, option.mode)
    worth = margin - (wear_usd + lost_usd) * 3600 / remaining_s(snapshot)
    if has_to_stay(group) and is_switched(group.current_mode, option.mode):
        worth -= stay_penalty_usd_h(snapshot, group)
    return ModeChoice(group.resource_group_id, option.mode, _watts(extra_mw), _money(worth), margin)


def _places(snapshot: AllocationSnapshot, pue: float, cost: float) -> Iterable[PlaceChoice]:
    gpu_groups = [group for group in snapshot.groups if group.kind is ResourceKind.GPU]
    for workload in snapshot.workloads:
        holds = workload.state in ON_GPUS
        for group in gpu_groups:
            # What runs stays where it is: moving it would be a preemption.
            if group.units < workload.gpus or (holds and workload.resource_group_id != group.resource_group_id):
                continue
            extra_mw = workload.gpus * group.unit_power_mw * pue
            kept = preemption_usd_h(snapshot, workload) if holds else 0.0
            # The priority is a tie-break: a millionth of a USD an hour for each GPU and step.
            worth_units = _money(workload.revenue_usd_h - cost * extra_mw + kept) + workload.priority * workload.gpus
            yield PlaceChoice(workload, group.resource_group_id, _watts(extra_mw), worth_units)


def _watts(power_mw: float) -> int:
    # Rounded up, so that a cap is never broken by rounding; the tolerance keeps 3.0000000000000004 W at 3.
    return math.ceil(power_mw * 1e6 - 1e-6)


def _money(usd_h: float) -> int:
    return round(usd_h * MONEY_PER_USD)


def _room_w(limit_mw: float, base_mw: float) -> int:
    return max(math.floor((limit_mw - base_mw) * 1e6), 0)


def _penalty_per_w(usd_mwh: float) -> int:
    return round(usd_mwh / 1e6 * MONEY_PER_USD)
