"""Apicurio Registry, a schema registry with the Confluent-compatible API, storing in an H2 file."""

import json
import tarfile
from pathlib import Path

from deploy.local import java_cache, maven, wheel
from deploy.local.local_http import answer
from deploy.local.part import Part, unavailable
from deploy.local.port import LOCALHOST
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site

LOCK = Path(__file__).with_name("registry.lock")
CCOMPAT = "/apis/ccompat/v7"
JAVA = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
PART = "registry-3.3.3"


def _fill(stage: Path, progress: Progress) -> None:
    (archive,) = artifacts = maven.lock(LOCK)
    maven.fetch(PART, artifacts, stage, progress)
    packed = stage / archive.filename
    try:
        with tarfile.open(packed) as tar:
            tar.extractall(stage / "app", filter="data")
    except tarfile.TarError as error:
        raise unavailable(PART, f"{archive.filename}: {error}") from error
    packed.unlink()
    java_cache.learn(REGISTRY, stage, progress)


def _argv(site: Site) -> list[str]:
    settings = {
        "java.io.tmpdir": str(site.scratch),
        "quarkus.http.host": LOCALHOST,
        "quarkus.http.port": str(site.ports["registry"]),
        # Without these two it listens on all addresses as well.
        "quarkus.management.host": LOCALHOST,
        "quarkus.management.port": str(site.ports["registry_management"]),
        "quarkus.log.level": "WARN",
        "quarkus.http.access-log.enabled": "false",
        "quarkus.otel.sdk.disabled": "true",
        "apicurio.storage.kind": "sql",
        # H2 writes half a second after a commit by default: a killed registry would forget an id that is in use in
        # the log, and give it to another schema.
        "apicurio.datasource.url": f"jdbc:h2:file:{site.data / 'registry'};WRITE_DELAY=0",
        "apicurio.datasource.jdbc.initial-size": "2",
        "apicurio.datasource.jdbc.min-size": "2",
        "apicurio.datasource.jdbc.max-size": "8",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    cached = java_cache.options(site.part)
    return [str(wheel.java()), *JAVA, *cached, *options, "-jar", str(site.part / "app" / "quarkus-run.jar")]


def _ready(site: Site) -> None:
    subjects = answer(site.ports["registry"], f"{CCOMPAT}/subjects")
    if not subjects.startswith("["):
        raise NotReadyError(f"the registry answers {subjects[:100]!r} for its subjects")


def _provision(site: Site) -> None:
    port = site.ports["registry"]
    level = json.loads(answer(port, f"{CCOMPAT}/config"))
    # Everything is compatible by default here; BACKWARD is what clients of the Confluent API expect.
    if level.get("compatibilityLevel") == "NONE":
        answer(port, f"{CCOMPAT}/config", method="PUT", body=json.dumps({"compatibility": "BACKWARD"}))


REGISTRY = Service(
    name="registry",
    title="Apicurio Registry 3.3.3",
    part=Part(PART, lambda: LOCK.read_bytes() + java_cache.IDENTITY, _fill),
    ports=("registry", "registry_management"),
    environment={"HCP_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{{registry}}{CCOMPAT}"},
    argv=_argv,
    ready=_ready,
    provision=_provision,
)
