"""Lists of devices as CSV files: a header with the columns' names, then a device a line."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulators.error import ConfigurationError

MINER_PORT = 4028
"""Of the cgminer API."""


@dataclass(frozen=True, slots=True)
class Miner:
    """Where a miner answers and what it is here. `joule_per_th` stands in for power that its firmware does not say."""

    host: str
    port: int
    device_id: str
    facility_id: str
    resource_group_id: str
    joule_per_th: float | None


def miners(file: Path) -> tuple[Miner, ...]:
    """Returns the miners of a file: host, port (4028), device_id, facility_id, resource_group_id, joule_per_th (none).

    Raises ConfigurationError, which names line and column.
    """
    found = tuple(
        Miner(
            host=row.text("host"),
            port=int(row.number("port", MINER_PORT)),
            device_id=row.text("device_id"),
            facility_id=row.text("facility_id"),
            resource_group_id=row.text("resource_group_id"),
            joule_per_th=row.number("joule_per_th", 0.0) or None,
        )
        for row in _rows(file)
    )
    _refuse_twice(file, [miner.device_id for miner in found])
    return found


@dataclass(frozen=True, slots=True)
class Exporter:
    """Where a dcgm-exporter shows its page, and what its GPUs are here."""

    url: str
    facility_id: str
    resource_group_id: str


def exporters(file: Path) -> tuple[Exporter, ...]:
    """Returns the exporters of a file: url, facility_id, resource_group_id. Raises ConfigurationError as `miners`."""
    found = tuple(
        Exporter(row.url("url"), row.text("facility_id"), row.text("resource_group_id")) for row in _rows(file)
    )
    _refuse_twice(file, [exporter.url for exporter in found])
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        value = self.cells.get(column, "")
        if not value:
            raise ConfigurationError(f"{self.place}: {column}: missing")
        return value

    def url(self, column: str) -> str:
        found = self.text(column)
        if not found.startswith(("http://", "https://")):
            raise ConfigurationError(f"{self.place}: {column}: expected a URL such as http://node:9400/metrics")
        return found

    def number(self, column: str, default: float) -> float:
        value = self.cells.get(column, "")
        try:
            found = float(value) if value else default
        except ValueError as error:
            raise ConfigurationError(f"{self.place}: {column}: expected a number, got {value!r}") from error
        if not 0 <= found < float("inf"):
            raise ConfigurationError(f"{self.place}: {column}: must be zero or more, got {value!r}")
        return found


def _rows(file: Path) -> Sequence[_Row]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True, restkey="", restval="")
            rows = [
                _Row(f"{file}:{reader.line_num}", {str(k).strip(): str(v).strip() for k, v in row.items()})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{file} can't be read: {error}") from error
    if not rows:
        raise ConfigurationError(f"{file} names no device")
    return rows


def _refuse_twice(file: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigurationError(f"{file}: {', '.join(twice)} is there twice")
