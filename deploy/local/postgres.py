"""PostgreSQL 18 from a wheel: `mara_hcp`, what is true now. On TCP at 127.0.0.1 only, never as root."""

import secrets
import shutil
import signal
import subprocess
from typing import LiteralString

from psycopg import sql

from deploy.local import wheel
from deploy.local.error import StackError
from deploy.local.port import LOCALHOST
from deploy.local.postgres_client import execute
from deploy.local.service import Service, Site
from deploy.local.unprivileged import prefix

DATABASE = "mara_hcp"
INITDB_LIMIT_S = 90
SETTINGS = {
    "listen_addresses": LOCALHOST,
    "unix_socket_directories": "",  # a path of more than 107 bytes is refused, and homes can be deep
    "shared_buffers": "32MB",
    "huge_pages": "off",
    "io_method": "sync",  # no reader processes of their own: the tables here fit into the cache
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def _prepare(site: Site) -> None:
    if (site.data / "PG_VERSION").exists():
        return
    # Made under another name, so that a half-made cluster is never used.
    fresh, password = site.home / "data.new", site.home / "superuser.password"
    for folder in (fresh, site.data):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24) + "\n")
    command = [*prefix(fresh), str(wheel.postgres("initdb")), "--pgdata", str(fresh), "--username=postgres"]
    command += ["--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C"]
    try:
        done = subprocess.run(
            command, cwd=site.home, capture_output=True, text=True, timeout=INITDB_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"initdb did not end within {INITDB_LIMIT_S} s: `hcp up` again") from error
    if done.returncode:
        last = "; ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise StackError(f"initdb cannot make {fresh}: {last}: check the disk, then `hcp up` again")
    fresh.rename(site.data)


def _argv(site: Site) -> list[str]:
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = [str(wheel.postgres("postgres")), "-D", str(site.data), "-p", str(site.ports["postgres"])]
    return [*prefix(site.data), *command, *settings]


def _ready(site: Site) -> None:
    _as_superuser(site, "SELECT 1")


def _provision(site: Site) -> None:
    if not _as_superuser(site, "SELECT 1 FROM pg_roles WHERE rolname = 'mara'"):
        # CREATEDB is for tests, which make a database each.
        _as_superuser(site, "CREATE ROLE mara LOGIN CREATEROLE CREATEDB PASSWORD 'mara'")
    if not _as_superuser(site, sql.SQL("SELECT 1 FROM pg_database WHERE datname = {}").format(DATABASE)):
        _as_superuser(site, sql.SQL("CREATE DATABASE {} OWNER mara").format(sql.Identifier(DATABASE)))


def _as_superuser(site: Site, statement: sql.Composed | LiteralString) -> list[tuple[object, ...]]:
    password = (site.home / "superuser.password").read_text().strip()
    query = statement if isinstance(statement, sql.Composed) else sql.SQL(statement).format()
    return execute(site.ports["postgres"], query, user="postgres", password=password, database="postgres")


POSTGRES = Service(
    name="postgres",
    title="PostgreSQL 18",
    ports=("postgres",),
    environment={"HCP_POSTGRES_DSN": f"postgresql://mara:mara@127.0.0.1:{{postgres}}/{DATABASE}"},
    prepare=_prepare,
    argv=_argv,
    ready=_ready,
    provision=_provision,
    leftovers=("postmaster.pid",),
    stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave, as SIGTERM does
)
