"""Plug-ins of the tests: one module a concern."""

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
