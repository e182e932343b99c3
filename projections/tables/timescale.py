"""What happened when: the tables of TimescaleDB.

The hot table has one index, the one on time that chunk exclusion needs: each further index would cost about half of the
write rate.
"""

from datetime import timedelta

import polars as pl

from projections.aggregate import Aggregate, Refresh
from projections.hypertable import Compression, Hypertable
from projections.table import Database, Mode, Table
from projections.tables.rows import BIGINT, FLOAT, INT, JSON, TEXT, TIME, columns, json_text, one_row_each
from schemas.reject import ROW

_TEN_SECONDS, _MINUTE, _HOUR, _DAY = timedelta(seconds=10), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NO_TEXT = pl.lit(None, dtype=pl.String)
_NO_FLOAT = pl.lit(None, dtype=pl.Float64)


def _groups(frame: pl.DataFrame) -> pl.DataFrame:
    # The facility's own measured load gives way to the group's.
    rows = one_row_each(frame, "groups")
    return rows.with_columns(fallbacks=json_text(rows["fallbacks"]))


def _uses(frame: pl.DataFrame) -> pl.DataFrame:
    # The list is the merit order; a batch may hold an event twice, so its rows are counted by the message.
    rows = one_row_each(frame, "uses")
    return rows.with_columns(merit=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(ROW))


def _forecasts(frame: pl.DataFrame) -> pl.DataFrame:
    rows = one_row_each(frame, "intervals")
    return rows.with_columns(scores=json_text(rows["scores"]))


def _decisions(frame: pl.DataFrame) -> pl.DataFrame:
    return one_row_each(frame, "allocations")


# Averages by ten seconds, minute, five minutes and hour, each made from the one before it. Sums and counts are kept, so
# that coarser averages are exact. Only the finest reads the readings: a refresh reads whole buckets, and in the
# embedded TimescaleDB all others wait for it. It is kept as long as the readings are.
_GROUP = ("facility_id", "resource_group_id", "kind")
_SUMS = {
    "readings": "count(*)",
    "power_w_sum": "sum(power_w)",
    "hashrate_ths_sum": "sum(hashrate_ths)",
    "utilization_ratio_sum": "sum(utilization_ratio)",
    "temp_c_sum": "sum(temp_c)",
    "temp_c_max": "max(temp_c)",
}
_SUMS_OF_SUMS = {name: f"{'max' if name.endswith('_max') else 'sum'}({name})" for name in _SUMS}

_DEVICE = ("observed_at", "device_id", "facility_id", "resource_group_id", "power_w", "temp_c")

METRICS = Table(
    name="metrics",
    comment="Every reading of telemetry.asic and telemetry.gpu.",
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
        "observed_at": TIME,
        **dict.fromkeys(
            ("device_id", "facility_id", "resource_group_id", "kind", "power_mode", "workload_id"), TEXT
        ),
        **dict.fromkeys(("power_w", "hashrate_ths", "utilization_ratio", "temp_c"), FLOAT),
    },
    nullable=frozenset({"power_mode", "workload_id", "hashrate_ths", "utilization_ratio"}),
    hypertable=Hypertable("observed_at", chunk=_HOUR),
    # Event time may lie a day back (the simulator starts there), so refreshes look back over two days, and chunks are
    # compressed only when they are older than that: writing to a compressed chunk is slow.
    compression=Compression(("facility_id", "resource_group_id"), ("observed_at DESC",), after=2 * _DAY),
    retention=30 * _DAY,
    aggregates=(
        Aggregate(
            name="metrics_10s", bucket=_TEN_SECONDS, group_by=_GROUP, measures=_SUMS,
            refresh=Refresh(2 * _DAY, _TEN_SECONDS, every=_MINUTE), retention=30 * _DAY,
        ),
        Aggregate(
            name="metrics_1m", source="metrics_10s", bucket=_MINUTE, group_by=_GROUP, measures=_SUMS_OF_SUMS,
            refresh=Refresh(2 * _DAY, _MINUTE, every=_MINUTE), retention=60 * _DAY,
        ),
        Aggregate(
            name="metrics_5m", source="metrics_1m", bucket=5 * _MINUTE, group_by=_GROUP, measures=_SUMS_OF_SUMS,
            refresh=Refresh(2 * _DAY, 5 * _MINUTE, every=5 * _MINUTE), retention=90 * _DAY,
        ),
        Aggregate(
            name="metrics_1h", source="metrics_5m", bucket=_HOUR, group_by=_GROUP, measures=_SUMS_OF_SUMS,
            refresh=Refresh(3 * _DAY, _HOUR, every=_HOUR), retention=180 * _DAY,
        ),
    ),
)  # fmt: skip

PRICE_DATA = Table(
    name="price_data",
    comment="Prices: market ticks (USD a unit) and LMPs (USD/MWh).",
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
        "observed_at": TIME, "name": TEXT, "kind": TEXT, "price_usd": FLOAT, "valid_from": TIME, "event_id": TEXT,
    },
    comments={"kind": "TICK, REAL_TIME or DAY_AHEAD."},
    hypertable=Hypertable("observed_at", chunk=_DAY),
    retention=180 * _DAY,
)  # fmt: skip

PRICE_FORECASTS = Table(
    name="price_forecasts",
    comment="What was forecast of power prices where no day-ahead market has them, a row an interval.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"grid.forecasts": _forecasts},
    key=("event_id", "starts_at", "observed_at"),
    columns={
        "observed_at": TIME,
        "settlement_point": TEXT,
        "starts_at": TIME,
        "interval_s": INT,
        **dict.fromkeys(
            ("expected_usd_mwh", "p05_usd_mwh", "p25_usd_mwh", "p50_usd_mwh", "p75_usd_mwh", "p95_usd_mwh"), FLOAT
        ),
        "method": TEXT,
        "fitted_at": TIME,
        **dict.fromkeys(("price_event_id", "event_id"), TEXT),
        "scores": JSON,
    },
    comments={
        "expected_usd_mwh": "Mean of what is forecast; plans go by it.",
        "scores": "Pinball losses of the methods in the week before fitted_at, USD/MWh; method is the best of them.",
    },
    hypertable=Hypertable("observed_at", chunk=_DAY),
    retention=180 * _DAY,
)  # fmt: skip

FLEET_WINDOWS = Table(
    name="fleet_windows",
    comment="Partial aggregates of 15 s by input partition; add the parts.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"fleet.windows": lambda frame: frame},
    key=("event_id", "window_start"),
    columns={
        **dict.fromkeys(("window_start", "window_end"), TIME),
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "source_topic"), TEXT),
        "source_partition": INT,
        **dict.fromkeys(("readings", "devices"), BIGINT),
        **dict.fromkeys(
            ("power_w_sum", "hashrate_ths_sum", "utilization_ratio_sum", "temp_c_sum", "temp_c_max"), FLOAT
        ),
        "event_id": TEXT,
    },
    hypertable=Hypertable("window_start", chunk=_DAY),
    compression=Compression(("facility_id", "resource_group_id"), ("window_start DESC", "event_id"), after=3 * _DAY),
    retention=90 * _DAY,
)

_ECONOMICS = (
    "margin_usd_h", "efficiency_j_th", "break_even_btc_usd", "break_even_difficulty", "break_even_gpu_hour_usd",
    "btc_sensitivity_usd_mwh", "difficulty_sensitivity_usd_mwh", "power_sensitivity_usd_mwh",
    "gpu_hour_sensitivity_usd_mwh", "day_ahead_usd_mwh", "transmission_usd_mwh",
)  # fmt: skip

PROFITABILITY_SCORES = Table(
    name="profitability_scores",
    comment="What a MWh is worth in each use, by resource group.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"economics.profitability": _groups},
    key=("event_id", "resource_group_id", "evaluated_at"),
    columns={
        "evaluated_at": TIME,
        **dict.fromkeys(("facility_id", "resource_group_id", "kind", "best_mode"), TEXT),
        **dict.fromkeys(
            (
                "value_usd_mwh", "break_even_usd_mwh", "margin_usd_mwh", "load_mw", "lmp_usd_mwh",
                "power_cost_usd_mwh", "grid_value_usd_mwh",
            ),
            FLOAT,
        ),
        "event_id": TEXT,
        **dict.fromkeys(_ECONOMICS, FLOAT),
        "fallbacks": JSON,
    },
    # Evaluations made before these were in the table have none.
    nullable=frozenset({"best_mode", *_ECONOMICS, "fallbacks"}),
    comments={
        "margin_usd_h": "Margin of the whole group in its best mode, USD an hour.",
        "power_sensitivity_usd_mwh": "Change of the margin for 1 % more of LMP, USD/MWh; the others likewise.",
        "transmission_usd_mwh": "Expected charge by coincident peaks within the power cost, USD/MWh.",
        "fallbacks": "Inputs that were stale or missing, and by which rule each was stood in for.",
    },
    hypertable=Hypertable("evaluated_at", chunk=_DAY),
    retention=90 * _DAY,
)  # fmt: skip

POWER_USES = Table(
    name="power_uses",
    comment="The merit order of each evaluation: what the next MW is worth, a row a use.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"economics.profitability": _uses},
    key=("event_id", "merit", "evaluated_at"),
    columns={
        "evaluated_at": TIME,
        "facility_id": TEXT,
        "merit": INT,
        **dict.fromkeys(("use", "resource_group_id", "mode"), TEXT),
        **dict.fromkeys(("value_usd_mwh", "margin_usd_mwh", "available_mw", "power_cost_usd_mwh"), FLOAT),
        "event_id": TEXT,
    },
    nullable=frozenset({"resource_group_id", "mode"}),
    comments={
        "merit": "Place in the merit order, 1 for the most valuable use.",
        "available_mw": "How much power with cooling the use can take, MW.",
    },
    hypertable=Hypertable("evaluated_at", chunk=_DAY),
    retention=90 * _DAY,
)

ALLOCATION_HISTORY = Table(
    name="allocation_history",
    comment="Every decision, a row a resource group; the columns from objective_usd_h on are the whole decision's.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={"allocations.decisions": _decisions},
    key=("decision_id", "resource_group_id", "decided_at"),
    columns={
        "decided_at": TIME,
        **dict.fromkeys(("decision_id", "facility_id", "resource_group_id", "kind", "power_mode"), TEXT),
        "power_mw": FLOAT,
        "gpus_busy": INT,
        "margin_usd_h": FLOAT,
        **dict.fromkeys(("reason", "cause"), TEXT),
        "interval_start": TIME,
        "interval_s": INT,
        **dict.fromkeys(("objective_usd_h", "bound_usd_h", "gap_ratio"), FLOAT),
        "status": TEXT,
        **dict.fromkeys(("mining_mw", "gpu_mw", "grid_mw", "power_cost_usd_mwh", "capacity_usd_h"), FLOAT),
    },
    nullable=frozenset({"power_mode"}),
    defaults={"capacity_usd_h": "0"},
    comments={"capacity_usd_h": "What holding awarded capacity brings, what is short taken off, USD an hour."},
    hypertable=Hypertable("decided_at", chunk=_DAY),
    retention=180 * _DAY,
)
