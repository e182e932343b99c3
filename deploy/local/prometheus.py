"""Prometheus, where the system has it or its package can be unpacked; the stack runs without it otherwise."""

import shutil
from pathlib import Path

from deploy.local import debian
from deploy.local.local_http import answer
from deploy.local.part import Part
from deploy.local.progress import Progress
from deploy.local.service import Service, Site

PART = "prometheus"
CONFIGURATION = Path(__file__).parent.parent / "prometheus"


def _installed() -> str | None:
    return shutil.which("prometheus")


def _definition() -> bytes:
    return b"system" if _installed() else b"debian"


def _fill(stage: Path, progress: Progress) -> None:
    if not _installed():
        debian.fetch(PART, "prometheus", stage, progress)


def _prepare(site: Site) -> None:
    site.data.mkdir(exist_ok=True)
    # Workers put a file here each; the configuration names the folder relative to itself.
    (site.home / "targets").mkdir(exist_ok=True)
    for file in CONFIGURATION.glob("*.yml"):
        shutil.copyfile(file, site.home / file.name)


def _argv(site: Site) -> list[str]:
    program = _installed() or str(site.part / "usr/bin/prometheus")
    return [
        program,
        f"--config.file={site.home / 'prometheus.yml'}",
        f"--storage.tsdb.path={site.data}",
        f"--web.listen-address=127.0.0.1:{site.ports['prometheus']}",
    ]


def _ready(site: Site) -> None:
    answer(site.ports["prometheus"], "/-/ready")


PROMETHEUS = Service(
    name="prometheus",
    title="Prometheus",
    part=Part(PART, _definition, _fill),
    is_optional=True,
    ports=("prometheus",),
    environment={"HCP_PROMETHEUS_URL": "http://127.0.0.1:{prometheus}"},
    prepare=_prepare,
    argv=_argv,
    ready=_ready,
)
