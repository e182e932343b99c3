"""Typed events, generated from schemas/avro by `python -m schemas.generate`. Do not edit."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""Avro's int, which is written like its long: what reads an event sees to the bounds."""


class CommandKind(StrEnum):
    """What to do."""

    SET_POWER_MODE = "SET_POWER_MODE"
    START_WORKLOAD = "START_WORKLOAD"
    STOP_WORKLOAD = "STOP_WORKLOAD"


class PowerMode(StrEnum):
    """Firmware power mode of an ASIC; OFF draws standby power only."""

    OFF = "OFF"
    ECO = "ECO"
    NORMAL = "NORMAL"
    TURBO = "TURBO"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationCommand:
    """A set-point for the devices of one resource group."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    decision_id: str = field(metadata={"doc": "Decision that it carries out."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    kind: CommandKind = field(metadata={"doc": "What to do."})
    issued_at: datetime = field(metadata={"doc": "Event time of the command."})
    expires_at: datetime = field(metadata={"doc": "From when it must not be carried out any more."})
    power_mode: PowerMode | None = field(metadata={"doc": "Mode to take, for SET_POWER_MODE."}, default=None)
    workload_id: str | None = field(metadata={"doc": "Workload, for START_ and STOP_WORKLOAD."}, default=None)
    gpus: Int32 = field(metadata={"doc": "GPUs of the workload, 0 for SET_POWER_MODE."}, default=0)
    duration_s: Int32 = field(metadata={"doc": "Run time left of the workload, s; 0 for SET_POWER_MODE."}, default=0)
    hold_until: datetime | None = field(
        metadata={"doc": "Until when a mode holds; a device that has heard nothing newer by then takes the fallback."},
        default=None,
    )
    fallback_mode: PowerMode | None = field(metadata={"doc": "Mode to take then."}, default=None)


class ResourceKind(StrEnum):
    """What a resource group is made of."""

    ASIC = "ASIC"
    GPU = "GPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAllocation:
    """What one resource group does."""

    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    kind: ResourceKind = field(metadata={"doc": "Kind of the devices."})
    power_mw: float = field(metadata={"doc": "Power at the meter, with cooling, MW."})
    gpus_busy: Int32 = field(metadata={"doc": "GPUs given to workloads."})
    workload_ids: list[str] = field(metadata={"doc": "Workloads that run, sorted."})
    margin_usd_h: float = field(metadata={"doc": "Expected margin, USD an hour."})
    reason: str = field(metadata={"doc": "Why, in one line that a person can read."})
    power_mode: PowerMode | None = field(metadata={"doc": "Mode of an ASIC group, null for GPUs."}, default=None)
    planned_modes: list[PowerMode] = field(
        metadata={
            "doc": "What a plan has for an ASIC group after the decided interval, as far as a switch may bind it."
        },
        default_factory=list,
    )
    running_since: datetime | None = field(
        metadata={"doc": "Since when it has been running (or off); null where that is not known."}, default=None
    )
    hold_until: datetime | None = field(
        metadata={"doc": "Until when its devices hold the mode without a further command."}, default=None
    )


class DecisionMethod(StrEnum):
    """Whether hours ahead were planned, or the interval alone was decided within the plan."""

    PLAN = "PLAN"
    DISPATCH = "DISPATCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedInterval:
    """What the plan has for one interval."""

    power_cost_usd_mwh: float = field(metadata={"doc": "All-in cost of a MWh that it rests on, USD/MWh."})
    mining_mw: float = field(metadata={"doc": "Mining, MW at the meter."})
    gpu_mw: float = field(metadata={"doc": "GPUs, MW at the meter."})


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingLimit:
    """A limit that holds back the decision, and what one more unit of it would be worth."""

    rule: str = field(
        metadata={"doc": "Which limit: facility cap, transformer cap, grid limit, ramp, GPUs in service …"}
    )
    subject: str = field(metadata={"doc": "Of what."})
    interval: Int32 = field(metadata={"doc": "Interval of the plan, 0 for the decided one."})
    unit: str = field(metadata={"doc": "MW or GPU."})
    usd_h: float = field(metadata={"doc": "Worth of one more unit, USD an hour."})


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUpRule:
    """A rule that could not be kept."""

    rule: str = field(metadata={"doc": "Which rule."})
    subject: str = field(metadata={"doc": "Of what."})
    interval: Int32 = field(metadata={"doc": "Interval of the plan, 0 for the decided one."})
    amount: float = field(metadata={"doc": "How much of it."})
    unit: str = field(metadata={"doc": "Unit of the amount."})
    penalty_usd: float = field(metadata={"doc": "Its penalty, USD."})


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationDecision:
    """What every resource group of a facility does in an interval, and why."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    decision_id: str = field(metadata={"doc": "The decision."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    decided_at: datetime = field(metadata={"doc": "Event time of the newest input."})
    cause_event_id: str = field(metadata={"doc": "Event that caused it."})
    cause: str = field(metadata={"doc": "The cause in one line."})
    snapshot_id: str = field(metadata={"doc": "event_id of the snapshot it was solved from."})
    interval_start: datetime = field(metadata={"doc": "Start of the interval."})
    interval_s: Int32 = field(metadata={"doc": "Length of the interval, s."})
    solver: str = field(metadata={"doc": "Solver and version."})
    status: str = field(metadata={"doc": "OPTIMAL, FEASIBLE or FALLBACK."})
    objective_usd_h: float = field(metadata={"doc": "Expected margin, USD an hour."})
    bound_usd_h: float = field(metadata={"doc": "Proven upper bound of the margin, USD an hour."})
    gap_ratio: float = field(metadata={"doc": "(bound - objective) / max(|bound|, 1)."})
    load_mw: float = field(metadata={"doc": "Facility load decided, with cooling, MW."})
    mining_mw: float = field(metadata={"doc": "Of it mining, MW."})
    gpu_mw: float = field(metadata={"doc": "Of it GPUs, MW."})
    grid_mw: float = field(metadata={"doc": "Left to the grid of what could be used, MW."})
    power_cost_usd_mwh: float = field(metadata={"doc": "All-in cost of a MWh that it rests on, USD/MWh."})
    allocations: list[GroupAllocation] = field(metadata={"doc": "One entry a resource group, sorted by id."})
    method: DecisionMethod = field(metadata={"doc": "How it was decided."}, default=DecisionMethod.DISPATCH)
    horizon: list[PlannedInterval] = field(
        metadata={"doc": "The plan, the decided interval first; empty for a dispatch."}, default_factory=list
    )
    binding_limits: list[BindingLimit] = field(
        metadata={"doc": "What limits it, by interval, rule and subject."}, default_factory=list
    )
    given_up: list[GivenUpRule] = field(
        metadata={"doc": "What could not be kept, by interval, rule and subject."}, default_factory=list
    )
    capacity_usd_h: float = field(
        metadata={
            "doc": "What holding awarded capacity brings in the decided interval, what is short taken off, USD an hour."
        },
        default=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeOption:
    """What the whole group draws and earns in one mode."""

    mode: PowerMode = field(metadata={"doc": "The mode."})
    power_mw: float = field(metadata={"doc": "IT power, MW."})
    revenue_usd_h: float = field(metadata={"doc": "Revenue, USD an hour."})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInput:
    """A resource group as the solver sees it."""

    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    kind: ResourceKind = field(metadata={"doc": "Kind of the devices."})
    units: Int32 = field(metadata={"doc": "Devices."})
    idle_power_mw: float = field(metadata={"doc": "IT power with the group off or idle, MW."})
    unit_power_mw: float = field(metadata={"doc": "Extra IT power of one busy GPU, MW; 0 for ASICs."})
    modes: list[ModeOption] = field(metadata={"doc": "Choices of an ASIC group."})
    current_mode: PowerMode | None = field(
        metadata={"doc": "Mode commanded last, null for GPUs or before the first command."}, default=None
    )
    transformer_id: str | None = field(
        metadata={"doc": "Transformer that feeds it, null where none limits."}, default=None
    )
    start_cost_usd: float = field(metadata={"doc": "Wear of starting the whole group, USD."}, default=0.0)
    stop_cost_usd: float = field(metadata={"doc": "Wear of stopping the whole group, USD."}, default=0.0)
    min_up_s: Int32 = field(metadata={"doc": "Least time that it runs once started, s."}, default=0)
    min_down_s: Int32 = field(metadata={"doc": "Least time that it rests once stopped, s."}, default=0)
    held_s: Int32 = field(metadata={"doc": "How long it has been running (or off), s."}, default=0)
    planned_modes: list[PowerMode] = field(
        metadata={"doc": "What the plan made last has for an ASIC group after the decided interval; empty for a plan."},
        default_factory=list,
    )
    hold_until: datetime | None = field(
        metadata={"doc": "Until when its devices hold the mode commanded last."}, default=None
    )
    island_gpus: Int32 = field(metadata={"doc": "GPUs that NVLink joins; 0 for ASICs."}, default=0)
    out_of_service: list[Int32] = field(
        metadata={"doc": "Intervals of the plan, the decided one 0, in which it is out of service; sorted."},
        default_factory=list,
    )


class WorkloadState(StrEnum):
    """State of a workload; see streams/domain/workload.py for the legal steps."""

    REQUESTED = "REQUESTED"
    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PREEMPTED = "PREEMPTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadInput:
    """A queued or running workload as the solver sees it."""

    workload_id: str = field(metadata={"doc": "The workload."})
    state: WorkloadState = field(metadata={"doc": "Its state."})
    gpus: Int32 = field(metadata={"doc": "GPUs held together."})
    priority: Int32 = field(metadata={"doc": "Higher goes first."})
    revenue_usd_h: float = field(metadata={"doc": "Revenue while it runs, USD an hour."})
    preemption_cost_usd: float = field(metadata={"doc": "Cost of stopping it, USD."})
    remaining_s: Int32 = field(metadata={"doc": "Run time left, s."})
    resource_group_id: str | None = field(metadata={"doc": "GPU group that holds it."}, default=None)
    slack_s: Int32 | None = field(
        metadata={"doc": "Time from the start of the interval to its deadline, s; null for none."}, default=None
    )
    sla_penalty_usd: float = field(metadata={"doc": "Cost of missing the deadline, USD."}, default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLimit:
    """A limit within the facility."""

    transformer_id: str = field(metadata={"doc": "The transformer."})
    cap_mw: float = field(metadata={"doc": "Greatest power of the groups behind it, MW."})


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonInterval:
    """What is expected of one interval of the plan."""

    power_cost_usd_mwh: float = field(metadata={"doc": "All-in cost of a MWh, USD/MWh."})
    source: str = field(
        metadata={
            "doc": "Where its energy price comes from: REAL_TIME, DAY_AHEAD, FORECAST or PERSISTENCE, the newest price held on (FORECAST before there were forecasts)."
        }
    )
    limit_mw: float | None = field(metadata={"doc": "Grid limit of a call known by then, MW."}, default=None)
    payment_usd_mwh: float = field(metadata={"doc": "Payment of that call, USD/MWh."}, default=0.0)
    scenario_error_usd_mwh: list[float] = field(
        metadata={"doc": "How far the cost is off in each price scenario, USD/MWh; empty where risk has no weight."},
        default_factory=list,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityAward:
    """Capacity held ready for the grid: load that can be shed when it is called for."""

    product: str = field(metadata={"doc": "Service, e.g. ECRS."})
    capacity_mw: float = field(metadata={"doc": "How much is held, MW."})
    price_usd_mw_h: float = field(metadata={"doc": "Paid for a MW held over an hour, USD."})
    starts_at: datetime = field(metadata={"doc": "From when it is held."})
    ends_at: datetime = field(metadata={"doc": "Until when it is held."})
    penalty_usd_mwh: float = field(
        metadata={"doc": "Owed for a MW that is not held over an hour, beyond its payment, USD."}, default=0.0
    )
    response_s: Int32 = field(metadata={"doc": "How soon it has to be shed, s; 0 for no limit."}, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationSnapshot:
    """The whole input of one decision: solving it again gives the decision again."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    decision_id: str = field(metadata={"doc": "Decision it belongs to."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    taken_at: datetime = field(metadata={"doc": "Event time of the newest input."})
    cause_event_id: str = field(metadata={"doc": "Event that caused the decision."})
    cause: str = field(metadata={"doc": "The cause in one line."})
    interval_start: datetime = field(metadata={"doc": "Start of the interval decided."})
    interval_s: Int32 = field(metadata={"doc": "Length of the interval, s."})
    cap_mw: float = field(metadata={"doc": "Facility cap, MW."})
    pue_ratio: float = field(metadata={"doc": "Facility power over IT power."})
    power_cost_usd_mwh: float = field(metadata={"doc": "All-in cost of a MWh, USD/MWh."})
    grid_value_usd_mwh: float = field(metadata={"doc": "Worth of a MWh given back, USD/MWh."})
    payment_usd_mwh: float = field(metadata={"doc": "Payment of the active call, USD/MWh."})
    groups: list[GroupInput] = field(metadata={"doc": "Resource groups, sorted by id."})
    workloads: list[WorkloadInput] = field(metadata={"doc": "Workloads that may run, sorted by id."})
    signal_id: str | None = field(metadata={"doc": "Signal of the active call, if any."}, default=None)
    limit_mw: float | None = field(metadata={"doc": "Grid limit of the active call, MW."}, default=None)
    load_before_mw: float | None = field(
        metadata={"doc": "Facility load decided last before the interval, MW."}, default=None
    )
    ramp_mw_min: float = field(
        metadata={"doc": "Greatest change of the load, MW a minute; 0 for no limit."}, default=0.0
    )
    min_load_mw: float = field(metadata={"doc": "Least load that is to be kept, MW."}, default=0.0)
    block_mw: float = field(metadata={"doc": "Power bought ahead at a fixed price, MW."}, default=0.0)
    sell_back_limit_mw: float = field(
        metadata={"doc": "Greatest power of the block that can be sold back, MW."}, default=0.0
    )
    transformers: list[TransformerLimit] = field(
        metadata={"doc": "Limits within the facility, sorted by id."}, default_factory=list
    )
    horizon: list[HorizonInterval] = field(
        metadata={"doc": "The plan's intervals, the decided one first; empty for a decision of the interval alone."},
        default_factory=list,
    )
    settlement_point: str | None = field(
        metadata={"doc": "Where it settles its energy, e.g. HB_WEST; null where the snapshot does not say."},
        default=None,
    )
    lmp_usd_mwh: float | None = field(metadata={"doc": "Real-time price there, USD/MWh."}, default=None)
    energy_adder_usd_mwh: float | None = field(
        metadata={"doc": "What retail, transmission and losses add to it, USD/MWh."}, default=None
    )
    btc_price_usd: float | None = field(metadata={"doc": "BTC price that the revenues rest on, USD."}, default=None)
    hashprice_usd_ths_day: float | None = field(
        metadata={"doc": "Revenue of 1 TH/s over a day that they rest on, USD."}, default=None
    )
    ahead_usd_mwh: list[float] = field(
        metadata={"doc": "Expected cost of a MWh in the intervals of the groups' planned modes, all in, USD/MWh."},
        default_factory=list,
    )
    transmission_usd_mwh: float = field(
        metadata={"doc": "Expected transmission charge by coincident peaks within the power cost, USD/MWh."},
        default=0.0,
    )
    capacity_awards: list[CapacityAward] = field(
        metadata={"doc": "Capacity awarded to the facility."}, default_factory=list
    )
    risk_weight: float = field(metadata={"doc": "Share of CVaR in what the plan maximises; 0 for none."}, default=0.0)
    risk_tail: float = field(metadata={"doc": "Share of the probability that the CVaR is the mean of."}, default=0.1)
    scenario_probability: list[float] = field(
        metadata={"doc": "Probability of each price scenario; empty where risk has no weight."}, default_factory=list
    )
    forecast_event_id: str | None = field(
        metadata={
            "doc": "event_id of the forecast that the plan's prices of source FORECAST are of; null where there are none."
        },
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AsicTelemetry:
    """One reading of one ASIC; identified by (device_id, observed_at)."""

    device_id: str = field(metadata={"doc": "Device, unique over all facilities."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    observed_at: datetime = field(metadata={"doc": "Event time of the reading."})
    power_mode: PowerMode = field(metadata={"doc": "Mode the device was in."})
    power_w: float = field(metadata={"doc": "Wall power, W; zero or more."})
    hashrate_ths: float = field(metadata={"doc": "Hashrate over the reading's interval, TH/s; zero or more."})
    temp_c: float = field(metadata={"doc": "Hottest board, degrees Celsius."})
    fan_rpm: Int32 = field(metadata={"doc": "Mean fan speed, revolutions a minute."})
    boards_hashing: Int32 = field(
        metadata={"doc": "Hash boards that hash; -1 where the source does not say."}, default=-1
    )
    pool_rejected_ratio: float = field(
        metadata={"doc": "Share of the work sent since the last start that pools rejected, 0 to 1."}, default=0.0
    )
    uptime_s: Int32 = field(
        metadata={
            "doc": "Time since the mining software started, s; 0 where it does not run, or the source does not say."
        },
        default=0,
    )


class AuditOutcome(StrEnum):
    """Whether it was done."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Who did what, and whether it was allowed."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    actor: str = field(metadata={"doc": "Who: a customer, an operator or a worker."})
    action: str = field(metadata={"doc": "What was tried."})
    subject: str = field(metadata={"doc": "On what, e.g. workload/wl-42."})
    occurred_at: datetime = field(metadata={"doc": "Event time."})
    outcome: AuditOutcome = field(metadata={"doc": "Whether it was done."})
    reason: str = field(metadata={"doc": "Why, in one line."})
    details: dict[str, str] = field(metadata={"doc": "More, by name."}, default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Master data of a customer of GPU capacity."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    customer_id: str = field(metadata={"doc": "The customer."})
    name: str = field(metadata={"doc": "Display name."})
    tier: str = field(metadata={"doc": "Service tier: reserved, on-demand or spot."})
    gpu_hour_price_usd: Decimal
    recorded_at: datetime = field(metadata={"doc": "Event time of the record."})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """Master data of a facility; the newest record per facility_id holds."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    name: str = field(metadata={"doc": "Display name."})
    country: str = field(metadata={"doc": "ISO 3166-1 alpha-2."})
    timezone: str = field(metadata={"doc": "IANA time zone."})
    grid_operator: str = field(metadata={"doc": "ERCOT or AESO."})
    settlement_point: str = field(metadata={"doc": "Where the facility settles."})
    cap_mw: float = field(metadata={"doc": "Greatest load of IT and cooling together, MW; more than zero."})
    pue_ratio: float = field(metadata={"doc": "Facility power over IT power; 1 or more."})
    energy_adder_usd_mwh: float = field(
        metadata={"doc": "Retail, transmission and loss adder on the energy price, USD/MWh."}
    )
    sell_back_limit_mw: float = field(
        metadata={"doc": "Greatest power that can be sold back from a fixed-price block, MW."}
    )
    recorded_at: datetime = field(metadata={"doc": "Event time of the record."})
    region: str = field(
        metadata={"doc": "Region that customers' placement limits name, e.g. US-TX; empty where none is agreed."},
        default="",
    )
    ramp_mw_min: float = field(
        metadata={"doc": "Greatest change of the load, MW a minute; 0 for no limit."}, default=0.0
    )
    min_load_mw: float = field(metadata={"doc": "Least load that is to be kept, MW."}, default=0.0)
    block_mw: float = field(metadata={"doc": "Power bought ahead at a fixed price, MW."}, default=0.0)
    transformers: list[TransformerLimit] = field(
        metadata={"doc": "Limits within the facility, sorted by id."}, default_factory=list
    )
    transmission_usd_kw_year: float = field(
        metadata={
            "doc": "Transmission charge by load at the four coincident peaks that the adder does not hold, USD a kW and year."
        },
        default=0.0,
    )
    capacity_awards: list[CapacityAward] = field(
        metadata={"doc": "Capacity awarded to the facility."}, default_factory=list
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWindow:
    """Partial aggregate of one tumbling window: the readings of one resource group in one input partition. Readers add the parts."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    kind: ResourceKind = field(metadata={"doc": "Kind of the devices."})
    window_start: datetime = field(metadata={"doc": "Start of the window, aligned to the epoch."})
    window_end: datetime = field(metadata={"doc": "End of the window, exclusive."})
    source_topic: str = field(metadata={"doc": "Topic the readings came from."})
    source_partition: Int32 = field(metadata={"doc": "Partition the readings came from."})
    readings: int = field(metadata={"doc": "Readings in the window."})
    devices: int = field(metadata={"doc": "Devices that sent at least one."})
    power_w_sum: float = field(metadata={"doc": "Sum of power_w over the readings, W."})
    hashrate_ths_sum: float = field(metadata={"doc": "Sum of hashrate_ths, TH/s; 0 for GPUs."})
    utilization_ratio_sum: float = field(metadata={"doc": "Sum of utilization_ratio; 0 for ASICs."})
    temp_c_sum: float = field(metadata={"doc": "Sum of temp_c, degrees Celsius."})
    temp_c_max: float = field(metadata={"doc": "Greatest temp_c, degrees Celsius."})


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTelemetry:
    """One reading of one GPU; identified by (device_id, observed_at)."""

    device_id: str = field(metadata={"doc": "Device, unique over all facilities."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    observed_at: datetime = field(metadata={"doc": "Event time of the reading."})
    power_w: float = field(metadata={"doc": "Board power, W; zero or more."})
    utilization_ratio: float = field(metadata={"doc": "Share of time with a kernel running, 0 to 1."})
    temp_c: float = field(metadata={"doc": "GPU temperature, degrees Celsius."})
    memory_used_gib: float = field(metadata={"doc": "Frame buffer in use, GiB; zero or more."})
    workload_id: str | None = field(metadata={"doc": "Workload that holds the GPU, null when idle."}, default=None)
    sm_clock_mhz: Int32 = field(metadata={"doc": "SM clock, MHz; 0 where it is not known."}, default=0)
    memory_temp_c: float = field(
        metadata={"doc": "Memory temperature, degrees Celsius; 0 where it is not known."}, default=0.0
    )
    xid: Int32 = field(metadata={"doc": "Number of the newest XID error, 0 for none."}, default=0)
    throttle_reasons: int = field(
        metadata={"doc": "What holds the clock down: NVML's bit mask (nvmlClocksEventReasons), 0 for nothing."},
        default=0,
    )


class GridMarket(StrEnum):
    """Which market cleared the price."""

    REAL_TIME = "REAL_TIME"
    DAY_AHEAD = "DAY_AHEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPrice:
    """Locational marginal price of one settlement point and interval."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    settlement_point: str = field(metadata={"doc": "ERCOT settlement point or AESO pool, e.g. HB_WEST."})
    market: GridMarket = field(metadata={"doc": "Market of the price."})
    observed_at: datetime = field(metadata={"doc": "Event time: when the price was published."})
    interval_start: datetime = field(metadata={"doc": "Start of the interval that the price holds for."})
    interval_s: Int32 = field(metadata={"doc": "Length of the interval, s; more than zero."})
    price_usd_mwh: float = field(metadata={"doc": "Energy price, USD/MWh; may be negative."})


class SignalKind(StrEnum):
    """Why load has to go down."""

    CURTAILMENT = "CURTAILMENT"
    DEMAND_RESPONSE = "DEMAND_RESPONSE"


class SignalStatus(StrEnum):
    """Whether the call begins or is over."""

    CALLED = "CALLED"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSignal:
    """A curtailment or demand-response call to a facility, or its end."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    signal_id: str = field(metadata={"doc": "The call; its end carries the same id."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    kind: SignalKind = field(metadata={"doc": "Kind of the call."})
    status: SignalStatus = field(metadata={"doc": "Status of the call."})
    observed_at: datetime = field(metadata={"doc": "Event time: when the signal was received."})
    starts_at: datetime = field(metadata={"doc": "From when the limit holds."})
    ends_at: datetime = field(metadata={"doc": "Until when the limit holds, as announced."})
    limit_mw: float = field(metadata={"doc": "Greatest facility load while the call is active, MW; zero or more."})
    payment_usd_mwh: float = field(metadata={"doc": "Paid for each MWh below the facility's cap, USD/MWh."})


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTick:
    """A traded price: BTC-USD or the spot price of a GPU-hour."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    instrument: str = field(metadata={"doc": "BTC-USD or H100-HOUR-USD."})
    observed_at: datetime = field(metadata={"doc": "Event time of the tick."})
    price_usd: float = field(metadata={"doc": "USD per unit of the instrument (1 BTC, 1 GPU-hour); more than zero."})
    source: str = field(metadata={"doc": "Venue or simulator that published it."})


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStats:
    """State of a proof-of-work chain at a block."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    chain: str = field(metadata={"doc": "bitcoin."})
    observed_at: datetime = field(metadata={"doc": "Event time: when the block was seen."})
    block_height: int = field(metadata={"doc": "Height of the block."})
    difficulty: float = field(metadata={"doc": "Difficulty of the block; more than zero."})
    network_hashrate_ths: float = field(metadata={"doc": "Estimated hashrate of the network, TH/s; more than zero."})
    block_subsidy_btc: float = field(metadata={"doc": "Newly issued coins of a block, BTC."})
    block_fees_btc: float = field(metadata={"doc": "Fees of the block, BTC."})


class ForecastMethod(StrEnum):
    """A way to forecast prices."""

    BOOSTING = "BOOSTING"
    PERSISTENCE = "PERSISTENCE"
    SAME_HOUR_LAST_WEEK = "SAME_HOUR_LAST_WEEK"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastScore:
    """How good a method was in the week before it was fitted, which it had not seen."""

    method: ForecastMethod = field(metadata={"doc": "The method."})
    pinball_loss_usd_mwh: float = field(
        metadata={"doc": "Mean pinball loss of its quantiles over the intervals ahead, USD/MWh; less is better."}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastInterval:
    """What is forecast of one interval: quantiles rise with their level."""

    starts_at: datetime = field(metadata={"doc": "Start of the interval."})
    expected_usd_mwh: float = field(metadata={"doc": "Mean of what is forecast, USD/MWh."})
    p05_usd_mwh: float = field(metadata={"doc": "Price that one in twenty falls below, USD/MWh."})
    p25_usd_mwh: float = field(metadata={"doc": "Price that one in four falls below, USD/MWh."})
    p50_usd_mwh: float = field(metadata={"doc": "Median, USD/MWh."})
    p75_usd_mwh: float = field(metadata={"doc": "Price that one in four exceeds, USD/MWh."})
    p95_usd_mwh: float = field(metadata={"doc": "Price that one in twenty exceeds, USD/MWh."})


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceForecast:
    """Real-time prices of a settlement point in the hours ahead, as forecast from one price on."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    settlement_point: str = field(metadata={"doc": "Settlement point that has no day-ahead market, e.g. AESO_POOL."})
    observed_at: datetime = field(
        metadata={"doc": "Event time: when the price was published that is the newest it rests on."}
    )
    price_event_id: str = field(metadata={"doc": "event_id of that price."})
    fitted_at: datetime = field(metadata={"doc": "Its method has learnt from what was published before this."})
    method: ForecastMethod = field(
        metadata={"doc": "How it is forecast: the method with the least loss in the week before `fitted_at`."}
    )
    scores: list[ForecastScore] = field(
        metadata={"doc": "Losses of that week, of the method and of what it was compared with."}
    )
    interval_s: Int32 = field(metadata={"doc": "Length of the intervals, s; more than zero."})
    intervals: list[ForecastInterval] = field(
        metadata={"doc": "The intervals forecast, one after the other; a price that is known is itself."}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEconomics:
    """Worth of a resource group's use of power."""

    resource_group_id: str = field(metadata={"doc": "Resource group within the facility."})
    kind: ResourceKind = field(metadata={"doc": "Kind of the devices."})
    load_mw: float = field(metadata={"doc": "Measured IT load, MW, or its fallback."})
    value_usd_mwh: float = field(metadata={"doc": "Revenue of a MWh at the meter in the best mode, USD/MWh."})
    break_even_usd_mwh: float = field(
        metadata={"doc": "All-in power price at which the best mode earns nothing, USD/MWh."}
    )
    margin_usd_mwh: float = field(metadata={"doc": "value less power cost, USD/MWh."})
    best_mode: PowerMode | None = field(
        metadata={"doc": "ASIC mode with the greatest margin per hour; null for GPUs."}, default=None
    )
    margin_usd_h: float | None = field(
        metadata={"doc": "Margin of the whole group in the best mode, of GPUs all sold at spot, USD an hour."},
        default=None,
    )
    efficiency_j_th: float | None = field(
        metadata={"doc": "Energy for 1e12 hashes in the best mode without cooling, J/TH; null for GPUs."}, default=None
    )
    break_even_btc_usd: float | None = field(
        metadata={"doc": "BTC price at which the best mode breaks even, USD; null for GPUs or free power."},
        default=None,
    )
    break_even_difficulty: float | None = field(
        metadata={"doc": "Difficulty at which the best mode breaks even; null for GPUs or free power."}, default=None
    )
    break_even_gpu_hour_usd: float | None = field(
        metadata={"doc": "Price of a GPU-hour that pays for its energy, USD; null for ASICs."}, default=None
    )
    btc_sensitivity_usd_mwh: float = field(
        metadata={"doc": "Change of the margin for 1 % more of BTC price, USD/MWh."}, default=0.0
    )
    difficulty_sensitivity_usd_mwh: float = field(
        metadata={"doc": "Change of the margin for 1 % more of difficulty, USD/MWh."}, default=0.0
    )
    power_sensitivity_usd_mwh: float = field(
        metadata={"doc": "Change of the margin for 1 % more of LMP, USD/MWh."}, default=0.0
    )
    gpu_hour_sensitivity_usd_mwh: float = field(
        metadata={"doc": "Change of the margin for 1 % more of the price of a GPU-hour, USD/MWh."}, default=0.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReference:
    """An input of an evaluation."""

    name: str = field(metadata={"doc": "Which input, e.g. market.ticks/BTC-USD."})
    event_id: str = field(metadata={"doc": "Its event."})
    observed_at: datetime = field(metadata={"doc": "Its event time."})
    is_stale: bool = field(metadata={"doc": "Whether it is older than its limit."})


class UseKind(StrEnum):
    """What a megawatt can be used for."""

    MINING = "MINING"
    GPU_SPOT = "GPU_SPOT"
    GPU_QUEUE = "GPU_QUEUE"
    GRID = "GRID"
    SELL_BACK = "SELL_BACK"
    DEMAND_RESPONSE = "DEMAND_RESPONSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerUse:
    """What the next megawatt is worth in one use."""

    use: UseKind = field(metadata={"doc": "The use."})
    value_usd_mwh: float = field(
        metadata={"doc": "Worth of a MWh at the meter, USD/MWh: of a mode, of its power over the mode below."}
    )
    margin_usd_mwh: float = field(metadata={"doc": "The worth less the power cost, USD/MWh."})
    available_mw: float = field(metadata={"doc": "How much power with cooling the use can take, MW."})
    resource_group_id: str | None = field(
        metadata={"doc": "Resource group that would use it; null where it goes to the grid."}, default=None
    )
    mode: PowerMode | None = field(metadata={"doc": "Power mode; null but for MINING."}, default=None)


class InputCondition(StrEnum):
    """What is wrong with an input."""

    STALE = "STALE"
    MISSING = "MISSING"


class FallbackRule(StrEnum):
    """What stands in; see streams/domain/fallback.py for the rules."""

    DAY_AHEAD_OF_HOUR = "DAY_AHEAD_OF_HOUR"
    LAST_KNOWN = "LAST_KNOWN"
    LAST_KNOWN_LESS_RISK = "LAST_KNOWN_LESS_RISK"
    LOWEST_CONTRACT = "LOWEST_CONTRACT"
    IDLE_POWER = "IDLE_POWER"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFallback:
    """What stands in for an input that is stale or missing."""

    name: str = field(metadata={"doc": "Which input, as in `inputs`."})
    condition: InputCondition = field(metadata={"doc": "What is wrong with it."})
    rule: FallbackRule = field(metadata={"doc": "The rule that was followed."})
    value: float = field(metadata={"doc": "What stands in, in the unit of the input."})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profitability:
    """What each use of a megawatt is worth at a facility now."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    evaluated_at: datetime = field(metadata={"doc": "Event time of the newest input."})
    cause_event_id: str = field(metadata={"doc": "Event that caused the evaluation."})
    interval_start: datetime = field(metadata={"doc": "Start of the dispatch interval."})
    lmp_usd_mwh: float = field(metadata={"doc": "Real-time price at the settlement point, USD/MWh, or its fallback."})
    power_cost_usd_mwh: float = field(metadata={"doc": "All-in cost of a MWh at the meter, USD/MWh."})
    btc_price_usd: float = field(metadata={"doc": "BTC price, USD, or its fallback."})
    hashprice_usd_ths_day: float = field(metadata={"doc": "Expected revenue of 1 TH/s over a day, USD."})
    gpu_hour_price_usd: float = field(metadata={"doc": "Spot price of a GPU-hour, USD."})
    load_mw: float = field(metadata={"doc": "Measured load of the facility with cooling, MW, or its fallback."})
    grid_value_usd_mwh: float = field(metadata={"doc": "Worth of a MWh given back to the grid, USD/MWh."})
    groups: list[GroupEconomics] = field(metadata={"doc": "One entry a resource group, sorted by id."})
    inputs: list[InputReference] = field(metadata={"doc": "Inputs, sorted by name."})
    day_ahead_usd_mwh: float | None = field(
        metadata={"doc": "Day-ahead price of the hour at the settlement point, USD/MWh; null where none is known."},
        default=None,
    )
    transmission_usd_mwh: float = field(
        metadata={"doc": "Expected transmission charge by coincident peaks within the power cost, USD/MWh."},
        default=0.0,
    )
    uses: list[PowerUse] = field(
        metadata={"doc": "The merit order: each use of the next MW, the most valuable first."}, default_factory=list
    )
    fallbacks: list[InputFallback] = field(
        metadata={"doc": "Rules followed for inputs that are stale or missing, sorted by name."}, default_factory=list
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModePoint:
    """What one device draws and does in one power mode."""

    mode: PowerMode = field(metadata={"doc": "The mode."})
    power_w: float = field(metadata={"doc": "Wall power of one device, W."})
    hashrate_ths: float = field(metadata={"doc": "Hashrate of one device, TH/s."})


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """A time in which a group is out of service."""

    starts_at: datetime = field(metadata={"doc": "Start of the window."})
    ends_at: datetime = field(metadata={"doc": "End of the window, exclusive."})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Master data of a resource group: like devices in one facility that are switched together."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    resource_group_id: str = field(metadata={"doc": "The group, unique over all facilities."})
    facility_id: str = field(metadata={"doc": "Facility, e.g. Texas-1."})
    kind: ResourceKind = field(metadata={"doc": "Kind of its devices."})
    model: str = field(metadata={"doc": "Model of its devices."})
    units: Int32 = field(metadata={"doc": "Devices of the group that are in service; more than zero."})
    idle_power_w: float = field(metadata={"doc": "Power of one device that is off (ASIC) or idle (GPU), W."})
    max_power_w: float = field(metadata={"doc": "Power of one device at its highest setting, W."})
    modes: list[PowerModePoint] = field(metadata={"doc": "Power modes, empty for GPUs."})
    recorded_at: datetime = field(metadata={"doc": "Event time of the record."})
    transformer_id: str | None = field(
        metadata={"doc": "Transformer that feeds it, null where none limits."}, default=None
    )
    start_cost_usd: float = field(metadata={"doc": "Wear of starting the whole group, USD."}, default=0.0)
    stop_cost_usd: float = field(metadata={"doc": "Wear of stopping the whole group, USD."}, default=0.0)
    min_up_s: Int32 = field(metadata={"doc": "Least time that it runs once started, s."}, default=0)
    min_down_s: Int32 = field(metadata={"doc": "Least time that it rests once stopped, s."}, default=0)
    island_gpus: Int32 = field(
        metadata={"doc": "GPUs that NVLink joins in one node; of no meaning for ASICs."}, default=8
    )
    maintenance: list[MaintenanceWindow] = field(
        metadata={"doc": "When the group is out of service, sorted by start."}, default_factory=list
    )
    units_in_repair: Int32 = field(
        metadata={"doc": "Devices of the group besides its units, which are out of service until they are repaired."},
        default=0,
    )


class WorkloadAction(StrEnum):
    """What is asked or reported."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    REPORT_STARTED = "REPORT_STARTED"
    REPORT_COMPLETED = "REPORT_COMPLETED"
    REPORT_FAILED = "REPORT_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRequest:
    """What was asked of a workload: to run it, to cancel it, or a report of the site's scheduler."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    workload_id: str = field(metadata={"doc": "The workload."})
    action: WorkloadAction = field(metadata={"doc": "What is asked or reported."})
    observed_at: datetime = field(metadata={"doc": "Event time of the request."})
    customer_id: str = field(metadata={"doc": "Who asks."})
    facility_id: str | None = field(metadata={"doc": "Where it must run; null lets the system choose."}, default=None)
    gpus: Int32 = field(metadata={"doc": "GPUs held together (gang); SUBMIT only."}, default=0)
    duration_s: Int32 = field(metadata={"doc": "Run time needed, s; SUBMIT only."}, default=0)
    priority: Int32 = field(metadata={"doc": "Higher goes first."}, default=0)
    deadline: datetime | None = field(metadata={"doc": "Latest completion, null for none."}, default=None)
    price_usd_gpu_hour: float | None = field(
        metadata={"doc": "Agreed price; null takes the customer's contract price."}, default=None
    )
    reason: str | None = field(metadata={"doc": "Why, for CANCEL and REPORT_FAILED."}, default=None)
    allowed_regions: list[str] = field(
        metadata={"doc": "Regions that it may run in, empty for any; SUBMIT only."}, default_factory=list
    )
    sla_penalty_usd: float = field(
        metadata={"doc": "Owed to the customer where the deadline is missed, USD; SUBMIT only."}, default=0.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequest:
    """A request or report of a workload on its way to the facility that the workload is given to, or was given to."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    facility_id: str = field(metadata={"doc": "The facility that handles the request."})
    workload_id: str = field(metadata={"doc": "The workload."})
    observed_at: datetime = field(metadata={"doc": "Event time of the request."})
    reason: str = field(metadata={"doc": "Why it goes there, as a person reads it."})
    request: WorkloadRequest = field(metadata={"doc": "The request as it was made."})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadTransition:
    """One step of a workload's state machine, with all of the workload that a reader needs."""

    event_id: str = field(metadata={"doc": "UUIDv5 of what caused the event: the same cause gives the same id."})
    workload_id: str = field(metadata={"doc": "The workload."})
    version: Int32 = field(metadata={"doc": "Number of the step, from 1."})
    to_state: WorkloadState = field(metadata={"doc": "State after."})
    occurred_at: datetime = field(metadata={"doc": "Event time of the step."})
    customer_id: str = field(metadata={"doc": "Whose it is."})
    gpus: Int32 = field(metadata={"doc": "GPUs held together."})
    duration_s: Int32 = field(metadata={"doc": "Run time needed, s."})
    progress_s: Int32 = field(metadata={"doc": "Run time done before this step, s."})
    priority: Int32 = field(metadata={"doc": "Higher goes first."})
    requested_at: datetime = field(metadata={"doc": "Event time of the request."})
    price_usd_gpu_hour: float = field(metadata={"doc": "Price, USD per GPU-hour."})
    reason: str = field(metadata={"doc": "Why, in one line."})
    from_state: WorkloadState | None = field(metadata={"doc": "State before; null for the first step."}, default=None)
    facility_id: str | None = field(metadata={"doc": "Where it is placed."}, default=None)
    resource_group_id: str | None = field(metadata={"doc": "GPU group that holds it."}, default=None)
    deadline: datetime | None = field(metadata={"doc": "Latest completion, null for none."}, default=None)
    decision_id: str | None = field(metadata={"doc": "Decision that caused the step, if one did."}, default=None)
    allowed_regions: list[str] = field(
        metadata={"doc": "Regions that it may run in, empty for any."}, default_factory=list
    )
    sla_penalty_usd: float = field(
        metadata={"doc": "Owed to the customer where the deadline is missed, USD."}, default=0.0
    )
