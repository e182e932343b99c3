"""Every panel of every dashboard shows something while the system runs."""

import json
import threading
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panel import Panel, Query, Source
from projections.table import Database
from tests.demo_world import DemoWorld
from tests.panel_query import expanded

pytestmark = pytest.mark.integration

# A rate needs two scrapes, 15 s apart, after the workers have been found.
DEADLINE_S = 300.0
DATABASES = {Source.POSTGRES: Database.POSTGRES, Source.TIMESCALE: Database.TIMESCALE}
QUERIES = [
    pytest.param(panel, query, id=f"{dashboard.title}-{panel.title}-{number}")
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row.panels
    for number, query in enumerate(panel.queries)
]


def answer(demo: DemoWorld, panel: Panel, query: Query) -> list[Any]:
    """What the panel would show."""
    now = datetime.now(UTC)
    text = expanded(query.text, now - timedelta(days=2), now + timedelta(days=1))
    if panel.source is not Source.PROMETHEUS:
        return demo.query(DATABASES[panel.source], text)
    url = f"{demo.environment['HCP_PROMETHEUS_URL']}/api/v1/query?" + urllib.parse.urlencode({"query": text})
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - the stack's own Prometheus
        series: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return [entry for entry in series if entry["value"][1] != "NaN"]


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_the_panel_shows_something(demo: DemoWorld, panel: Panel, query: Query) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := answer(demo, panel, query)):
        assert time.monotonic() < deadline, f"{panel.title}: nothing for {query.text}"
        threading.Event().wait(0.5)
    assert found
