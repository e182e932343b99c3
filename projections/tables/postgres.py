"""What is true now: the tables of PostgreSQL."""

import polars as pl

from projections.table import Database, Mode, Table
from projections.tables.rows import FLOAT, INT, JSON, TEXT, TIME, json_text, one_row_each


def _facilities(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(capacity_awards=json_text(frame["capacity_awards"]))


def _resources(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(modes=json_text(frame["modes"]))


def _allocations(frame: pl.DataFrame) -> pl.DataFrame:
    rows = one_row_each(frame, "allocations")
    return rows.with_columns(workload_ids=json_text(rows["workload_ids"]))


FACILITIES = Table(
    name="facilities",
    comment="Facilities, the newest record of registry.facilities.",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.facilities": _facilities},
    key=("facility_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("facility_id", "name", "country", "timezone", "grid_operator", "settlement_point"), TEXT),
        **dict.fromkeys(("cap_mw", "pue_ratio", "energy_adder_usd_mwh", "sell_back_limit_mw"), FLOAT),
        "recorded_at": TIME,
        "event_id": TEXT,
        "transmission_usd_kw_year": FLOAT,
        "capacity_awards": JSON,
    },
    defaults={"transmission_usd_kw_year": "0", "capacity_awards": "'[]'::jsonb"},
    comments={
        "cap_mw": "Greatest load of IT and cooling together, MW.",
        "transmission_usd_kw_year": "Charge by load at coincident peaks beside the adder, USD a kW and year.",
        "capacity_awards": "Capacity held ready for the grid: product, MW, price, penalty, hours.",
    },
    checks={"cap_mw": "cap_mw > 0", "pue_ratio": "pue_ratio >= 1"},
    touched=True,
)

RESOURCES = Table(
    name="resources",
    comment="Resource groups: like devices of a facility that are switched together.",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.resources": _resources},
    key=("resource_group_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("resource_group_id", "facility_id", "kind", "model"), TEXT),
        "units": INT,
        **dict.fromkeys(("idle_power_w", "max_power_w"), FLOAT),
        "modes": JSON,
        "recorded_at": TIME,
        "event_id": TEXT,
        "units_in_repair": INT,
    },
    defaults={"units_in_repair": "0"},
    comments={
        "units": "Devices that are in service.",
        "modes": "Power modes of one device: mode, power_w, hashrate_ths.",
        "units_in_repair": "Devices besides those, out of service until they are repaired.",
    },
    checks={
        "kind": "kind IN ('ASIC', 'GPU')",
        "units": "units > 0",
        "idle_power_w": "idle_power_w >= 0",
        "max_power_w": "max_power_w > 0",
    },
    indexes=(("facility_id",),),
    touched=True,
)

CUSTOMERS = Table(
    name="customers",
    comment="Customers of GPU capacity.",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.customers": lambda frame: frame},
    key=("customer_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("customer_id", "name", "tier"), TEXT),
        "gpu_hour_price_usd": "numeric",
        "recorded_at": TIME,
        "event_id": TEXT,
    },
    types={"gpu_hour_price_usd": "numeric(18, 6)"},
    touched=True,
)

WORKLOADS = Table(
    name="workloads",
    comment="Workloads in the state that their newest transition left them in.",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={
        "workloads.transitions": lambda frame: frame.rename({"to_state": "state", "from_state": "previous_state"})
    },
    key=("workload_id",),
    order=("version",),
    columns={
        **dict.fromkeys(("workload_id", "state", "previous_state"), TEXT),
        "version": INT,
        **dict.fromkeys(("customer_id", "facility_id", "resource_group_id"), TEXT),
        **dict.fromkeys(("gpus", "duration_s", "progress_s", "priority"), INT),
        "price_usd_gpu_hour": FLOAT,
        **dict.fromkeys(("requested_at", "deadline", "occurred_at"), TIME),
        **dict.fromkeys(("decision_id", "reason", "event_id"), TEXT),
    },
    nullable=frozenset({"previous_state", "facility_id", "resource_group_id", "deadline", "decision_id"}),
    checks={"version": "version > 0"},
    indexes=(("state",),),
    touched=True,
)

ALLOCATIONS = Table(
    name="allocations",
    comment="What each resource group was told to do last, and why.",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"allocations.decisions": _allocations},
    key=("facility_id", "resource_group_id"),
    order=("decided_at",),
    columns={
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "power_mode"), TEXT),
        "power_mw": FLOAT,
        "gpus_busy": INT,
        "workload_ids": JSON,
        "margin_usd_h": FLOAT,
        **dict.fromkeys(("reason", "cause", "decision_id"), TEXT),
        "interval_start": TIME,
        "interval_s": INT,
        "decided_at": TIME,
    },
    nullable=frozenset({"power_mode"}),
    comments={"power_mw": "Power at the meter, with cooling, MW."},
    touched=True,
)

AUDIT_LOGS = Table(
    name="audit_logs",
    comment="Who did what, and whether it was allowed.",
    database=Database.POSTGRES,
    mode=Mode.LEDGER,
    sources={"audit.events": lambda frame: frame},
    key=("event_id",),
    columns={
        **dict.fromkeys(("event_id", "actor", "action", "subject", "outcome", "reason"), TEXT),
        "details": JSON,
        "occurred_at": TIME,
    },
    checks={"outcome": "outcome IN ('ACCEPTED', 'REFUSED')"},
    indexes=(("occurred_at",),),
    touched=True,
)
