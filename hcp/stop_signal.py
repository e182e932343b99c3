"""How a command that runs in the foreground is asked to stop."""

import signal
import threading
from types import FrameType


def stop_event() -> threading.Event:
    """Returns an event that SIGTERM and Ctrl-C set from now on. Main thread only."""
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    return stop
