"""The tables. Adding one is an entry here and a migration; a test compares the two."""

import json

import polars as pl

from projections.table import Database, FrameFunction, Mode, Table
from schemas.columnar import ROW

_TEXT, _INT, _FLOAT, _TIME, _JSON = "text", "integer", "double precision", "timestamptz", "jsonb"


def columns(*names: str, **computed: pl.Expr) -> FrameFunction:
    """Returns a function that takes fields of the event as they are, and computed ones."""

    def rows(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(*names, ROW, **computed)

    return rows


def _resources(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(modes=_json_text(frame["modes"]))


def _allocations(frame: pl.DataFrame) -> pl.DataFrame:
    rows = _one_row_each(frame, "allocations")
    return rows.with_columns(workload_ids=_json_text(rows["workload_ids"]))


def _groups(frame: pl.DataFrame) -> pl.DataFrame:
    # The facility's own measured load gives way to the group's.
    return _one_row_each(frame.drop("load_mw"), "groups")


def _decisions(frame: pl.DataFrame) -> pl.DataFrame:
    return _one_row_each(frame, "allocations")


def _one_row_each(frame: pl.DataFrame, field: str) -> pl.DataFrame:
    return frame.filter(pl.col(field).list.len() > 0).explode(field).unnest(field)


def _json_text(column: pl.Series) -> pl.Series:
    texts = [json.dumps(value, ensure_ascii=False) for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


_NO_TEXT = pl.lit(None, dtype=pl.String)
_NO_FLOAT = pl.lit(None, dtype=pl.Float64)

FACILITIES = Table(
    name="facilities",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.facilities": lambda frame: frame},
    key=("facility_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("facility_id", "name", "country", "timezone", "grid_operator", "settlement_point"), _TEXT),
        **dict.fromkeys(("cap_mw", "pue_ratio", "energy_adder_usd_mwh", "sell_back_limit_mw"), _FLOAT),
        "recorded_at": _TIME,
        "event_id": _TEXT,
    },
)

RESOURCES = Table(
    name="resources",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.resources": _resources},
    key=("resource_group_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("resource_group_id", "facility_id", "kind", "model"), _TEXT),
        "units": _INT,
        **dict.fromkeys(("idle_power_w", "max_power_w"), _FLOAT),
        "modes": _JSON,
        "recorded_at": _TIME,
        "event_id": _TEXT,
    },
)

CUSTOMERS = Table(
    name="customers",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"registry.customers": lambda frame: frame},
    key=("customer_id",),
    order=("recorded_at",),
    columns={
        **dict.fromkeys(("customer_id", "name", "tier"), _TEXT),
        "gpu_hour_price_usd": "numeric",
        "recorded_at": _TIME,
        "event_id": _TEXT,
    },
)

WORKLOADS = Table(
    name="workloads",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={
        "workloads.transitions": lambda frame: frame.rename({"to_state": "state", "from_state": "previous_state"})
    },
    key=("workload_id",),
    order=("version",),
    columns={
        **dict.fromkeys(("workload_id", "state", "previous_state"), _TEXT),
        "version": _INT,
        **dict.fromkeys(("customer_id", "facility_id", "resource_group_id"), _TEXT),
        **dict.fromkeys(("gpus", "duration_s", "progress_s", "priority"), _INT),
        "price_usd_gpu_hour": _FLOAT,
        **dict.fromkeys(("requested_at", "deadline", "occurred_at"), _TIME),
        **dict.fromkeys(("decision_id", "reason", "event_id"), _TEXT),
    },
)

ALLOCATIONS = Table(
    name="allocations",
    database=Database.POSTGRES,
    mode=Mode.LATEST,
    sources={"allocations.decisions": _allocations},
    key=("facility_id", "resource_group_id"),
    order=("decided_at",),
    columns={
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "power_mode"), _TEXT),
        "power_mw": _FLOAT,
        "gpus_busy": _INT,
        "workload_ids": _JSON,
        "margin_usd_h": _FLOAT,
        **dict.fromkeys(("reason", "cause", "decision_id"), _TEXT),
        "interval_start": _TIME,
        "interval_s": _INT,
        "decided_at": _TIME,
    },
)

AUDIT_LOGS = Table(
    name="audit_logs",
    database=Database.POSTGRES,
    mode=Mode.LEDGER,
    sources={"audit.events": lambda frame: frame},
    key=("event_id",),
    columns={
        **dict.fromkeys(("event_id", "actor", "action", "subject", "outcome", "reason"), _TEXT),
        "details": _JSON,
        "occurred_at": _TIME,
    },
)

_DEVICE = ("observed_at", "device_id", "facility_id", "resource_group_id", "power_w", "temp_c")

METRICS = Table(
    name="metrics",
    database=Database.TIMESCALE,
    mode=Mode.APPEND,
    sources={
        "telemetry.asic": columns(
            *_DEVICE, "power_mode", "hashrate_ths",
            kind=pl.lit("ASIC"), workload_id=_NO_TEXT, utilization_ratio=_NO_FLOAT,
        ),
        "telemetry.gpu": columns(
            *_DEVICE, "workload_id", "utilization_ratio",
            kind=pl.lit("GPU"), power_mode=_NO_TEXT, hashrate_ths=_NO_FLOAT,
        ),
    },
    columns={
        "observed_at": _TIME,
        **dict.fromkeys(
            ("device_id", "facility_id", "resource_group_id", "kind", "power_mode", "workload_id"), _TEXT
        ),
        **dict.fromkeys(("power_w", "hashrate_ths", "utilization_ratio", "temp_c"), _FLOAT),
    },
)  # fmt: skip

PRICE_DATA = Table(
    name="price_data",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={
        "market.ticks": columns(
            "observed_at", "price_usd", "event_id",
            name=pl.col("instrument"), kind=pl.lit("TICK"), valid_from=pl.col("observed_at"),
        ),
        "grid.prices": columns(
            "observed_at", "event_id",
            name=pl.col("settlement_point"), kind=pl.col("market"),
            price_usd=pl.col("price_usd_mwh"), valid_from=pl.col("interval_start"),
        ),
    },
    key=("event_id", "observed_at"),
    columns={
        "observed_at": _TIME, "name": _TEXT, "kind": _TEXT, "price_usd": _FLOAT, "valid_from": _TIME, "event_id": _TEXT,
    },
)  # fmt: skip

FLEET_WINDOWS = Table(
    name="fleet_windows",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"fleet.windows": lambda frame: frame},
    key=("event_id", "window_start"),
    columns={
        **dict.fromkeys(("window_start", "window_end"), _TIME),
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "source_topic"), _TEXT),
        "source_partition": _INT,
        **dict.fromkeys(("readings", "devices"), "bigint"),
        **dict.fromkeys(
            ("power_w_sum", "hashrate_ths_sum", "utilization_ratio_sum", "temp_c_sum", "temp_c_max"), _FLOAT
        ),
        "event_id": _TEXT,
    },
)

PROFITABILITY_SCORES = Table(
    name="profitability_scores",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"economics.profitability": _groups},
    key=("event_id", "resource_group_id", "evaluated_at"),
    columns={
        "evaluated_at": _TIME,
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "best_mode"), _TEXT),
        **dict.fromkeys(
            (
                "value_usd_mwh", "break_even_usd_mwh", "margin_usd_mwh", "load_mw", "lmp_usd_mwh",
                "power_cost_usd_mwh", "grid_value_usd_mwh",
            ),
            _FLOAT,
        ),
        "event_id": _TEXT,
    },
)  # fmt: skip

ALLOCATION_HISTORY = Table(
    name="allocation_history",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"allocations.decisions": _decisions},
    key=("decision_id", "resource_group_id", "decided_at"),
    columns={
        "decided_at": _TIME,
        **dict.fromkeys(("decision_id", "facility_id", "resource_group_id", "kind", "power_mode"), _TEXT),
        "power_mw": _FLOAT,
        "gpus_busy": _INT,
        "margin_usd_h": _FLOAT,
        **dict.fromkeys(("reason", "cause"), _TEXT),
        "interval_start": _TIME,
        "interval_s": _INT,
        **dict.fromkeys(("objective_usd_h", "bound_usd_h", "gap_ratio"), _FLOAT),
        "status": _TEXT,
        **dict.fromkeys(("mining_mw", "gpu_mw", "grid_mw", "power_cost_usd_mwh"), _FLOAT),
    },
)

TABLES: tuple[Table, ...] = (
    FACILITIES,
    RESOURCES,
    CUSTOMERS,
    WORKLOADS,
    ALLOCATIONS,
    AUDIT_LOGS,
    METRICS,
    PRICE_DATA,
    FLEET_WINDOWS,
    PROFITABILITY_SCORES,
    ALLOCATION_HISTORY,
)


def tables_of(database: Database) -> tuple[Table, ...]:
    """Returns the tables of a database."""
    return tuple(table for table in TABLES if table.database is database)
