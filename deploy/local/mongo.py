"""A server that speaks MongoDB's protocol: SecantusDB, from a wheel, for development and tests.

It is GPL-2.0, so it runs as a process of its own, nothing here imports it, and only the extra `dev` brings it.
"""

import importlib.util
import sys

from deploy.local.error import PrerequisiteMissingError
from deploy.local.port import LOCALHOST
from deploy.local.service import NotReadyError, Service, Site

PACKAGE = "secantusdb==0.7.0b3"
TIMEOUT_MS = 2_000


def _argv(site: Site) -> list[str]:
    if importlib.util.find_spec("secantus") is None:
        raise PrerequisiteMissingError(f"SecantusDB is not installed: pip install {PACKAGE} (in a clone: make setup)")
    listens = ["--host", LOCALHOST, "--port", str(site.ports["mongo"])]
    # On disk before it is acknowledged, as a server with `w=majority` and a journal has it.
    storage = ["--storage-path", str(site.data), "--sync-on-commit", "--cache-size", "64M"]
    return [sys.executable, "-m", "secantus", *listens, *storage, "--log-level", "WARNING"]


def _ready(site: Site) -> None:
    try:
        from pymongo import MongoClient, errors  # noqa: PLC0415 - an extra, needed for this service only
    except ImportError as error:
        raise PrerequisiteMissingError(
            "the client of MongoDB is not installed: pip install 'mara-hcp[mongo]'"
        ) from error
    try:
        with MongoClient[dict[str, object]](
            LOCALHOST, site.ports["mongo"], directConnection=True, serverSelectionTimeoutMS=TIMEOUT_MS
        ) as client:
            client.admin.command("ping")
    except errors.PyMongoError as error:
        raise NotReadyError(f"MongoDB: {error}") from error


MONGO = Service(
    name="mongo",
    title="MongoDB (SecantusDB)",
    is_extra=True,
    ports=("mongo",),
    environment={"HCP_MONGO_URL": "mongodb://127.0.0.1:{mongo}/mara_hcp?directConnection=true"},
    prepare=lambda site: site.data.mkdir(exist_ok=True),
    argv=_argv,
    ready=_ready,
)
