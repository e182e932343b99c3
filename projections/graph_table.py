"""Tables as parts of a graph, for Neo4j: who runs what where.

    (:Customer)-[:SUBMITTED]->(:Workload)-[:PLACED_ON]->(:Allocation)-[:USES]->(:Resource)-[:PART_OF]->(:Facility)

A statement gets `$rows`, one map a key, and returns how many it took. It changes nothing for a row that is older than
the node, and gives the same graph when it runs again. Topics come in any order between them, so the other end of a
relationship is merged by its key and has its properties from its own topic. Relationships belong to the node that they
leave (SUBMITTED: that it enters): when its newest row names another end, they are replaced.
"""

from dataclasses import dataclass
from typing import LiteralString

from projections.table import Table
from projections.tables import ALLOCATIONS, CUSTOMERS, FACILITIES, RESOURCES, WORKLOADS


@dataclass(frozen=True, slots=True)
class GraphTable:
    """A table, the statement that writes its rows, and the constraint of its nodes.

    MERGE without a uniqueness constraint makes doubles where two transactions run it at the same time.
    """

    table: Table
    constraint: LiteralString
    statement: LiteralString


_FACILITIES = GraphTable(
    FACILITIES,
    "CREATE CONSTRAINT hcp_facility IF NOT EXISTS FOR (f:Facility) REQUIRE f.facility_id IS UNIQUE",
    """
    UNWIND $rows AS row
    MERGE (f:Facility {facility_id: row.facility_id})
    WITH f, row WHERE f.recorded_at IS NULL OR f.recorded_at <= row.recorded_at
    SET f = row
    RETURN count(*) AS written
    """,
)

_RESOURCES = GraphTable(
    RESOURCES,
    "CREATE CONSTRAINT hcp_resource IF NOT EXISTS FOR (r:Resource) REQUIRE r.resource_group_id IS UNIQUE",
    """
    UNWIND $rows AS row
    MERGE (r:Resource {resource_group_id: row.resource_group_id})
    WITH r, row WHERE r.recorded_at IS NULL OR r.recorded_at <= row.recorded_at
    SET r = row
    WITH r, row
    CALL (r, row) { MATCH (r)-[old:PART_OF]->(f:Facility) WHERE f.facility_id <> row.facility_id DELETE old }
    MERGE (f:Facility {facility_id: row.facility_id})
    MERGE (r)-[:PART_OF]->(f)
    RETURN count(*) AS written
    """,
)

_CUSTOMERS = GraphTable(
    CUSTOMERS,
    "CREATE CONSTRAINT hcp_customer IF NOT EXISTS FOR (c:Customer) REQUIRE c.customer_id IS UNIQUE",
    """
    UNWIND $rows AS row
    MERGE (c:Customer {customer_id: row.customer_id})
    WITH c, row WHERE c.recorded_at IS NULL OR c.recorded_at <= row.recorded_at
    SET c = row
    RETURN count(*) AS written
    """,
)

_WORKLOADS = GraphTable(
    WORKLOADS,
    "CREATE CONSTRAINT hcp_workload IF NOT EXISTS FOR (w:Workload) REQUIRE w.workload_id IS UNIQUE",
    """
    UNWIND $rows AS row
    MERGE (w:Workload {workload_id: row.workload_id})
    WITH w, row WHERE w.version IS NULL OR w.version <= row.version
    SET w = row
    WITH w, row
    CALL (w, row) { MATCH (c:Customer)-[old:SUBMITTED]->(w) WHERE c.customer_id <> row.customer_id DELETE old }
    CALL (w, row) {
        MATCH (w)-[old:PLACED_ON]->(a:Allocation)
        WHERE row.resource_group_id IS NULL
           OR a.resource_group_id <> row.resource_group_id OR a.facility_id <> row.facility_id
        DELETE old
    }
    MERGE (c:Customer {customer_id: row.customer_id})
    MERGE (c)-[:SUBMITTED]->(w)
    FOREACH (_ IN CASE WHEN row.resource_group_id IS NULL OR row.facility_id IS NULL THEN [] ELSE [1] END |
        MERGE (a:Allocation {facility_id: row.facility_id, resource_group_id: row.resource_group_id})
        MERGE (r:Resource {resource_group_id: row.resource_group_id})
        MERGE (a)-[:USES]->(r)
        MERGE (w)-[:PLACED_ON]->(a)
    )
    RETURN count(*) AS written
    """,
)

_ALLOCATIONS = GraphTable(
    ALLOCATIONS,
    """
    CREATE CONSTRAINT hcp_allocation IF NOT EXISTS
    FOR (a:Allocation) REQUIRE (a.facility_id, a.resource_group_id) IS UNIQUE
    """,
    """
    UNWIND $rows AS row
    MERGE (a:Allocation {facility_id: row.facility_id, resource_group_id: row.resource_group_id})
    WITH a, row WHERE a.decided_at IS NULL OR a.decided_at <= row.decided_at
    SET a = row
    MERGE (r:Resource {resource_group_id: row.resource_group_id})
    MERGE (a)-[:USES]->(r)
    RETURN count(*) AS written
    """,
)

GRAPH_TABLES: tuple[GraphTable, ...] = (_FACILITIES, _RESOURCES, _CUSTOMERS, _WORKLOADS, _ALLOCATIONS)
