"""A store that is not set up is named with what to do."""

import sys

import pytest

from hcp import store
from hcp.settings import Settings, SettingsError


@pytest.mark.parametrize("name", ["redis", "mongo", "neo4j"])
def test_a_store_without_an_address_names_its_setting_and_the_command(name: str) -> None:
    with pytest.raises(SettingsError, match=f"HCP_{name.upper()}_URL is not set.*hcp up --only {name}"):
        store.of(name, Settings(_env_file=None))


def test_a_store_without_its_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "projections.sinks.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingsError, match=r"pip install 'mara-hcp\[redis\]'"):
        store.of("redis", Settings(_env_file=None))
