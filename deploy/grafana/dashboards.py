"""Writes the dashboards' JSON: `python -m deploy.grafana.dashboards`; `--check` exits 1 where a file is stale."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from deploy.grafana.business import BUSINESS
from deploy.grafana.panel import Dashboard, Kind, Panel, Query, Source
from deploy.grafana.streams import STREAMS

TARGET = Path(__file__).with_name("provisioning") / "dashboards"
DASHBOARDS = (STREAMS, BUSINESS)
_HEIGHT = 8
_TYPES = {Source.PROMETHEUS: "prometheus", Source.POSTGRES: "postgres", Source.TIMESCALE: "postgres"}


@dataclass(frozen=True, slots=True)
class _SqlQuery(Dataquery):
    """A query of Grafana's PostgreSQL data source, for which the SDK has no class."""

    text: str
    ref_id: str
    is_table: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "refId": self.ref_id,
            "rawSql": self.text,
            "format": "table" if self.is_table else "time_series",
            "editorMode": "code",
            "rawQuery": True,
        }


@dataclass(frozen=True, slots=True)
class _Built(Builder[Dataquery]):
    query: Dataquery

    def build(self) -> Dataquery:
        return self.query


def render(declared: Dashboard) -> str:
    """Returns the JSON of a dashboard."""
    built = (
        dashboard.Dashboard(declared.title)
        .uid(declared.uid)
        .tags(["mara-hcp"])
        .refresh("15s")
        .time("now-24h", "now")
        .timezone("utc")
        .readonly()
    )
    for row in declared.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(built.build())), indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Writes the files, or with `--check` compares them; returns the exit code."""
    stale = []
    for declared in DASHBOARDS:
        file = TARGET / f"{declared.uid}.json"
        if "--check" not in sys.argv[1:]:
            file.write_text(render(declared))
        elif not file.exists() or file.read_text() != render(declared):
            stale.append(file.name)
    if stale:
        print(f"{', '.join(stale)}: stale, run `python -m deploy.grafana.dashboards`", file=sys.stderr)
    return 1 if stale else 0


def _panel(panel: Panel) -> Any:
    makers: dict[Kind, Any] = {Kind.TIME_SERIES: timeseries.Panel, Kind.STAT: stat.Panel, Kind.TABLE: table.Panel}
    built = makers[panel.kind]().title(panel.title).unit(panel.unit).height(_HEIGHT).span(panel.width)
    built = built.datasource(DataSourceRef(type_val=_TYPES[panel.source], uid=panel.source.value))
    for number, query in enumerate(panel.queries):
        built = built.with_target(_target(panel, query, chr(ord("A") + number)))
    return built


def _target(panel: Panel, query: Query, ref_id: str) -> Any:
    if panel.source is Source.PROMETHEUS:
        return prometheus.Dataquery().expr(query.text).legend_format(query.legend).ref_id(ref_id)
    return _Built(_SqlQuery(query.text, ref_id, panel.kind is Kind.TABLE))


if __name__ == "__main__":
    raise SystemExit(main())
