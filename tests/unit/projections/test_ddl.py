"""From a declaration to SQL, word for word."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import ddl
from projections.hypertable import interval
from projections.table import Column
from projections.tables import AUDIT_LOGS, CUSTOMERS, METRICS


def test_a_table_is_its_columns_conditions_and_key() -> None:
    assert ddl.create_table(AUDIT_LOGS) == (
        'CREATE TABLE IF NOT EXISTS "audit_logs" (\n'
        '    "event_id" text NOT NULL,\n'
        '    "actor" text NOT NULL,\n'
        '    "action" text NOT NULL,\n'
        '    "subject" text NOT NULL,\n'
        '    "outcome" text NOT NULL,\n'
        '    "reason" text NOT NULL,\n'
        '    "details" jsonb NOT NULL,\n'
        '    "occurred_at" timestamptz NOT NULL,\n'
        '    "created_at" timestamptz NOT NULL DEFAULT now(),\n'
        "    CONSTRAINT \"audit_logs_outcome_check\" CHECK (outcome IN ('ACCEPTED', 'REFUSED')),\n"
        '    PRIMARY KEY ("event_id")\n'
        ")"
    )


def test_the_type_of_the_ddl_may_say_more_than_the_type_that_values_travel_as() -> None:
    assert '"gpu_hour_price_usd" numeric(18, 6) NOT NULL' in ddl.create_table(CUSTOMERS)


def test_an_aggregate_groups_by_bucket_and_columns() -> None:
    finest, minute, *_ = METRICS.aggregates
    small = replace(finest, group_by=("kind",), measures={"readings": "count(*)", "power_w_sum": "sum(power_w)"})
    assert ddl.create_aggregate(METRICS, small) == (
        'CREATE MATERIALIZED VIEW IF NOT EXISTS "metrics_10s"'
        " WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS\n"
        'SELECT time_bucket(INTERVAL \'00:00:10\', "observed_at") AS "bucket",\n'
        '       "kind",\n'
        '       count(*) AS "readings",\n'
        '       sum("power_w") AS "power_w_sum"\n'
        'FROM "metrics"\n'
        "GROUP BY 1, 2\n"
        "WITH NO DATA"
    )
    coarser = ddl.create_aggregate(METRICS, minute)
    assert "time_bucket(INTERVAL '00:01:00', \"bucket\")" in coarser
    assert 'FROM "metrics_10s"' in coarser


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(
            ddl.add_column("metrics", Column("fan_rpm", "integer", default="0")),
            'ALTER TABLE "metrics" ADD COLUMN IF NOT EXISTS "fan_rpm" integer NOT NULL DEFAULT 0',
            id="column-with-default",
        ),
        pytest.param(
            ddl.add_column("metrics", Column("firmware", "text", nullable=True)),
            'ALTER TABLE "metrics" ADD COLUMN IF NOT EXISTS "firmware" text',
            id="nullable-column",
        ),
        pytest.param(
            ddl.create_index("metrics", ("device_id", "observed_at DESC")),
            'CREATE INDEX IF NOT EXISTS "metrics_device_id_observed_at_idx" ON "metrics"'
            ' ("device_id", "observed_at" DESC)',
            id="index",
        ),
        pytest.param(
            ddl.comment_on_table("metrics", "the readings' table"),
            "COMMENT ON TABLE \"metrics\" IS 'the readings'' table'",
            id="comment-with-quote",
        ),
        pytest.param(
            ddl.set_retention("metrics", timedelta(days=2)),
            "SELECT remove_retention_policy('metrics', if_exists => true);\n"
            "SELECT add_retention_policy('metrics', INTERVAL '2 days')",
            id="retention",
        ),
        pytest.param(
            ddl.set_compress_after("metrics", None),
            "SELECT remove_compression_policy('metrics', if_exists => true)",
            id="no-policy",
        ),
    ],
)
def test_a_change_is_one_statement_that_can_be_repeated(statement: str, expected: str) -> None:
    assert statement == expected


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(minutes=5), "00:05:00"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=2, hours=3, seconds=4), "2 days 03:00:04"),
    ],
)
def test_a_duration_is_spelled_as_the_database_spells_it(duration: timedelta, text: str) -> None:
    assert interval(duration) == text


@given(st.timedeltas(max_value=timedelta(0)))
def test_a_duration_that_is_not_positive_is_refused(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="positive"):
        interval(duration)
