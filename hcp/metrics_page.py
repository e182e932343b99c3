"""The page of metrics of a command that runs in the foreground."""

import typer

from hcp import console
from hcp.settings import Settings
from schemas import metric


def serve(config: Settings, name: str) -> None:
    """Serves the page where the settings say, and says where; where the port is taken, the exit code is 1."""
    try:
        port = metric.serve(config.metrics_host, config.metrics_port)
    except OSError as error:
        console.fail(f"metrics port {config.metrics_port} can't be used ({error}): set HCP_METRICS_PORT, 0 takes any")
        raise typer.Exit(1) from error
    console.say(f"{name}: metrics on http://{config.metrics_host}:{port}/metrics")
