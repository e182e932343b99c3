"""The graph that events make: relationships follow the newest row, whatever order the topics come in."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import permutations
from typing import Any

import pytest

from deploy.local.stack import Stack
from projections.sink import Rows, Sink, Step
from projections.tables import ALLOCATIONS, CUSTOMERS, FACILITIES, RESOURCES
from schemas.events import AllocationDecision, GroupAllocation, ResourceKind
from schemas.message_block import Place
from tests.store_world import Neo4jStore, rows, workload_rows, workload_step
from tests.streams_event import an_id, at, customer, facility, gpus

pytestmark = pytest.mark.integration

PLACE: Place = ("any", 0)
PATH = """
    MATCH (c:Customer)-[:SUBMITTED]->(w:Workload)-[:PLACED_ON]->(a:Allocation)-[:USES]->(r:Resource)
          -[:PART_OF]->(f:Facility)
    WHERE w.workload_id STARTS WITH $prefix
    RETURN c.tier, w.state, a.gpus_busy, r.units, f.grid_operator, r.resource_group_id
    ORDER BY w.workload_id
"""


@pytest.fixture
def store(extra_stack: Stack, topic_name: Callable[[str], str]) -> Neo4jStore:
    return Neo4jStore(extra_stack, topic_name("wl") + ".")


@pytest.fixture
def sink(store: Neo4jStore) -> Iterator[Sink]:
    with closing(store.open(store.prefix)) as opened:
        yield opened


def take(sink: Sink, *parts: Rows) -> dict[str, int]:
    """Applies the rows as the next batch."""
    claim = sink.claim({PLACE: 0})[PLACE]
    return sink.apply(parts, {PLACE: Step(claim.next_offset, claim.next_offset + 1, claim.epoch)})


def placed(store: Neo4jStore, version: int, group: str | None, **changes: Any) -> Rows:
    site = None if group is None else store.prefix + "Texas-1"
    group_id = None if group is None else store.prefix + group
    changes = {"facility_id": site, "resource_group_id": group_id, "customer_id": store.prefix + "acme"} | changes
    return workload_rows(workload_step(store.prefix + "a", version, "RUNNING", **changes))


def decision(store: Neo4jStore, group: str) -> AllocationDecision:
    decided = GroupAllocation(
        resource_group_id=store.prefix + group,
        kind=ResourceKind.GPU,
        power_mw=0.01,
        gpus_busy=8,
        workload_ids=[store.prefix + "a"],
        margin_usd_h=20.0,
        reason="earns most",
    )
    return AllocationDecision(
        event_id=an_id(store.prefix, group),
        decision_id=an_id(store.prefix, group),
        facility_id=store.prefix + "Texas-1",
        decided_at=at(0),
        cause_event_id="c",
        cause="LMP of HB_WEST",
        snapshot_id="s",
        interval_start=at(0),
        interval_s=300,
        solver="CP-SAT",
        status="OPTIMAL",
        objective_usd_h=20.0,
        bound_usd_h=20.0,
        gap_ratio=0.0,
        load_mw=0.33,
        mining_mw=0.33,
        gpu_mw=0.0,
        grid_mw=0.67,
        power_cost_usd_mwh=40.0,
        allocations=[decided],
    )


def master_data(store: Neo4jStore, *groups: str) -> list[Rows]:
    site = store.prefix + "Texas-1"
    return [
        rows(FACILITIES, "registry.facilities", [facility(site)]),
        rows(RESOURCES, "registry.resources", [gpus(store.prefix + group, site) for group in groups]),
        rows(CUSTOMERS, "registry.customers", [customer(store.prefix + "acme")]),
        rows(ALLOCATIONS, "allocations.decisions", [decision(store, group) for group in groups]),
    ]


@pytest.mark.parametrize("order", list(permutations(range(5)))[::24], ids=str)
def test_the_path_from_customer_to_facility_is_there_in_whatever_order_the_topics_come(
    store: Neo4jStore, sink: Sink, order: tuple[int, ...]
) -> None:
    parts = [*master_data(store, "gpu"), placed(store, 1, "gpu")]
    for number in order:
        take(sink, parts[number])
    assert store.query(PATH, prefix=store.prefix) == [("reserved", "RUNNING", 8, 16, "ERCOT", store.prefix + "gpu")]


def test_a_workload_that_moves_is_placed_once_and_one_that_ended_nowhere(store: Neo4jStore, sink: Sink) -> None:
    take(sink, *master_data(store, "one", "two"), placed(store, 1, "one"))
    # A workload of a moment later, and what came before it, read late.
    assert take(sink, placed(store, 3, "two")) == {"workloads": 1}
    assert take(sink, placed(store, 2, "one")) == {"workloads": 0}
    places = [record[-1] for record in store.query(PATH, prefix=store.prefix)]
    assert places == [store.prefix + "two"]
    take(sink, placed(store, 4, None))
    assert store.query(PATH, prefix=store.prefix) == []
    assert store.workloads() == {store.prefix + "a": ("RUNNING", 4)}


def test_a_resource_group_that_changes_its_facility_is_part_of_the_new_one(store: Neo4jStore, sink: Sink) -> None:
    group = store.prefix + "gpu"
    for number, site in enumerate(("Texas-1", "Ohio-1", "Texas-1")):
        # The third is older than the second.
        moved = gpus(group, store.prefix + site, recorded_at=at((0, 20, 10)[number]))
        take(sink, rows(RESOURCES, "registry.resources", [moved]))
    found = store.query(
        "MATCH (:Resource {resource_group_id: $group})-[:PART_OF]->(f:Facility) RETURN f.facility_id", group=group
    )
    assert found == [(store.prefix + "Ohio-1",)]


def test_the_log_read_again_gives_the_same_graph(store: Neo4jStore, sink: Sink) -> None:
    parts = [*master_data(store, "one", "two"), placed(store, 1, "one"), placed(store, 2, "two")]
    whole = """
        MATCH (a)-[r]->(b) WHERE any(key IN keys(a) WHERE toString(a[key]) STARTS WITH $prefix)
        RETURN labels(a)[0], type(r), labels(b)[0], count(*)
    """
    seen = []
    for _ in range(2):
        take(sink, *parts)
        seen.append(sorted(store.query(whole, prefix=store.prefix)))
    assert seen[0] == seen[1]
    assert seen[0] == [
        ("Allocation", "USES", "Resource", 2),
        ("Customer", "SUBMITTED", "Workload", 1),
        ("Resource", "PART_OF", "Facility", 2),
        ("Workload", "PLACED_ON", "Allocation", 1),
    ]
