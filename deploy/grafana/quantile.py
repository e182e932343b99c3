"""The quantile of a histogram over Grafana's own choice of interval, in PromQL."""

RATE_INTERVAL = "$__rate_interval"


def quantile(q: float, name: str, by: str) -> str:
    """Returns the q-quantile of the histogram `name`, a series a value of the label `by`."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({name}_bucket[{RATE_INTERVAL}])))"
