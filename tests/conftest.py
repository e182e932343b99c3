"""Plug-ins of the tests: one module a concern."""

from collections.abc import Iterator

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
]

# An example that takes long on a busy machine is no defect.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

_SERVICES = {
    "demo": "demo",
    "stack": "stack",
    "extra_stack": "stack",
    "store": "stack",
    "agents_stack": "agents",
    "wire": "wire",
}
"""Fixtures that start services, and the group of the tests that share them; `pytest -n 2` keeps it in one process."""
_ORDER = ("stack", "agents", "wire")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Groups tests for several processes, the longest groups first.

    The tests that look at the running system come last: it takes a share of the machine once it is started.
    """
    # Before the others' hooks, as pytest-xdist reads the groups in its own; the order after them, as others change it.
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    yield
    items.sort(key=lambda item: _rank(_group(item)))


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "fixturenames", ())
    file = f"{item.path.parent.name}/{item.path.stem}"
    return next((group for fixture, group in _SERVICES.items() if fixture in fixtures), file)


def _rank(group: str) -> int:
    if group in _ORDER:
        return _ORDER.index(group)
    return len(_ORDER) + (group == "demo")
