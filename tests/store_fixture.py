"""The extra services of a test session, and the stores of one test."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from projections import migration
from projections.table import Database
from tests.stack_fixture import parts_directory
from tests.store_world import ExtraStore, MongoStore, Neo4jStore, PlainMongoStore, PostgresStore, RedisStore, StoreWorld

EXTRA: dict[str, type[ExtraStore]] = {
    "redis": RedisStore,
    "mongo": MongoStore,
    "neo4j": Neo4jStore,
    "mongo-without-transactions": PlainMongoStore,
}


@pytest.fixture(scope="session")
def extra_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All extra services, started side by side; they are processes here even where the rest are containers."""
    stack = Stack(tmp_path_factory.mktemp("extra"), parts_directory())
    try:
        stack.up(only=[service.name for service in SERVICES if service.is_extra])
        yield stack
    finally:
        # Nothing of it is read again, so nobody waits for an orderly end.
        for service in stack.status().services:
            if service.name in EXTRA and service.pid:
                stack.kill(service.name)
        stack.down(wipe=not request.session.testsfailed)


@pytest.fixture
def store(request: pytest.FixtureRequest, topic_name: Callable[[str], str]) -> StoreWorld:
    """The store that the test is parametrised with."""
    prefix = topic_name("wl") + "."
    if request.param in EXTRA:
        return EXTRA[request.param](request.getfixturevalue("extra_stack"), prefix)
    stack = request.getfixturevalue("stack")
    name = topic_name("db").replace(".", "_")
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = stack.postgres_dsn.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.POSTGRES))
    return PostgresStore(stack, dsn, prefix)
