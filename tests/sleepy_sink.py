"""A sink whose process falls asleep (SIGSTOP) once, around a transaction: before it, or inside it with rows written.

Which is in HCP_TEST_SLEEP (`before`, `inside`), with the file whose existence is the signal to fall asleep behind it.
"""

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from projections.sink import Rows, Step
from projections.sinks import postgres
from projections.sinks.postgres import PostgresSink
from schemas.message_block import Place

SETTING = "HCP_TEST_SLEEP"
_STOPS_WITHIN_S = 2.0


class SleepySink(PostgresSink):
    """Falls asleep as the setting says."""

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink."""
        moment, _, file = os.environ[SETTING].partition(":")
        if moment == "before":
            _sleep(Path(file))
        return super().apply(rows, steps)


def opened(dsn: str, worker: str) -> PostgresSink:
    """Returns the sink of a worker, a sleepy one where the setting says so."""
    moment, _, file = os.environ.get(SETTING, "").partition(":")
    if moment == "inside":
        write: Any = getattr(postgres, "write")  # noqa: B009 - the name is the module's own import

        def write_and_sleep(*arguments: Any, **more: Any) -> int:
            written: int = write(*arguments, **more)
            _sleep(Path(file))
            return written

        setattr(postgres, "write", write_and_sleep)  # noqa: B010 - as above
        os.environ[SETTING] = ""
    return SleepySink(dsn, worker) if moment == "before" else PostgresSink(dsn, worker)


def _sleep(file: Path) -> None:
    if file.exists():
        file.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
        # A process does not stop at once: without this, the thread could go on for long enough to commit. Its clock
        # goes on while it is stopped, so it does not wait again when it wakes up.
        threading.Event().wait(_STOPS_WITHIN_S)
