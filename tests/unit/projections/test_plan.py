"""The way from live to declared: what is generated, in which order, and what is refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import shape
from projections.aggregate import Aggregate, Refresh
from projections.hypertable import Compression, Hypertable
from projections.plan import Plan, plan
from projections.shape import AggregateShape, Shape, TableShape
from projections.table import Column, Database, Mode, Table

DAY = timedelta(days=1)
HOURLY = Aggregate(
    name="readings_1h",
    bucket=timedelta(hours=1),
    group_by=("device",),
    measures={"n": "count(*)"},
    refresh=Refresh(2 * DAY, timedelta(hours=1), every=timedelta(hours=1)),
    retention=9 * DAY,
)
READINGS = Table(
    name="readings",
    comment="Readings.",
    database=Database.TIMESCALE,
    mode=Mode.LEDGER,
    sources={},
    key=("device", "at"),
    columns={"at": "date", "device": "text", "watts": "integer"},
    comments={"watts": "Power, W."},
    checks={"watts": "watts >= 0"},
    indexes=(("device",),),
    hypertable=Hypertable("at", chunk=DAY),
    compression=Compression(("device",), ("at DESC",), after=2 * DAY),
    retention=30 * DAY,
    aggregates=(HOURLY,),
)


def wanted(table: Table) -> TableShape:
    """The shape of a table whose types are spelled as the catalog does."""
    checks = {shape.check_name(table, part): condition for part, condition in table.checks.items()}
    return shape.of_table(table, {column.name: column for column in table.sql_columns}, checks)


AGGREGATE = shape.of_aggregate(READINGS, HOURLY)


def difference(
    table: Table = READINGS, live: TableShape | None = None, aggregate: AggregateShape | None = AGGREGATE
) -> Plan:
    """The way from a live table to a declared one."""
    declared = Shape({table.name: wanted(table)}, {entry.name: AGGREGATE for entry in table.aggregates})
    found = Shape({table.name: live} if live else {}, {HOURLY.name: aggregate} if aggregate else {})
    return plan((table,), declared, found)


def statements(found: Plan) -> list[str]:
    return [change.statement for change in found.changes]


def test_what_is_as_declared_needs_nothing() -> None:
    assert difference(live=wanted(READINGS)) == Plan((), ())


def test_a_new_table_is_made_cut_and_given_its_policies_in_order() -> None:
    found = difference(aggregate=None)
    assert found.drifts == ()
    assert [(change.relation, change.reason) for change in found.changes] == [
        ("readings", "a new table"),
        ("readings", "a hypertable"),
        ("readings", "the comment of watts differs"),
        ("readings", "index on at is new"),
        ("readings", "index on device is new"),
        ("readings", "its comment differs"),
        ("readings", "old chunks are compressed"),
        ("readings", "chunks are compressed after 2 days, not without end"),
        ("readings", "retention is 30 days, not without end"),
        ("readings_1h", "a new aggregate"),
        ("readings_1h", "refresh is every 1:00:00 from 2 days to 1:00:00 ago, not by hand"),
        ("readings_1h", "retention is 9 days, not without end"),
    ]


def test_a_new_column_is_added_with_its_default_and_comment() -> None:
    grown = replace(
        READINGS,
        columns={**READINGS.columns, "rpm": "integer", "firmware": "text"},
        nullable=frozenset({"firmware"}),
        defaults={"rpm": "0"},
        comments={**READINGS.comments, "rpm": "Fan, 1/min."},
    )
    found = difference(grown, wanted(READINGS))
    assert found.drifts == ()
    assert statements(found) == [
        'ALTER TABLE "readings" ADD COLUMN IF NOT EXISTS "rpm" integer NOT NULL DEFAULT 0',
        'COMMENT ON COLUMN "readings"."rpm" IS \'Fan, 1/min.\'',
        'ALTER TABLE "readings" ADD COLUMN IF NOT EXISTS "firmware" text',
    ]


def test_a_new_column_without_a_value_for_the_rows_that_are_there_is_refused() -> None:
    grown = replace(READINGS, columns={**READINGS.columns, "rpm": "integer"})
    found = difference(grown, wanted(READINGS))
    assert found.changes == ()
    (drift,) = found.drifts
    assert str(drift) == (
        "readings: column rpm: declared integer NOT NULL, in the database nothing: declare it nullable or with "
        "a default: there is no value for the rows that are there"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"retention": None}, "SELECT remove_retention_policy('readings', if_exists => true)", id="kept"),
        pytest.param(
            {"retention": 5 * DAY},
            "SELECT remove_retention_policy('readings', if_exists => true);\n"
            "SELECT add_retention_policy('readings', INTERVAL '5 days')",
            id="retention",
        ),
        pytest.param(
            {"hypertable": Hypertable("at", chunk=7 * DAY)},
            "SELECT set_chunk_time_interval('readings', INTERVAL '7 days')",
            id="chunk",
        ),
        pytest.param(
            {"compression": Compression(("device",), ("at DESC",), after=None)},
            "SELECT remove_compression_policy('readings', if_exists => true)",
            id="compressed-by-hand",
        ),
        pytest.param({"comment": "Other."}, "COMMENT ON TABLE \"readings\" IS 'Other.'", id="comment"),
        pytest.param({"comments": {}}, 'COMMENT ON COLUMN "readings"."watts" IS NULL', id="no-comment"),
        pytest.param(
            {"defaults": {"watts": "7"}}, 'ALTER TABLE "readings" ALTER COLUMN "watts" SET DEFAULT 7', id="default"
        ),
        pytest.param(
            {"indexes": (("device",), ("watts DESC",))},
            'CREATE INDEX IF NOT EXISTS "readings_watts_idx" ON "readings" ("watts" DESC)',
            id="index",
        ),
        pytest.param(
            {"checks": {"watts": "watts >= 5"}},
            'ALTER TABLE "readings" DROP CONSTRAINT IF EXISTS "readings_watts_check",'
            ' ADD CONSTRAINT "readings_watts_check" CHECK (watts >= 5)',
            id="condition",
        ),
    ],
)
def test_a_changed_declaration_is_one_change(changes: dict[str, Any], expected: str) -> None:
    found = difference(replace(READINGS, **changes), wanted(READINGS))
    assert (statements(found), found.drifts) == ([expected], ())


def test_only_tables_whose_rows_are_replaced_have_a_say_in_how_full_their_pages_are() -> None:
    latest = Table("state", Database.POSTGRES, Mode.LATEST, {}, {"id": "text", "at": "bigint"}, ("id",), ("at",))
    changed = ['ALTER TABLE "state" SET (fillfactor = 50)']
    assert statements(difference(latest, wanted(latest))) == []
    assert statements(difference(latest, replace(wanted(latest), fill_percent=None))) == changed
    assert statements(difference(latest, replace(wanted(latest), fill_percent=70))) == changed
    assert statements(difference(live=replace(wanted(READINGS), fill_percent=70))) == []
    (made,) = statements(difference(latest))
    assert made.endswith(") WITH (fillfactor = 50)")


@pytest.mark.parametrize(
    ("live", "message"),
    [
        pytest.param(
            {"columns": {**wanted(READINGS).columns, "extra": Column("extra", "text", nullable=True)}},
            "readings: column extra: declared nothing, in the database text: declare it, or drop it",
            id="extra-column",
        ),
        pytest.param(
            {"columns": {**wanted(READINGS).columns, "watts": Column("watts", "bigint", comment="Power, W.")}},
            "column watts: declared integer NOT NULL, in the database bigint NOT NULL: declare what is there",
            id="type",
        ),
        pytest.param(
            {"columns": {**wanted(READINGS).columns, "watts": Column("watts", "integer", True, comment="Power, W.")}},
            "column watts: declared integer NOT NULL, in the database integer: declare what is there",
            id="nullability",
        ),
        pytest.param(
            {"keys": frozenset({("at",)})},
            "the unique key: declared (device, at), in the database (at)",
            id="key",
        ),
        pytest.param({"keys": frozenset()}, "declared (device, at), in the database nothing", id="no-key"),
        pytest.param(
            {"checks": {**wanted(READINGS).checks, "more": "(device <> '')"}},
            "drop the constraint more",
            id="condition",
        ),
        pytest.param(
            {"indexes": wanted(READINGS).indexes | {"gin (device)"}}, "in the database gin (device)", id="index"
        ),
        pytest.param({"has_touch_trigger": True}, "the trigger of updated_at: declared nothing", id="trigger"),
        pytest.param(
            {"hypertable": None}, "declared a hypertable by at, in the database a plain table", id="plain-table"
        ),
        pytest.param(
            {"hypertable": Hypertable("watts", DAY)}, "in the database a hypertable by watts", id="time-column"
        ),
        pytest.param(
            {"compression": Compression((), ("at",), 2 * DAY)},
            "compression: declared by (device), in the order (at DESC), in the database by (), in the order (at): ",
            id="compression",
        ),
    ],
)
def test_drift_names_the_place_both_sides_and_the_mend(live: dict[str, Any], message: str) -> None:
    found = difference(live=replace(wanted(READINGS), **live))
    assert found.changes == ()
    assert [message in str(drift) for drift in found.drifts] == [True]


def test_a_key_that_begins_with_the_time_is_index_enough() -> None:
    assert replace(READINGS, key=("at", "device")).all_indexes == (("device",),)
    assert READINGS.all_indexes == (("at",), ("device",))


def test_a_time_index_that_is_gone_is_made_again() -> None:
    found = difference(live=replace(wanted(READINGS), indexes=frozenset({"btree (device)"})))
    assert statements(found) == ['CREATE INDEX IF NOT EXISTS "readings_at_idx" ON "readings" ("at")']


def test_an_aggregate_with_another_query_is_drift() -> None:
    other = replace(AGGREGATE, definition=AGGREGATE.definition.replace("count(*)", "count(device)"))
    found = difference(live=wanted(READINGS), aggregate=other)
    assert found.changes == ()
    assert [(drift.relation, drift.what) for drift in found.drifts] == [("readings_1h", "the query")]


def test_an_aggregate_gets_its_policies_and_becomes_real_time() -> None:
    found = difference(
        live=wanted(READINGS), aggregate=replace(AGGREGATE, is_real_time=False, refresh=None, retention=None)
    )
    assert [change.reason.split()[0] for change in found.changes] == ["it", "refresh", "retention"]


def test_touched_tables_share_the_function_of_their_trigger() -> None:
    def latest(name: str) -> Table:
        return Table(
            name, Database.POSTGRES, Mode.LATEST, {}, {"id": "text", "version": "integer"}, ("id",), ("version",),
            touched=True,
        )  # fmt: skip

    tables = (latest("one"), latest("two"))
    found = plan(tables, Shape({table.name: wanted(table) for table in tables}), Shape())
    reasons = [change.reason for change in found.changes]
    assert reasons.count("what keeps updated_at") == 1
    assert reasons.count("updated_at is kept by a trigger") == 2
    assert reasons.index("what keeps updated_at") < reasons.index("updated_at is kept by a trigger")


COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        name: st.builds(
            Column,
            st.just(name),
            st.sampled_from(["date", "text", "integer"]),
            st.booleans(),
            st.sampled_from([None, "0"]),
            st.sampled_from([None, "Power, W."]),
        )
        for name in (*READINGS.columns, "extra")
    },
)
LIVE = st.builds(
    TableShape,
    columns=st.one_of(st.just(wanted(READINGS).columns), COLUMNS),
    keys=st.sampled_from([wanted(READINGS).keys, frozenset({("at",)}), frozenset()]),
    checks=st.sampled_from([wanted(READINGS).checks, {}, {"c": "true"}]),
    indexes=st.sampled_from([wanted(READINGS).indexes, frozenset({"btree (at DESC)"}), frozenset({"btree (device)"})]),
    comment=st.sampled_from(["Readings.", None]),
    has_touch_trigger=st.booleans(),
    hypertable=st.sampled_from([None, READINGS.hypertable, Hypertable("at", 2 * DAY)]),
    compression=st.sampled_from([None, READINGS.compression, Compression(("device",), ("at DESC",), None)]),
    retention=st.sampled_from([None, READINGS.retention]),
)


@given(LIVE)
def test_nothing_is_to_be_done_only_where_nothing_differs(live: TableShape) -> None:
    assert difference(live=live).is_empty == (live == wanted(READINGS))
