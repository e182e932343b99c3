"""Ports of the stack: chosen once a home, outside the range of outgoing connections, and checked before each start."""

import hashlib
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.error import PortTakenError, StackError

# Below the range that Linux, macOS and Windows hand to outgoing connections, so that a port that is remembered while
# the stack is down is not lost to somebody's client connection.
FIRST, LAST = 20_000, 32_000
LOCALHOST = "127.0.0.1"
RELEASE_S = 5.0


def free_ports(home: Path, names: Iterable[str], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Returns the known ports, and a free one for each other name.

    The search starts at a place derived from home and name: two stacks that choose at the same moment do not meet.
    Raises StackError when all ports of the range are taken.
    """
    ports = dict(known or {})
    for name in names:
        if name not in ports:
            ports[name] = _free_port(home, name, ports.values())
    return ports


def _free_port(home: Path, name: str, taken: Collection[int]) -> int:
    digest = hashlib.sha256(f"{home.resolve()}\0{name}".encode()).digest()
    start = int.from_bytes(digest[:4], "big") % (LAST - FIRST)
    for step in range(LAST - FIRST):
        port = FIRST + (start + step) % (LAST - FIRST)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port between {FIRST} and {LAST} for {name}: stop what holds them")


def is_free(port: int) -> bool:
    """Says whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # As servers do: connections of the last run that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_free(port: int, service: str, memory: Path) -> None:
    """Raises PortTakenError, naming port, service, mend and (where it can be seen) holder, unless `port` is free.

    A process that was just killed holds its port until the kernel has taken it apart: that is waited for.
    """
    deadline = time.monotonic() + RELEASE_S
    holder = None
    while not is_free(port):
        holder = _holder(port)
        if holder is not None or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    else:
        return
    raise PortTakenError(
        f"port {port}, which {service} used before, is taken by {holder or 'another process'}: stop that process, "
        f"or delete {memory} so that `hcp up` chooses new ports",
        port=port,
        service=service,
    )


def _holder(port: int) -> str | None:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                with suppress(psutil.Error):
                    return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return None
