"""Value rules of the contract: what a decoded event must also fulfil, beyond its Avro types.

A rule is data: the record's field, what must hold (a polars expression over the record's columns), and the reason that
a refused event is given. The same rules serve a batch (one frame) and a single event (a frame of one row).
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from schemas import events
from schemas.reject import ROW, Reject


@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` is true for a good row; `reason` says what was expected, `field` where."""

    field: str
    holds: pl.Expr
    reason: str


RULE_ERROR = "RuleViolation"
"""Class of the error in the dead letter of an event that breaks a rule."""


def _not_negative(field: str) -> Rule:
    column = pl.col(field)
    return Rule(field, column.is_finite() & (column >= 0), "must be zero or more")


def _positive(field: str) -> Rule:
    column = pl.col(field)
    # Integers have no NaN; the cast lets one rule serve both.
    return Rule(field, column.cast(pl.Float64).is_finite() & (column > 0), "must be more than zero")


def _finite(field: str) -> Rule:
    return Rule(field, pl.col(field).is_finite(), "must be a finite number")


def _ratio(field: str) -> Rule:
    return Rule(field, pl.col(field).is_between(0.0, 1.0), "must lie between 0 and 1")


def _amount(field: str) -> pl.Expr:
    value = pl.element().struct.field(field)
    return value.is_finite() & (value >= 0)


_AWARD_HOLDS = (
    _amount("capacity_mw")
    & _amount("price_usd_mw_h")
    & _amount("penalty_usd_mwh")
    & (pl.element().struct.field("starts_at") < pl.element().struct.field("ends_at"))
)

_QUANTILES = [pl.element().struct.field(f"p{level}_usd_mwh") for level in ("05", "25", "50", "75", "95")]
_FORECAST_HOLDS = pl.all_horizontal(
    pl.element().struct.field("expected_usd_mwh").is_finite(),
    *(quantile.is_finite() for quantile in _QUANTILES),
    *(lower <= upper for lower, upper in pairwise(_QUANTILES)),
)

RULES: dict[type, tuple[Rule, ...]] = {
    events.AsicTelemetry: (
        _not_negative("power_w"),
        _not_negative("hashrate_ths"),
        _finite("temp_c"),
        _ratio("pool_rejected_ratio"),
        _not_negative("uptime_s"),
        Rule("boards_hashing", pl.col("boards_hashing") >= -1, "must be -1 or more"),
    ),
    events.GpuTelemetry: (
        _not_negative("power_w"),
        _ratio("utilization_ratio"),
        _finite("temp_c"),
        _not_negative("memory_used_gib"),
        _finite("memory_temp_c"),
    ),
    events.MarketTick: (_positive("price_usd"),),
    events.NetworkStats: (
        _positive("difficulty"),
        _positive("network_hashrate_ths"),
        _not_negative("block_subsidy_btc"),
        _not_negative("block_fees_btc"),
    ),
    events.GridPrice: (_finite("price_usd_mwh"), _positive("interval_s")),
    events.PriceForecast: (
        _positive("interval_s"),
        Rule(
            "intervals",
            pl.col("intervals").list.eval(_FORECAST_HOLDS).list.all(),
            "must have finite prices, and quantiles that rise with their level",
        ),
    ),
    events.GridSignal: (_not_negative("limit_mw"), _finite("payment_usd_mwh")),
    events.Facility: (
        _positive("cap_mw"),
        Rule("pue_ratio", pl.col("pue_ratio").is_finite() & (pl.col("pue_ratio") >= 1), "must be 1 or more"),
        _not_negative("transmission_usd_kw_year"),
        Rule(
            "capacity_awards",
            pl.col("capacity_awards").list.eval(_AWARD_HOLDS).list.all(),
            "must have amounts of zero or more, and end after they start",
        ),
    ),
    events.Resource: (
        _positive("units"),
        _not_negative("units_in_repair"),
        _not_negative("idle_power_w"),
        _positive("max_power_w"),
    ),
    events.WorkloadRequest: (
        Rule(
            "gpus",
            (pl.col("action") != "SUBMIT") | (pl.col("gpus") > 0),
            "must be more than zero to submit a workload",
        ),
        Rule(
            "duration_s",
            (pl.col("action") != "SUBMIT") | (pl.col("duration_s") > 0),
            "must be more than zero to submit a workload",
        ),
    ),
}


REFERENCES: dict[type, str] = {events.AsicTelemetry: "facility_id", events.GpuTelemetry: "facility_id"}
"""Fields that must name a registered facility."""


def violations(event_class: type, frame: pl.DataFrame) -> tuple[Reject, ...]:
    """Returns the rows of a decoded frame that break a rule, the first broken rule of each, sorted by row.

    Rules on columns that the frame was decoded without are not checked.
    """
    found: dict[int, Reject] = {}
    rules = [rule for rule in RULES.get(event_class, ()) if rule.field in frame.columns]
    if not rules or frame.is_empty():
        return ()
    held = frame.select(rule.holds.fill_null(value=False).alias(str(i)) for i, rule in enumerate(rules))
    for i, rule in enumerate(rules):
        if held[str(i)].all():
            continue
        for row, value in frame.filter(~held[str(i)]).select(ROW, rule.field).iter_rows():
            found.setdefault(row, Reject(row, RULE_ERROR, f"{rule.field}: {rule.reason}, got {value!r}"))
    return tuple(found[row] for row in sorted(found))


def unknown_references(frame: pl.DataFrame, field: str, known: Collection[str]) -> tuple[Reject, ...]:
    """Returns the rows whose `field` names something that is not in `known`, sorted by row."""
    if frame.is_empty() or set(frame[field].unique()) <= set(known):
        return ()
    unknown = frame.filter(~pl.col(field).is_in(list(known)))
    return tuple(
        Reject(row, RULE_ERROR, f"{field}: {value!r} is not registered")
        for row, value in unknown.select(ROW, field).iter_rows()
    )


def accepted(frame: pl.DataFrame, rejects: Collection[Reject]) -> pl.DataFrame:
    """Returns the frame without the rejected rows."""
    if not rejects:
        return frame
    return frame.filter(~pl.col(ROW).is_in([reject.row for reject in rejects]))
