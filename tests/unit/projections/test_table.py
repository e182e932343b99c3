"""Declarations of tables, and which row of a key is the newest."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.hypertable import Compression
from projections.table import Database, Mode, first
from projections.tables import ALLOCATION_HISTORY, METRICS, TABLES, WORKLOADS
from schemas.catalog import topic
from schemas.column_type import column_types
from schemas.reject import ROW

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=30)


def steps(rows: list[tuple[str, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"workload_id": pl.String, "version": pl.Int32}, orient="row")
    return frame.with_row_index(ROW)


@given(STEPS)
def test_the_first_row_of_a_key_is_the_one_that_came_first(rows: list[tuple[str, int]]) -> None:
    found = first(steps(rows), WORKLOADS)
    assert found[ROW].to_list() == sorted({key: n for n, (key, _) in reversed(list(enumerate(rows)))}.values())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"mode": Mode.APPEND}, "append tables have no key", id="append-with-key"),
        pytest.param({"key": ()}, "latest tables have a key", id="latest-without-key"),
        pytest.param({"order": ()}, "an order belongs to a latest or window table", id="latest-without-order"),
        pytest.param({"key": ("nobody",)}, "not among its columns", id="unknown-key"),
        pytest.param({"order": ("state",)}, "order of times and whole numbers, not of", id="order-of-texts"),
    ],
)
def test_a_declaration_that_can_not_be_written_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(WORKLOADS, **changes)


COUNT = METRICS.aggregates[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"nullable": frozenset({"nobody"})}, "not among its columns", id="nullable"),
        pytest.param({"checks": {"Power": "true"}}, "'Power' is not a name", id="name-of-a-check"),
        pytest.param({"columns": {**METRICS.columns, "fan rpm": "integer"}}, "'fan rpm' is not a name", id="name"),
        pytest.param({"nullable": frozenset({"observed_at"})}, "time column can't be null", id="nullable-time"),
        pytest.param({"indexes": (("nobody DESC",),)}, "not among its columns", id="index"),
        pytest.param({"hypertable": None}, "belong to hypertables", id="policies-of-a-plain-table"),
        pytest.param({"database": Database.POSTGRES}, "hypertables belong to timescale", id="hypertable-in-postgres"),
        pytest.param({"mode": Mode.LEDGER, "key": ("device_id",)}, "has its time column", id="key-without-time"),
        pytest.param({"compression": Compression(("nobody",), (), None)}, "not among its columns", id="segment"),
        pytest.param({"aggregates": METRICS.aggregates[1:]}, "metrics_10s is not declared before it", id="order"),
        pytest.param(
            {"aggregates": (replace(COUNT, measures={"watts": "sum(watts)"}),)}, "not among the columns", id="measure"
        ),
    ],
)
def test_a_table_that_can_not_be_made_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(METRICS, **changes)


def test_a_key_is_never_null() -> None:
    with pytest.raises(ValueError, match="can't be null"):
        replace(WORKLOADS, nullable=frozenset({"workload_id"}))


def test_a_measure_that_coarser_aggregates_can_not_be_made_from_is_refused() -> None:
    with pytest.raises(ValueError, match=r"avg\(power_w\)"):
        replace(COUNT, measures={"power_w": "avg(power_w)"})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_frame_functions_give_the_declared_columns_even_of_nothing(table: Any) -> None:
    for name, rows_of in table.sources.items():
        types = {**column_types(topic(name).schema), ROW: pl.UInt32()}
        rows = rows_of(pl.DataFrame(schema=types))
        assert set(table.columns) <= set(rows.columns)


def test_a_reading_of_a_gpu_has_no_hashrate_and_no_power_mode() -> None:
    types = {**column_types(topic("telemetry.gpu").schema), ROW: pl.UInt32()}
    frame = pl.DataFrame(schema=types).clear(1).with_columns(pl.lit("g-1").alias("device_id"))
    row = METRICS.sources["telemetry.gpu"](frame).row(0, named=True)
    assert (row["device_id"], row["kind"], row["power_mode"], row["hashrate_ths"]) == ("g-1", "GPU", None, None)


def test_a_decision_becomes_a_row_a_group() -> None:
    decision = {
        "decision_id": ["d-1"],
        "facility_id": ["Texas-1"],
        "allocations": [[{"resource_group_id": "a", "power_mw": 1.0}, {"resource_group_id": "b", "power_mw": 2.0}]],
        ROW: [0],
    }
    rows = ALLOCATION_HISTORY.sources["allocations.decisions"](pl.DataFrame(decision))
    assert rows.select("decision_id", "resource_group_id", "power_mw").rows() == [("d-1", "a", 1.0), ("d-1", "b", 2.0)]
