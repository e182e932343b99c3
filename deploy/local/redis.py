"""Redis: Valkey, which speaks its protocol, from a wheel, or the `redis-server` of the system. Every write is on disk
before it is acknowledged, as the projection into it needs.
"""

import shutil
import socket

from deploy.local import wheel
from deploy.local.error import PrerequisiteMissingError
from deploy.local.port import LOCALHOST
from deploy.local.service import NotReadyError, Service, Site

TIMEOUT_S = 5
SETTINGS = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}


def _server() -> str:
    try:
        return str(wheel.valkey())
    except PrerequisiteMissingError:
        installed = shutil.which("redis-server") or shutil.which("valkey-server")
        if installed is None:
            raise
        return installed


def _argv(site: Site) -> list[str]:
    settings = {"bind": LOCALHOST, "port": str(site.ports["redis"]), "dir": str(site.data), **SETTINGS}
    return [_server(), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _ready(site: Site) -> None:
    try:
        with socket.create_connection((LOCALHOST, site.ports["redis"]), timeout=TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(200)
    except OSError as error:
        raise NotReadyError(f"Redis: {error}") from error
    if answer != b"+PONG\r\n":
        raise NotReadyError(f"Redis answers {answer!r}")


REDIS = Service(
    name="redis",
    title="Redis (Valkey)",
    is_extra=True,
    ports=("redis",),
    environment={"HCP_REDIS_URL": "redis://127.0.0.1:{redis}/0"},
    prepare=lambda site: site.data.mkdir(exist_ok=True),
    argv=_argv,
    ready=_ready,
)
