"""The gate between a changed schema and the registry, and what `hcp schemas` says of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from schemas import provision
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.columnar import ColumnarDecoder
from schemas.registry import IncompatibleSchemaError, Registry, UnknownSchemaError
from tests.rollup_world import reading
from tests.running_stack import RunningStack

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Changed(Topic):
    """A topic whose schema has been edited."""

    edited: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """The edited schema."""
        found: dict[str, Any] = json.loads(self.edited)
        return found


def changed(entry: Topic, edit: Callable[[list[dict[str, Any]]], object]) -> Changed:
    schema = json.loads(entry.schema_text)
    edit(schema["fields"])
    values = {name: getattr(entry, name) for name in Topic.__dataclass_fields__}
    return Changed(**values, edited=json.dumps(schema))


@pytest.fixture
def registry(stack: RunningStack) -> Iterator[Registry]:
    found = Registry(stack.registry_url)
    yield found
    found.close()


@pytest.fixture
def entry(topic_name: Callable[[str], str]) -> Topic:
    return replace(topic("telemetry.asic"), name=topic_name("gate"))


def test_registering_twice_gives_the_same_id(registry: Registry, entry: Topic) -> None:
    assert registry.register(entry) == registry.register(entry) == registry.schema_id(entry)


def test_a_field_with_a_default_may_be_added_and_old_bytes_still_read(registry: Registry, entry: Topic) -> None:
    registry.register(entry)
    old = Codec(registry).encode(entry, reading(1))
    wider = changed(entry, lambda fields: fields.append({"name": "pool_rejects", "type": "int", "default": 7}))
    assert provision.check_schemas(registry, [wider]) == []
    provision.register_schemas(registry, [wider])
    frame = ColumnarDecoder(wider, registry).decode([old]).frame
    assert frame.select("device_id", "power_w", "pool_rejects").rows() == [("d-0", 3000.0, 7)]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        pytest.param(lambda fields: fields.append({"name": "vendor", "type": "string"}), "vendor", id="no default"),
        pytest.param(lambda fields: fields.remove(fields[0]), "device_id", id="removed"),
        pytest.param(lambda fields: fields[5].update(type="string"), "/fields/5/type", id="other type"),
    ],
)
def test_an_incompatible_change_is_refused_with_the_registrys_reason(
    registry: Registry, entry: Topic, edit: Callable[[list[dict[str, Any]]], object], reason: str
) -> None:
    registry.register(entry)
    refused = provision.check_schemas(registry, [changed(entry, edit)])
    assert [r.subject for r in refused] == [entry.subject]
    assert reason in str(refused[0]), refused
    with pytest.raises(IncompatibleSchemaError, match=entry.subject):
        provision.register_schemas(registry, [changed(entry, edit)])


def test_a_schema_that_nobody_registered_names_the_mend(registry: Registry, entry: Topic) -> None:
    with pytest.raises(UnknownSchemaError, match="run `hcp schemas register`"):
        registry.schema_id(entry)


def test_the_command_fails_on_an_incompatible_file_and_passes_on_a_good_one(
    stack: RunningStack, tmp_path: Path
) -> None:
    # A copy of the package with its .avsc files, so that the repository stays as it is.
    copy = tmp_path / "code"
    copy.mkdir()
    for name in ("hcp", "schemas", "streams", "projections", "simulators", "deploy"):
        (copy / name).symlink_to(ROOT / name) if name != "schemas" else None
    subprocess.run(["cp", "-r", str(ROOT / "schemas"), str(copy / "schemas")], check=True)

    def hcp(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **stack.environment, "PYTHONPATH": str(copy)}
        command = [sys.executable, "-m", "hcp", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=copy, env=environment)

    assert hcp("schemas", "register").returncode == 0
    assert hcp("schemas", "check").returncode == 0
    file = copy / "schemas" / "avro" / "grid_price.avsc"
    schema = json.loads(file.read_text())
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "price_usd_mwh"]
    file.write_text(json.dumps(schema))
    done = hcp("schemas", "check")
    assert done.returncode == 1
    assert "grid.prices-value" in done.stderr
    assert "price_usd_mwh" in done.stderr
