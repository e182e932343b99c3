"""Plug-ins of the tests: one module a concern."""

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
