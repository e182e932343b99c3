"""Apache Kafka, one KRaft node that is broker and controller, from pinned jars on the Java of a wheel."""

import base64
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local import java_cache, maven, wheel
from deploy.local.error import StackError
from deploy.local.part import Part
from deploy.local.port import LOCALHOST
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site

HERE = Path(__file__).parent
PART = "kafka-4.3.1"
LOCK = HERE / "kafka.lock"
# Serial collector and first compiler only: 152 MB and 3.5 s to the first answer, against 226 MB and 5.4 s by default.
JAVA = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
FORMAT_LIMIT_S = 60

# One node: nothing to replicate. Few partitions for the internal topics, or start and memory grow for nothing.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",  # the log is the truth; a topic that may forget says so itself
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.threads": "1",
    "log.index.size.max.bytes": "1048576",  # preallocated per segment: 10 MB by default
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def _fill(stage: Path, progress: Progress) -> None:
    maven.fetch(PART, maven.lock(LOCK), stage / "libs", progress)
    java_cache.learn(KAFKA, stage, progress)


def _java(site: Site, *, main: str) -> list[str]:
    return [
        str(wheel.java()),
        *JAVA,
        *java_cache.options(site.part),
        f"-Djava.io.tmpdir={site.scratch}",
        f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
        "-cp",
        f"{site.part / 'libs'}/*",
        main,
    ]


def _properties(site: Site, log_dirs: Path) -> str:
    broker, controller = site.ports["kafka"], site.ports["kafka_controller"]
    values = PROPERTIES | {
        "listeners": f"PLAINTEXT://{LOCALHOST}:{broker},CONTROLLER://{LOCALHOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOCALHOST}:{broker}",
        "controller.quorum.voters": f"1@{LOCALHOST}:{controller}",
        "log.dirs": str(log_dirs),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _prepare(site: Site) -> None:
    (site.home / "server.properties").write_text(_properties(site, site.data))
    if site.data.exists():
        return
    # Formatted under another name, so that a half-formatted folder is never used.
    fresh, properties = site.home / "data.new", site.home / "format.properties"
    shutil.rmtree(fresh, ignore_errors=True)
    properties.write_text(_properties(site, fresh))
    command = _java(site, main="kafka.tools.StorageTool")
    command += ["format", "--cluster-id", _cluster_id(), "--config", str(properties)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StackError(f"Kafka did not format {fresh} within {FORMAT_LIMIT_S} s: `hcp up` again") from error
    if done.returncode:
        last = "; ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise StackError(f"Kafka cannot format {fresh}: {last}: check the disk, then `hcp up` again")
    fresh.rename(site.data)


def _cluster_id() -> str:
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # the tool would take it for an option
    return text


def _ready(site: Site) -> None:
    port = site.ports["kafka"]
    try:
        # librdkafka retries for its whole timeout where nobody listens; a refused connection says so at once.
        socket.create_connection((LOCALHOST, port), timeout=2).close()
        client = AdminClient({"bootstrap.servers": f"{LOCALHOST}:{port}", "log_level": 0})
        if not client.list_topics(timeout=5).brokers:
            raise NotReadyError("Kafka answers, but has no broker yet")
    except (OSError, KafkaException) as error:
        raise NotReadyError(f"Kafka: {error}") from error


KAFKA = Service(
    name="kafka",
    title="Apache Kafka 4.3.1",
    part=Part(PART, lambda: LOCK.read_bytes() + java_cache.IDENTITY, _fill),
    ports=("kafka", "kafka_controller"),
    environment={"HCP_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:{kafka}"},
    prepare=_prepare,
    argv=lambda site: [*_java(site, main="kafka.Kafka"), str(site.home / "server.properties")],
    ready=_ready,
)
