"""The command line: `hcp VERB …`. Expected failures end with one line and an exit code, without a traceback.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the stack is not (wholly) up, 4 a database is not as declared
(`projections plan --exit-code`), 130 interrupted.
"""

import os
import sys
from typing import ClassVar

import typer

from hcp import console
from hcp.lazy_group import LazyGroup

# By name, as the modules that define them are imported with the command that may raise them.
EXPECTED = frozenset(
    {
        "deploy.local.error.StackError",
        "hcp.backtest.error.BacktestError",
        "hcp.calibration.error.CalibrationError",
        "hcp.commands.database.DatabaseError",
        "hcp.event_log.LogError",
        "hcp.history_mapping.HistoryError",
        "hcp.outbox.ProduceError",
        "hcp.settings.SettingsError",
        "hcp.worker_process.WorkerError",
        "projections.error.ProjectionError",
        "schemas.catalog.UnknownTopicError",
        "schemas.codec.CodecError",
        "schemas.log_position.LostLogError",
        "schemas.provision.ProvisionError",
        "schemas.registry.RegistryError",
        "simulators.error.SimulatorError",
        "streams.domain.whatif.WhatIfError",
    }
)


class _Commands(LazyGroup):
    places: ClassVar[dict[str, str]] = {
        "schemas": "hcp.commands.schema:app",
        "up": "hcp.commands.stack:up",
        "down": "hcp.commands.stack:down",
        "status": "hcp.commands.stack:status",
        "logs": "hcp.commands.stack:logs",
        "explain": "hcp.commands.decision:explain",
        "backtest": "hcp.commands.backtest:backtest",
        "whatif": "hcp.commands.decision:whatif",
        "simulate": "hcp.commands.simulate:simulate",
        "produce": "hcp.commands.event:produce",
        "replay": "hcp.commands.replay:replay",
        "bridge": "hcp.commands.bridge:app",
        "tail": "hcp.commands.event:tail",
        "dead": "hcp.commands.dead:app",
        "worker": "hcp.commands.worker:worker",
        "demo": "hcp.commands.demo:demo",
        "migrate": "hcp.commands.database:migrate",
        "projections": "hcp.commands.projection:app",
        "rebuild": "hcp.commands.rebuild:rebuild",
        "query": "hcp.commands.database:query",
        "psql": "hcp.commands.database:psql",
        "backup": "hcp.commands.database:backup",
        "archive": "hcp.commands.archive:app",
        "state": "hcp.commands.state:state",
    }


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def _hcp() -> None:
    pass


def main() -> None:
    """Runs the command and turns expected failures into a line and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HCP_TRACEBACK") or not is_expected(error):
            raise
        console.fail(_chain(error))
        sys.exit(1)


def is_expected(error: Exception) -> bool:
    """Whether the message of this error is all that the user needs."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in EXPECTED for kind in type(error).__mro__)


def _chain(error: BaseException) -> str:
    causes = [str(error)]
    while (error.__cause__) is not None:
        error = error.__cause__
        if str(error) and str(error) not in causes[-1]:
            causes.append(str(error))
    return ": caused by ".join(causes)
