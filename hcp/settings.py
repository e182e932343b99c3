"""The one configuration object: read once by the command, passed down as plain values, printed with secrets masked.

Values come from the environment (`HCP_*`), then `.env`, then `<home>/stack.env` (written by `hcp up`: the ports that it
chose), then the defaults below, which are those of docker-compose.yml.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class SettingsError(Exception):
    """A setting has no usable value; the message names its environment variable and the reason."""


class Settings(BaseSettings):
    """All settings. Each field's description is its line in `env.example`."""

    model_config = SettingsConfigDict(env_prefix="HCP_", frozen=True, extra="ignore")

    home: Path = Field(Path(".hcp"), description="Where the embedded stack keeps its data, logs and parts.")
    parts_dir: Path | None = Field(None, description="Where downloaded parts are kept; default <home>/parts.")
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma separated.")
    kafka_security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_ssl_ca_location: str | None = Field(None, description="CA certificate file of the brokers (PEM).")
    kafka_ssl_certificate_location: str | None = Field(None, description="Client certificate file (PEM).")
    kafka_ssl_key_location: str | None = Field(None, description="Client key file (PEM).")
    kafka_sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 …")
    kafka_sasl_username: str | None = Field(None, description="SASL user.")
    kafka_sasl_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_replication_factor: int = Field(1, ge=1, description="Replication factor of the topics that are created.")
    schema_registry_url: str = Field(
        "http://127.0.0.1:8081/apis/ccompat/v7", description="Schema registry, Confluent-compatible API."
    )
    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://mara:mara@127.0.0.1:5432/mara_hcp"), description="Postgres: what is true now."
    )
    metrics_dsn: SecretStr = Field(
        SecretStr("postgresql://mara:mara@127.0.0.1:5433/mara_metrics"), description="TimescaleDB: what happened when."
    )
    reader_password: SecretStr = Field(
        SecretStr("reader"), description="Password of the read-only database role that Grafana uses."
    )
    redis_url: SecretStr | None = Field(None, description="Redis for project-redis: current state as hashes.")
    mongo_url: SecretStr | None = Field(
        None, description="MongoDB for project-mongo: the audit log. The path names the database; default mara_hcp."
    )
    neo4j_url: str | None = Field(None, description="Neo4j for project-neo4j: who runs what where, as a graph.")
    neo4j_user: str = Field("neo4j", description="User of Neo4j.")
    neo4j_password: SecretStr | None = Field(None, description="Password of Neo4j.")
    prometheus_url: str | None = Field(None, description="Prometheus, where it runs.")
    metrics_host: str = Field("127.0.0.1", description="Address that workers serve their metrics on.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of a worker's metrics; 0 takes a free one.")
    instance: int = Field(0, ge=0, description="Number of this worker among its like; no two may have the same.")
    window_s: int = Field(15, gt=0, description="Length of a fleet window, s of event time.")
    grace_s: int = Field(15, ge=0, description="How long after a window's end its late readings are taken, s.")
    dispatch_interval_s: int = Field(300, gt=0, description="Length of a decision's interval, s of event time.")
    risk_weight: float = Field(
        0.0, ge=0, le=1, description="How much plans mind bad prices: share of CVaR in what they maximise; 0 is off."
    )
    risk_tail: float = Field(0.1, gt=0, le=1, description="Share of the probability that counts as bad prices.")
    solver_processes: int = Field(1, ge=1, description="Processes of an agents worker that plan; one more dispatches.")
    projection_memory_mb: int = Field(
        256, ge=16, description="Memory for the events that a projection worker has in flight, MB."
    )
    dead_letter_limit: float = Field(
        0.5, gt=0, le=1, description="Share of bad events at which a projection worker stops; 1 never stops."
    )
    archive_url: str | None = Field(
        None, description="Where `hcp worker archive` writes: a folder, or a URL such as s3://bucket/prefix."
    )
    archive_rows: int = Field(500_000, gt=0, description="Events that make the archive worker write a batch.")
    archive_age_s: float = Field(60, gt=0, description="How long an event may wait for its batch, s.")
    archive_file_rows: int = Field(
        1_000_000,
        gt=0,
        description="Rows up to which small files of the archive are merged; a merge may hold twice as many.",
    )
    seed: int = Field(1, description="Seed of the simulators.")
    faults: str = Field(
        "", description="Faults that `hcp simulate` puts into its data, as its --faults: late=0.01,events.stale=0.05 …"
    )

    exporter_host: str = Field("127.0.0.1", description="Address of `hcp simulate --exporter`.")
    exporter_port: int | None = Field(
        None, ge=0, le=65535, description="Its port, 0 takes a free one; without it there is no exporter."
    )

    bridge_host: str = Field("127.0.0.1", description="Address that `hcp bridge http` takes events on.")
    bridge_port: int = Field(8480, ge=0, le=65535, description="Its port; 0 takes a free one.")
    bridge_api_keys: SecretStr = Field(
        SecretStr(""), description="Its keys, blank separated: NAME:SHA256:TOPIC,TOPIC as `hcp bridge key` prints them."
    )
    bridge_mqtt_url: SecretStr | None = Field(
        None, description="Broker of `hcp bridge mqtt`: mqtt://USER:PASSWORD@HOST:PORT, or mqtts:// for TLS."
    )
    bridge_body_bytes: int = Field(1_000_000, gt=0, description="Largest body of a request, bytes.")
    bridge_delivery_s: float = Field(
        10.0, gt=0.01, description="How long a request waits for Kafka before it is told to come again, s."
    )
    bridge_queue_events: int = Field(
        10_000, gt=0, description="Events of a bridge that may wait for Kafka; more are told to come again."
    )

    @property
    def parts(self) -> Path:
        """Where downloaded parts are kept."""
        return self.parts_dir or self.home / "parts"

    def kafka_client_config(self) -> dict[str, Any]:
        """Returns the connection part of a librdkafka configuration."""
        found = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            "ssl.ca.location": self.kafka_ssl_ca_location,
            "ssl.certificate.location": self.kafka_ssl_certificate_location,
            "ssl.key.location": self.kafka_ssl_key_location,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": self.kafka_sasl_password and self.kafka_sasl_password.get_secret_value(),
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the interface of pydantic-settings
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Secret files (Docker, Kubernetes, Vault) rank below the environment, above the dot files."""
        return init_settings, env_settings, file_secret_settings, dotenv_settings


def load() -> Settings:
    """Returns the settings of this process. Raises SettingsError."""
    home = Path(os.environ.get("HCP_HOME", ".hcp"))
    secrets = os.environ.get("HCP_SECRETS_DIR")
    try:
        # The last file wins, so a user's .env outranks what `hcp up` wrote.
        return Settings(
            _env_file=(home / "stack.env", ".env"),
            _secrets_dir=secrets,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = "HCP_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{name}: {first['msg']}, got {first.get('input')!r}") from error
