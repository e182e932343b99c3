"""Neo4j Community, from pinned jars on the Java of a wheel, with a password, reached by Bolt only."""

import socket
from pathlib import Path

from deploy.local import java_cache, maven, wheel
from deploy.local.error import PrerequisiteMissingError
from deploy.local.part import Part
from deploy.local.port import LOCALHOST
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site

PART = "neo4j-5.26.0"
LOCK = Path(__file__).with_name("neo4j.lock")
USER, INITIAL_PASSWORD, PASSWORD = "neo4j", "neo4j", "mara-graph"
TIMEOUT_S = 5
JAVA = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
OPENS = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")
HANDSHAKE = bytes.fromhex("6060b01700000405000000040000000000000000")
"""Bolt's greeting and the versions that the client takes: 5.4 and 4.0 (Bolt protocol handshake specification)."""

SETTINGS = {
    "server.default_listen_address": LOCALHOST,
    "server.http.enabled": "false",
    "server.https.enabled": "false",
    "dbms.usage_report.enabled": "false",
    "server.memory.pagecache.size": "32m",
    # The log of each database is kept for a recovery and no longer.
    "db.tx_log.rotation.retention_policy": "keep_none",
    "db.tx_log.preallocate": "false",
}
LOG = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR" packages="org.neo4j.logging.log4j">
  <Appenders>
    <File name="Log" fileName="${config:server.directories.logs}/neo4j.log" append="true">
      <PatternLayout pattern="%d{yyyy-MM-dd HH:mm:ss.SSSZ}{GMT+0} %-5p %m%n"/>
    </File>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="Log"/></Root></Loggers>
</Configuration>
"""


def _fill(stage: Path, progress: Progress) -> None:
    maven.fetch(PART, maven.lock(LOCK), stage / "libs", progress)
    java_cache.learn(NEO4J, stage, progress)


def _prepare(site: Site) -> None:
    folder = site.home / "conf"
    folder.mkdir(exist_ok=True)
    settings = SETTINGS | {
        "server.bolt.listen_address": f"{LOCALHOST}:{site.ports['neo4j']}",
        "server.directories.logs": str(site.log.parent),
    }
    (folder / "neo4j.conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    # Into the file that has its standard output, which says little; it is appended to by both.
    (folder / "user-logs.xml").write_text(LOG)


def _argv(site: Site) -> list[str]:
    opens = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
    options = [*JAVA, *java_cache.options(site.part), *opens, f"-Djava.io.tmpdir={site.scratch}"]
    options += ["-cp", f"{site.part / 'libs'}/*"]
    server = ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={site.home}", f"--config-dir={site.home / 'conf'}"]
    return [str(wheel.java()), *options, *server]


def _ready(site: Site) -> None:
    try:
        with socket.create_connection((LOCALHOST, site.ports["neo4j"]), timeout=TIMEOUT_S) as connection:
            connection.sendall(HANDSHAKE)
            version = connection.recv(4)
    except OSError as error:
        raise NotReadyError(f"Neo4j: {error}") from error
    if len(version) != 4 or version == bytes(4):
        raise NotReadyError(f"Neo4j answers {version!r} to a greeting")


def _provision(site: Site) -> None:
    """Sets the password at the first start. Raises NotReadyError while the database is not there."""
    try:
        from neo4j import GraphDatabase, exceptions  # noqa: PLC0415 - an extra, needed for this service only
    except ImportError as error:
        raise PrerequisiteMissingError("the client of Neo4j is not installed: pip install 'mara-hcp[neo4j]'") from error
    url = f"bolt://{LOCALHOST}:{site.ports['neo4j']}"
    try:
        try:
            with GraphDatabase.driver(url, auth=(USER, PASSWORD)) as driver:
                driver.execute_query("RETURN 1", database_="neo4j")
        except exceptions.AuthError:
            with GraphDatabase.driver(url, auth=(USER, INITIAL_PASSWORD)) as driver:
                statement = "ALTER CURRENT USER SET PASSWORD FROM $old TO $new"
                driver.execute_query(statement, old=INITIAL_PASSWORD, new=PASSWORD, database_="system")
    except (exceptions.Neo4jError, exceptions.DriverError) as error:
        raise NotReadyError(f"Neo4j: {error}") from error


NEO4J = Service(
    name="neo4j",
    title="Neo4j 5.26.0",
    part=Part(PART, lambda: LOCK.read_bytes() + java_cache.IDENTITY, _fill),
    is_extra=True,
    ports=("neo4j",),
    environment={
        "HCP_NEO4J_URL": "bolt://127.0.0.1:{neo4j}",
        "HCP_NEO4J_USER": USER,
        "HCP_NEO4J_PASSWORD": PASSWORD,
    },
    prepare=_prepare,
    argv=_argv,
    ready=_ready,
    provision=_provision,
)
