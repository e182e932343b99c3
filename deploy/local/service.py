"""What a service of the stack is: one declarative entry, and the site (folders and ports) that its functions get."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.part import Part


class NotReadyError(Exception):
    """The service does not answer yet, or not as a ready one does."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one service lives: its folder below the home, its program's folder, and the ports of the stack by name."""

    home: Path
    part: Path
    ports: Mapping[str, int]

    @property
    def data(self) -> Path:
        """What survives a restart."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The service's output."""
        return self.home / "log" / f"{self.home.name}.log"

    @property
    def scratch(self) -> Path:
        """Temporary files: native libraries that Java unpacks, and the like."""
        return self.home / "tmp"

    @property
    def record(self) -> Path:
        """Which process serves, for other commands."""
        return self.home / "process.json"


def _nothing(_site: Site) -> None:
    """Does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. Functions get the `Site`; they block, and are called from a thread of their own.

    `prepare` makes configuration and an empty data folder (idempotent, before each start); `argv` is what is run;
    `ready` asks as a client would and raises NotReadyError; `provision` makes what clients need in a service that is
    ready (idempotent, after each start).
    """

    name: str
    title: str
    ports: tuple[str, ...]  # the first is where clients go
    environment: Mapping[str, str]  # HCP_* names and their values, with {port name} to be filled in
    argv: Callable[[Site], Sequence[str]]
    ready: Callable[[Site], None]
    part: Part | None = None  # None: the program comes as a wheel
    is_optional: bool = False  # skipped with a line where its part cannot be had
    is_extra: bool = False  # not in a home until it is asked for by its name
    prepare: Callable[[Site], None] = _nothing
    provision: Callable[[Site], None] = _nothing
    process_environment: Mapping[str, str] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()  # pid files in `data` that a killed server leaves and a new one may mistake
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit_s: float = 30
    ready_limit_s: float = 90

    @property
    def port(self) -> str:
        """Name of the port that clients use."""
        return self.ports[0]

    def settings(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Returns the HCP_* settings of a client of this service."""
        return {name: value.format_map(ports) for name, value in self.environment.items()}
