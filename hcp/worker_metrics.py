"""What the workers say of themselves, read from their Prometheus endpoints: lag, rows written, dead letters."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """One worker's figures; `answers` is false while it starts or is down."""

    answers: bool
    lag_events: int = 0
    dead_letters: int = 0
    rows_written: Mapping[str, int] | None = None


def read(port: int) -> WorkerMetrics:
    """Returns the figures of the worker whose metrics are on that port of 127.0.0.1."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT_S) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return WorkerMetrics(answers=False)
    lag, dead, rows = 0.0, 0.0, dict[str, int]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            match sample.name:
                case "hcp_lag_events":
                    lag += sample.value
                case "hcp_dead_letters_total":
                    dead += sample.value
                case "hcp_rows_written_total":
                    rows[sample.labels["table"]] = int(sample.value)
    return WorkerMetrics(answers=True, lag_events=int(lag), dead_letters=int(dead), rows_written=rows)
