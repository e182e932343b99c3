"""What a test sees of the stack, whether it runs as processes or as containers."""

from abc import ABC, abstractmethod
from pathlib import Path

NAMES = ("kafka", "registry", "postgres", "timescale", "prometheus")


class RunningStack(ABC):
    """The services under test: where they listen, and how to crash and mend them."""

    home: Path  # Prometheus reads <home>/prometheus/targets/*.json

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The HCP_* settings of a client, HCP_HOME among them."""

    @abstractmethod
    def kill(self, name: str) -> None:
        """Ends a service with SIGKILL and waits until it is gone."""

    @abstractmethod
    def up(self) -> None:
        """Starts what does not run and waits until it answers; ports and data stay."""

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        return self.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def registry_url(self) -> str:
        """The registry's Confluent-compatible API."""
        return self.environment["HCP_SCHEMA_REGISTRY_URL"]

    @property
    def postgres_dsn(self) -> str:
        """Postgres, as the owner of `mara_hcp`."""
        return self.environment["HCP_POSTGRES_DSN"]

    @property
    def metrics_dsn(self) -> str:
        """TimescaleDB."""
        return self.environment["HCP_METRICS_DSN"]

    @property
    def prometheus_url(self) -> str | None:
        """Prometheus, None where it cannot be had."""
        return self.environment.get("HCP_PROMETHEUS_URL")
