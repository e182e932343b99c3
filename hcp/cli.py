"""The command line: `hcp VERB …`. Expected failures end with one line and an exit code, without a traceback.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the stack is not (wholly) up, 130 interrupted.
"""

import os
import sys

import typer

from deploy.local.error import StackError
from hcp import console
from hcp.commands import database, decision, demo, event, schema, simulate, stack, worker
from hcp.event_log import LogError
from hcp.settings import SettingsError
from hcp.worker_process import WorkerError
from projections.error import ProjectionError
from schemas.catalog import UnknownTopicError
from schemas.codec import CodecError
from schemas.provision import ProvisionError
from schemas.registry import RegistryError
from simulators.error import SimulatorError

EXPECTED: tuple[type[Exception], ...] = (
    SettingsError,
    RegistryError,
    ProvisionError,
    UnknownTopicError,
    CodecError,
    StackError,
    SimulatorError,
    event.ProduceError,
    LogError,
    ProjectionError,
    database.DatabaseError,
    WorkerError,
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True, help=__doc__)
app.add_typer(schema.app, name="schemas")
for verb in (stack.up, stack.down, stack.status, stack.logs):
    app.command()(verb)
app.command()(decision.explain)
app.command()(simulate.simulate)
app.command()(event.produce)
app.command()(event.tail)
app.command()(worker.worker)
app.command()(demo.demo)
app.command()(database.migrate)
app.command()(database.query)
app.command()(database.psql)
app.command()(database.backup)


def main() -> None:
    """Runs the command and turns expected failures into a line and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except EXPECTED as error:
        if os.environ.get("HCP_TRACEBACK"):
            raise
        console.fail(_chain(error))
        sys.exit(1)


def _chain(error: BaseException) -> str:
    causes = [str(error)]
    while (error.__cause__) is not None:
        error = error.__cause__
        if str(error) and str(error) not in causes[-1]:
            causes.append(str(error))
    return ": caused by ".join(causes)
