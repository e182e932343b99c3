"""Rows reduced to those that count, and their order as stores without SQL keep it."""

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.error import ProjectionError
from projections.reduction import rank, reduced
from projections.sinks.redis import _rank, key
from projections.table import Mode
from projections.tables import FACILITIES, METRICS, RESOURCES, WORKLOADS
from tests.store_world import audit_rows, audited, workload_rows, workload_step

whole = st.integers(-(2**63), 2**63 - 1)
times = st.datetimes(timezones=st.just(UTC))


@given(whole, whole)
def test_the_rank_of_numbers_compares_as_text_as_the_numbers_do(a: int, b: int) -> None:
    one, other = (_rank(WORKLOADS, {"version": value}) for value in (a, b))
    assert (one < other, one == other) == (a < b, a == b)


@given(times, times)
def test_the_rank_of_times_compares_as_text_as_the_times_do(a: datetime, b: datetime) -> None:
    one, other = (_rank(FACILITIES, {"recorded_at": value}) for value in (a, b))
    assert (one < other, one == other) == (a < b, a == b)


def test_a_time_counts_in_microseconds() -> None:
    # Half a second before the epoch: rounding towards zero would put it after.
    assert rank(FACILITIES, {"recorded_at": datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC)}) == (-500_000,)


@pytest.mark.parametrize("value", [None, "7", 7.5])
def test_an_order_that_stores_may_see_differently_is_refused(value: object) -> None:
    with pytest.raises(ProjectionError, match=r"workloads\.version"):
        rank(WORKLOADS, {"version": value})


@given(st.text(), st.text(), st.text(), st.text())
def test_keys_of_two_columns_never_meet(a: str, b: str, c: str, d: str) -> None:
    table = replace(RESOURCES, key=("resource_group_id", "facility_id"), columns=MappingProxyType(RESOURCES.columns))
    one = key(table, {"resource_group_id": a, "facility_id": b})
    other = key(table, {"resource_group_id": c, "facility_id": d})
    assert (one == other) == ((a, b) == (c, d))


def test_the_newest_of_a_latest_table_and_the_first_of_a_ledger_stay() -> None:
    latest = workload_rows(workload_step("a", 2, "RUNNING"), workload_step("a", 1), workload_step("b"))
    assert sorted(reduced(latest.table, latest.frame)["version"]) == [1, 2]
    ledger = audit_rows(audited("e"), audited("e", "late"))
    assert reduced(ledger.table, ledger.frame)["actor"].to_list() == ["acme"]


def test_an_append_table_is_refused() -> None:
    assert METRICS.mode is Mode.APPEND
    with pytest.raises(ProjectionError, match="metrics: rows without a key"):
        reduced(METRICS, workload_rows(workload_step("a")).frame)
