"""TimescaleDB: `mara_metrics`, what happened when. A WASM build behind the PostgreSQL wire protocol (timescale/)."""

import shutil
import tarfile
from pathlib import Path

from deploy.local import npm, wheel
from deploy.local.part import Part
from deploy.local.postgres_client import execute
from deploy.local.progress import Progress
from deploy.local.service import Service, Site
from deploy.local.trial_start import trial_start

PROJECT = Path(__file__).with_name("timescale")
PART = "timescale-2.23"
DATABASE = "mara_metrics"
FRESH = "fresh.tar"
"""A data folder with the extension, as a first start leaves it: unpacking it takes a tenth of the time."""
ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mara') THEN CREATE ROLE mara LOGIN CREATEROLE; END IF;
END $$
"""


def _definition() -> bytes:
    return FRESH.encode() + b"".join(file.read_bytes() for file in sorted(PROJECT.iterdir()) if file.is_file())


def _fill(stage: Path, progress: Progress) -> None:
    npm.fetch(PART, PROJECT, stage, progress)
    fresh, packed = stage / FRESH, stage / f"{FRESH}.new"
    fresh.unlink(missing_ok=True)

    def pack(site: Site) -> None:
        with tarfile.open(packed, "w") as tar:
            tar.add(site.data, ".")
        packed.replace(fresh)

    trial_start(TIMESCALE, stage, progress, pack)


def unpack(part: Path, data: Path) -> None:
    """Makes a fresh data folder, where there is none and the part has one; the server makes it else."""
    if data.exists() or not (part / FRESH).exists():
        return
    # Under another name, so that a folder that is half there is never used.
    fresh = data.with_name(f"{data.name}.unpacked")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(part / FRESH) as tar:
        tar.extractall(fresh, filter="data")
    fresh.rename(data)


def _argv(site: Site) -> list[str]:
    # A deeper JavaScript stack lets SQL and PL/pgSQL recurse deeper before the backend dies.
    server = [str(wheel.node()), "--stack-size=4000", str(site.part / "server.mjs")]
    return [*server, "--data", str(site.data), "--port", str(site.ports["timescale"]), "--fsync"]


def _ready(site: Site) -> None:
    execute(site.ports["timescale"], "SELECT 1", database=DATABASE)


def _provision(site: Site) -> None:
    execute(site.ports["timescale"], "CREATE EXTENSION IF NOT EXISTS timescaledb", database=DATABASE, limit_s=60)
    execute(site.ports["timescale"], ROLE, database=DATABASE)


TIMESCALE = Service(
    name="timescale",
    title="TimescaleDB 2.23 (WASM)",
    part=Part(PART, _definition, _fill),
    ports=("timescale",),
    environment={"HCP_METRICS_DSN": f"postgresql://mara:mara@127.0.0.1:{{timescale}}/{DATABASE}"},
    prepare=lambda site: unpack(site.part, site.data),
    argv=_argv,
    ready=_ready,
    provision=_provision,
    leftovers=("server.pid",),
)
