"""The stack as containers, by testcontainers, for machines with a Docker engine (Linux: Prometheus shares the host's
network to reach workers).

Not run where this was written, for want of an engine: images, variables and commands are those of docker-compose.yml,
and only mypy and the compose validator have looked at them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from testcontainers.core.container import DockerContainer

from deploy.local import kafka, prometheus, registry
from deploy.local.port import LOCALHOST, free_ports
from deploy.local.postgres_client import execute
from deploy.local.service import NotReadyError, Site
from tests.running_stack import NAMES, RunningStack

COMPOSE = Path(__file__).parent.parent / "docker-compose.yml"
START_LIMIT_S = 180
DATABASE = {"POSTGRES_USER": "mara", "POSTGRES_PASSWORD": "mara"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one service is started: port inside, variables, command, and what counts as its answer."""

    port: int
    ready: Callable[[Site], object]
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    command: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class ContainerStack(RunningStack):
    """Containers on fixed free ports, so that a killed one comes back at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ports = free_ports(home, NAMES)
        self._recipes = _recipes(self._ports, home)
        self._containers: dict[str, DockerContainer] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The HCP_* settings of a client."""
        at = {name: f"{LOCALHOST}:{port}" for name, port in self._ports.items()}
        return {
            "HCP_HOME": str(self.home),
            "HCP_KAFKA_BOOTSTRAP_SERVERS": at["kafka"],
            "HCP_SCHEMA_REGISTRY_URL": f"http://{at['registry']}{registry.CCOMPAT}",
            "HCP_POSTGRES_DSN": f"postgresql://mara:mara@{at['postgres']}/mara_hcp",
            "HCP_METRICS_DSN": f"postgresql://mara:mara@{at['timescale']}/mara_metrics",
            "HCP_PROMETHEUS_URL": f"http://{at['prometheus']}",
        }

    def kill(self, name: str) -> None:
        """Ends a container with SIGKILL."""
        container = self._containers[name].get_wrapped_container()
        container.kill()
        container.wait()

    def up(self) -> None:
        """Starts every container that does not run and waits for its answer."""
        for name, recipe in self._recipes.items():
            if name not in self._containers:
                self._containers[name] = self._container(name, recipe).start()
            elif self._containers[name].status != "running":
                self._containers[name].get_wrapped_container().start()
        site = Site(self.home, self.home, self._ports)
        deadline = time.monotonic() + START_LIMIT_S
        for name, recipe in self._recipes.items():
            _await_answer(name, recipe, site, deadline)

    def down(self) -> None:
        """Removes the containers and their data."""
        for container in self._containers.values():
            container.stop()

    def _container(self, name: str, recipe: Recipe) -> DockerContainer:
        container = DockerContainer(_image(name)).with_envs(**recipe.variables).with_kwargs(**recipe.options)
        if "network_mode" not in recipe.options:
            container = container.with_bind_ports(recipe.port, self._ports[name])
        return container.with_command(recipe.command) if recipe.command else container


def _recipes(ports: Mapping[str, int], home: Path) -> dict[str, Recipe]:
    folder = home / "prometheus"
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    for file in prometheus.CONFIGURATION.glob("*.yml"):
        (folder / file.name).write_text(file.read_text())
    listeners = f"IN://:{ports['kafka']},CONTROLLER://:9093"
    broker = {
        **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in kafka.PROPERTIES.items()},
        "KAFKA_LISTENERS": listeners,
        "KAFKA_ADVERTISED_LISTENERS": f"IN://{LOCALHOST}:{ports['kafka']}",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "IN",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "IN:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    }
    storage = {"APICURIO_STORAGE_KIND": "sql", "APICURIO_DATASOURCE_URL": "jdbc:h2:file:/tmp/registry;WRITE_DELAY=0"}
    host = {"network_mode": "host", "volumes": {str(folder): {"bind": "/etc/hcp", "mode": "ro"}}}
    address = f"--web.listen-address={LOCALHOST}:{ports['prometheus']}"
    return {
        "kafka": Recipe(ports["kafka"], kafka.KAFKA.ready, broker),
        "registry": Recipe(8080, registry.REGISTRY.ready, storage),
        "postgres": Recipe(5432, _database("postgres", "mara_hcp"), DATABASE | {"POSTGRES_DB": "mara_hcp"}),
        "timescale": Recipe(5432, _database("timescale", "mara_metrics"), DATABASE | {"POSTGRES_DB": "mara_metrics"}),
        "prometheus": Recipe(
            9090, prometheus.PROMETHEUS.ready, command=f"--config.file=/etc/hcp/prometheus.yml {address}", options=host
        ),
    }


def _database(name: str, database: str) -> Callable[[Site], object]:
    return lambda site: execute(site.ports[name], "SELECT 1", database=database)


def _image(name: str) -> str:
    """Returns the image that docker-compose.yml pins for a service."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    return str(services[name]["image"])


def _await_answer(name: str, recipe: Recipe, site: Site, deadline: float) -> None:
    while True:
        try:
            recipe.ready(site)
        except NotReadyError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not answer within {START_LIMIT_S} s: {error}") from error
            time.sleep(0.2)
        else:
            return
