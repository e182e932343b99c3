"""A store that is not set up is named with what to do."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from hcp import store
from hcp.commands.worker import WorkerName
from hcp.settings import Settings, SettingsError
from projections.error import UnavailableError
from projections.worker import _dependency


@pytest.mark.parametrize("name", ["redis", "mongo", "neo4j"])
def test_a_store_without_an_address_names_its_setting_and_the_command(name: str) -> None:
    with pytest.raises(SettingsError, match=f"HCP_{name.upper()}_URL is not set.*hcp up --only {name}"):
        store.of(name, Settings(_env_file=None))


def test_a_store_without_its_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "projections.sinks.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingsError, match=r"pip install 'mara-hcp\[redis\]'"):
        store.of("redis", Settings(_env_file=None))


def test_no_client_is_imported_before_its_store_is_chosen() -> None:
    modules = "hcp.store, hcp.commands.worker, projections.worker, projections.read_models, projections.graph_table"
    code = f"import sys, {modules}; print({{'redis', 'pymongo', 'neo4j'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["postgres", "timescale", "redis", "mongo", "neo4j"])
def test_every_projection_worker_has_a_store_with_tables(name: str) -> None:
    url = SecretStr("redis://127.0.0.1")
    config = Settings(_env_file=None, redis_url=url, mongo_url=url, neo4j_url="bolt://127.0.0.1", neo4j_password=url)
    assert WorkerName(f"project-{name}")
    assert store.of(name, config).tables


@pytest.mark.parametrize(
    ("error", "name"),
    [(UnavailableError("away"), "database"), (UnavailableError("away", "redis"), "redis")],
)
def test_the_metrics_name_the_store_that_is_away(error: UnavailableError, name: str) -> None:
    assert _dependency(error) == name
