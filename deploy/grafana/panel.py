"""What a panel is, whatever draws it: a title, queries to one data source, and a unit."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_QUERIES = Path(__file__).with_name("queries")


class Source(StrEnum):
    """Data sources, by the uid that provisioning gives them."""

    PROMETHEUS = "hcp-prometheus"
    POSTGRES = "hcp-postgres"
    TIMESCALE = "hcp-timescale"


class Kind(StrEnum):
    """How a panel is drawn."""

    TIME_SERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression in the source's language; `legend` names its series (Prometheus only)."""

    text: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's name of the unit; `width` is in columns of 24."""

    title: str
    source: Source
    queries: tuple[Query, ...]
    kind: Kind = Kind.TIME_SERIES
    unit: str = "short"
    width: int = 8
    description: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row of panels."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; `uid` is also the name of its file."""

    uid: str
    title: str
    rows: tuple[Row, ...]


def metric(
    title: str, *queries: tuple[str, str], unit: str = "short", width: int = 8, kind: Kind = Kind.TIME_SERIES
) -> Panel:
    """Returns a panel of PromQL queries, each with its legend."""
    return Panel(title, Source.PROMETHEUS, tuple(Query(*query) for query in queries), kind, unit, width)


def sql(
    title: str, source: Source, file: str, *, unit: str = "short", width: int = 12, kind: Kind = Kind.TIME_SERIES
) -> Panel:
    """Returns a panel of the SQL in `queries/<file>.sql`."""
    return Panel(title, source, (Query((_QUERIES / f"{file}.sql").read_text().strip()),), kind, unit, width)
