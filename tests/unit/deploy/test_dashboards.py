"""The dashboards' files are those that their declarations make, and name metrics that exist."""

import re
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from deploy.grafana.dashboards import DASHBOARDS, TARGET, render
from deploy.grafana.panel import Dashboard, Source
from schemas import metric
from tests.panel_query import expanded

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.uid)
def test_the_file_is_what_the_declaration_makes(dashboard: Dashboard) -> None:
    assert (TARGET / f"{dashboard.uid}.json").read_text() == render(dashboard)


def test_panels_name_only_metrics_that_are_declared() -> None:
    assert metric.EVENTS_IN  # declared on import
    known = {
        sample
        for family in REGISTRY.collect()
        for sample in (family.name, f"{family.name}_total", f"{family.name}_bucket")
    }
    texts = [
        query.text
        for dashboard in DASHBOARDS
        for row in dashboard.rows
        for panel in row.panels
        if panel.source is Source.PROMETHEUS
        for query in panel.queries
    ]
    named = {name for text in texts for name in re.findall(r"\bhcp_[a-z_]+", text)}
    assert named <= known


def test_macros_are_filled_in_as_grafana_does() -> None:
    text = expanded("SELECT 1 WHERE $__timeFilter(a.b) AND x", START, END)
    assert text == "SELECT 1 WHERE a.b BETWEEN '2026-01-01T00:00:00+00:00' AND '2026-01-02T00:00:00+00:00' AND x"
    assert expanded("rate(x[$__rate_interval])", START, END) == "rate(x[1m])"


def test_a_macro_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="not known here"):
        expanded("$__unixEpochFilter(t)", START, END)
