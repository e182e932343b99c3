"""Plug-ins of the tests: one module a concern."""

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.stack_fixture",
    "tests.agents_world",
    "tests.rollup_world",
    "tests.projection_world",
    "tests.store_fixture",
    "tests.archive_world",
    "tests.demo_world",
    "tests.wire_server",
    "tests.kafka_message",
]

# An example that takes long on a busy machine is no defect.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that look at the running system last: it takes a share of the machine once it is started."""
    items.sort(key=lambda item: "demo" in getattr(item, "fixturenames", ()))
