"""What is seen of the stack: per service and as a whole."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """How a service is."""

    UP = "up"  # runs and answers
    BUSY = "busy"  # runs, does not answer (yet)
    DOWN = "down"  # does not run, but did
    ABSENT = "absent"  # was never started in this home
    SKIPPED = "skipped"  # optional, and its program cannot be had here


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service as it was seen. Memory is resident, of the process and its children."""

    name: str
    title: str
    state: State
    port: int | None
    pid: int | None
    memory_bytes: int
    uptime_s: float | None
    url: str | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StackState:
    """The stack as it was seen; `environment` has the HCP_* settings of clients of the services that are up."""

    home: Path
    services: tuple[ServiceState, ...]
    environment: dict[str, str]

    @property
    def is_up(self) -> bool:
        """Says whether every service that can run here answers."""
        return all(service.state in {State.UP, State.SKIPPED} for service in self.services)
