"""The stores that projections go to: how each is opened, and which tables it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pydantic import SecretStr

from hcp.settings import Settings, SettingsError
from projections.read_models import AUDIT_TABLES, CACHED_TABLES
from projections.sink import Sink
from projections.table import Database, Table
from projections.tables import tables_of


@dataclass(frozen=True, slots=True)
class Store:
    """`open` gets the worker's name and connects."""

    open: Callable[[str], Sink]
    tables: tuple[Table, ...]


def of(name: str, config: Settings) -> Store:
    """Returns the store of that name. Raises SettingsError where its address or its client is missing."""
    try:
        return _of(name, config)
    except ModuleNotFoundError as error:
        raise SettingsError(f"the client of {name} is not installed: pip install 'mara-hcp[{name}]'") from error


# A client is imported where its store is chosen: each is an extra of its own.


def _of(name: str, config: Settings) -> Store:
    match name:
        case "postgres":
            return _postgres(config.postgres_dsn, Database.POSTGRES)
        case "timescale":
            return _postgres(config.metrics_dsn, Database.TIMESCALE)
        case "redis":
            from projections.sinks.redis import RedisSink  # noqa: PLC0415

            redis_url = _given(config.redis_url, "HCP_REDIS_URL", "redis")
            return Store(lambda worker: RedisSink(redis_url, worker), CACHED_TABLES)
        case "mongo":
            from projections.sinks.mongo import MongoSink  # noqa: PLC0415

            mongo_url = _given(config.mongo_url, "HCP_MONGO_URL", "mongo")
            return Store(lambda worker: MongoSink(mongo_url, worker), AUDIT_TABLES)
        case "neo4j":
            from projections.graph_table import GRAPH_TABLES  # noqa: PLC0415
            from projections.sinks.neo4j import Neo4jSink  # noqa: PLC0415

            neo4j_url = config.neo4j_url or _missing("HCP_NEO4J_URL", "neo4j")
            user = config.neo4j_user
            password = _given(config.neo4j_password, "HCP_NEO4J_PASSWORD", "neo4j")
            return Store(
                lambda worker: Neo4jSink(neo4j_url, user, password, worker, GRAPH_TABLES),
                tuple(entry.table for entry in GRAPH_TABLES),
            )
        case _:
            raise SettingsError(f"there is no store {name}")


def _postgres(dsn: SecretStr, database: Database) -> Store:
    from projections.sinks.postgres import PostgresSink  # noqa: PLC0415

    address = dsn.get_secret_value()
    return Store(lambda worker: PostgresSink(address, worker), tables_of(database))


def _given(value: SecretStr | None, setting: str, service: str) -> str:
    return value.get_secret_value() if value is not None else _missing(setting, service)


def _missing(setting: str, service: str) -> NoReturn:
    raise SettingsError(f"{setting} is not set: give the one of your store, or start one: hcp up --only {service}")
