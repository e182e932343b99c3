"""What the sinks' contract needs of a store: to open a sink, to look into it, to make it refuse, to crash it."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import polars as pl
import psycopg
from neo4j import GraphDatabase
from pymongo import MongoClient
from redis import Redis

from deploy.local.stack import Stack
from projections.graph_table import GRAPH_TABLES
from projections.sink import Rows, Sink
from projections.sinks.mongo import MongoSink
from projections.sinks.neo4j import Neo4jSink
from projections.sinks.postgres import PostgresSink
from projections.sinks.redis import RedisSink
from projections.table import Table
from projections.tables import AUDIT_LOGS, WORKLOADS
from schemas.catalog import topic
from schemas.column_type import column_types
from schemas.events import AuditEvent, WorkloadState, WorkloadTransition
from schemas.reject import ROW
from tests.running_stack import RunningStack
from tests.streams_event import at, audit, transition

Seen = dict[str, tuple[str, int]]
"""Workload → state and version."""


_REFUSED_DEADLINE = at(86_400)


class StoreWorld(ABC):
    """One store. `prefix` is that of everything that the test writes: stores are shared by the session.

    Without `is_atomic`, rows that may be repeated are there before their offsets.
    """

    prefix: str
    is_atomic = True

    @abstractmethod
    def open(self, worker: str) -> Sink:
        """Opens a sink."""

    @abstractmethod
    def workloads(self) -> Seen:
        """The test's workloads as they are in the store."""

    @abstractmethod
    def refuse(self, workload_id: str) -> None:
        """From now on the store refuses the row of `refused_transition` of this workload."""

    @abstractmethod
    def kill(self) -> None:
        """Ends the server with SIGKILL."""

    @abstractmethod
    def up(self) -> None:
        """Starts the server again and waits for its answer."""

    def actors(self) -> dict[str, str]:
        """The test's audit events as they are in the store: id → actor."""
        raise NotImplementedError


class PostgresStore(StoreWorld):
    """A migrated database of the session's Postgres."""

    def __init__(self, stack: RunningStack, dsn: str, prefix: str) -> None:
        self._stack, self._dsn, self.prefix = stack, dsn, prefix

    def open(self, worker: str) -> Sink:
        return PostgresSink(self._dsn, worker)

    def workloads(self) -> Seen:
        rows = self._query("SELECT workload_id, state, version FROM workloads")
        return {workload_id: (state, version) for workload_id, state, version in rows}

    def actors(self) -> dict[str, str]:
        return dict(self._query("SELECT event_id, actor FROM audit_logs"))

    def refuse(self, workload_id: str) -> None:
        self._query(f"ALTER TABLE workloads ADD CHECK (workload_id <> '{workload_id}')")

    def kill(self) -> None:
        self._stack.kill("postgres")

    def up(self) -> None:
        self._stack.up()

    def _query(self, statement: str) -> list[Any]:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class ExtraStore(StoreWorld):
    """A store of the session's extra services."""

    service: str

    def __init__(self, stack: Stack, prefix: str) -> None:
        self._stack, self.prefix = stack, prefix
        self.environment = stack.status().environment

    def kill(self) -> None:
        self._stack.kill(self.service)

    def up(self) -> None:
        self._stack.up(only=[self.service])


class RedisStore(ExtraStore):
    """Redis."""

    service = "redis"

    def open(self, worker: str) -> Sink:
        return RedisSink(self.environment["HCP_REDIS_URL"], worker)

    def open_with_password(self, password: str, worker: str) -> Sink:
        """Opens a sink with a password of the test's choice."""
        return RedisSink(self.environment["HCP_REDIS_URL"].replace("//", f"//nobody:{password}@"), worker)

    def workloads(self) -> Seen:
        rows = self._rows("workloads")
        return {row["workload_id"]: (row["state"], int(row["version"])) for row in rows}

    def actors(self) -> dict[str, str]:
        return {row["event_id"]: row["actor"] for row in self._rows("audit_logs")}

    def refuse(self, workload_id: str) -> None:
        with self._client() as client:
            client.set(f"hcp:workloads:{workload_id}", "not a hash")

    def _client(self) -> Any:
        return Redis.from_url(self.environment["HCP_REDIS_URL"], decode_responses=True)

    def _rows(self, table: str) -> list[dict[str, str]]:
        with self._client() as client:
            keys = sorted(client.scan_iter(f"hcp:{table}:{self.prefix}*", _type="hash"))
            return [client.hgetall(key) for key in keys]


class MongoStore(ExtraStore):
    """A server that has transactions."""

    service = "mongo"
    has_transactions: bool | None = None

    def open(self, worker: str) -> Sink:
        url = self.environment["HCP_MONGO_URL"]
        return MongoSink(url, worker, has_transactions=self.has_transactions, select_ms=2_000)

    def workloads(self) -> Seen:
        return {row["workload_id"]: (row["state"], row["version"]) for row in self.documents("workloads")}

    def actors(self) -> dict[str, str]:
        return {row["_id"]: row["actor"] for row in self.documents("audit_logs")}

    def refuse(self, workload_id: str) -> None:
        with self._client() as client:
            database = client.get_default_database()
            if "workloads" not in database.list_collection_names():
                database.create_collection("workloads")
            database.command("collMod", "workloads", validator={"_id": {"$ne": workload_id}})

    def _client(self) -> Any:
        return MongoClient(self.environment["HCP_MONGO_URL"], serverSelectionTimeoutMS=5_000)

    def documents(self, collection: str, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The documents that a query finds, else those of the test."""
        with self._client() as client:
            wanted = query or {"_id": {"$regex": f"^{re.escape(self.prefix)}"}}
            return list(client.get_default_database()[collection].find(wanted).sort("_id"))


class PlainMongoStore(MongoStore):
    """The same server, taken for one that has none."""

    has_transactions = False
    is_atomic = False


class Neo4jStore(ExtraStore):
    """Neo4j."""

    service = "neo4j"

    def open(self, worker: str) -> Sink:
        return self.open_with_password(self._auth[1], worker)

    def open_with_password(self, password: str, worker: str) -> Sink:
        """Opens a sink with a password of the test's choice."""
        return Neo4jSink(self.environment["HCP_NEO4J_URL"], self._auth[0], password, worker, GRAPH_TABLES)

    def workloads(self) -> Seen:
        found = self.query(
            "MATCH (w:Workload) WHERE w.workload_id STARTS WITH $prefix AND w.version IS NOT NULL"
            " RETURN w.workload_id AS id, w.state AS state, w.version AS version ORDER BY id",
            prefix=self.prefix,
        )
        return {workload_id: (state, version) for workload_id, state, version in found}

    def refuse(self, workload_id: str) -> None:
        # The community edition knows uniqueness only: another node has what the refused one brings.
        self.query("CREATE CONSTRAINT test_refuses IF NOT EXISTS FOR (w:Workload) REQUIRE w.deadline IS UNIQUE")
        # Frames have this form of the zone; Neo4j tells it from a mere offset.
        deadline = _REFUSED_DEADLINE.astimezone(ZoneInfo("UTC"))
        self.query("MERGE (:Workload {deadline: $deadline})", deadline=deadline)

    @property
    def _auth(self) -> tuple[str, str]:
        return self.environment["HCP_NEO4J_USER"], self.environment["HCP_NEO4J_PASSWORD"]

    def query(self, statement: LiteralString, **parameters: Any) -> list[tuple[Any, ...]]:
        """Returns the records of a query."""
        with GraphDatabase.driver(self.environment["HCP_NEO4J_URL"], auth=self._auth) as driver:
            return [tuple(record.values()) for record in driver.execute_query(statement, parameters).records]


def workload_step(workload_id: str, version: int = 1, state: str = "QUEUED", **changes: Any) -> WorkloadTransition:
    """A step of a workload that is placed nowhere."""
    return transition(version, WorkloadState(state), workload_id, **changes)


def refused_transition(workload_id: str) -> WorkloadTransition:
    """A step that a store refuses, once told to."""
    return workload_step(workload_id, deadline=_REFUSED_DEADLINE)


def audited(event_id: str, actor: str = "acme") -> AuditEvent:
    """An audit event."""
    return audit(event_id=event_id, actor=actor)


def workload_rows(*events: WorkloadTransition) -> Rows:
    """The events as rows of WORKLOADS."""
    return rows(WORKLOADS, "workloads.transitions", events)


def audit_rows(*events: AuditEvent) -> Rows:
    """The events as rows of AUDIT_LOGS."""
    return rows(AUDIT_LOGS, "audit.events", events)


def rows(table: Table, source: str, events: Sequence[Any]) -> Rows:
    """Returns what the engine would hand to a sink for these events."""
    types = column_types(topic(source).schema)
    records = [
        {name: json.dumps(value) if isinstance(value, dict) else value for name, value in asdict(event).items()}
        for event in events
    ]
    frame = pl.DataFrame(records, schema=types).with_columns(pl.Series(ROW, range(len(events)), dtype=pl.UInt32))
    return Rows(table, source, table.sources[source](frame))
