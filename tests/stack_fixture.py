"""The one `stack` of a test session: containers where a Docker engine answers, else processes in a temporary home.

HCP_TEST_STACK=embedded|docker decides by hand. The programs of the embedded stack come from HCP_PARTS_DIR, else from
`.hcp/parts` of this clone, where `hcp up` keeps them too.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from deploy.local.error import StackError
from deploy.local.part import Part
from deploy.local.progress import Progress
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from tests.running_stack import RunningStack

REPOSITORY = Path(__file__).parent.parent


class EmbeddedStack(RunningStack):
    """The stack that `hcp up` starts, in a home of its own."""

    def __init__(self, home: Path, parts: Path) -> None:
        self.home = home
        self.stack = Stack(home, parts)
        self._environment: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The HCP_* settings of a client."""
        return {"HCP_HOME": str(self.home), "HCP_PARTS_DIR": str(self.stack.parts), **self._environment}

    def kill(self, name: str) -> None:
        """Ends a service with SIGKILL and waits until it is gone."""
        self.stack.kill(name)

    def up(self) -> None:
        """Starts what does not run and waits until it answers."""
        self._environment = self.stack.up().environment


def discard(stack: Stack, *, wipe: bool = True) -> None:
    """Ends a stack of which nothing is read again: Kafka would write all its partitions to the disk first."""
    with suppress(StackError):
        stack.kill("kafka")
    stack.down(wipe=wipe)


def parts_directory() -> Path:
    """Returns where the programs of the embedded stack are kept between sessions."""
    return Path(os.environ.get("HCP_PARTS_DIR") or REPOSITORY / ".hcp" / "parts").absolute()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Starts to fetch the programs, so that the first tests run meanwhile; who needs one waits for it."""
    marked = any(item.get_closest_marker(name) for item in session.items for name in ("integration", "chaos"))
    if not marked or session.config.option.collectonly:
        return
    for service in SERVICES:
        if service.part is not None:
            threading.Thread(target=_fetch, args=(service.part,), daemon=True).start()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """All services, up. Shared by the session: topics are named by `topic_name`, and after a `kill` comes an `up`."""
    home = tmp_path_factory.mktemp("stack")
    if _wants_containers():
        from tests.container_stack import ContainerStack

        containers = ContainerStack(home)
        try:
            containers.up()
            yield containers
        finally:
            containers.down()
        return
    embedded = EmbeddedStack(home, parts_directory())
    try:
        embedded.up()
        yield embedded
    finally:
        # Logs and data of a failed session stay for the reader.
        discard(embedded.stack, wipe=not request.session.testsfailed)


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Returns a function that makes topic names which no other test of the session uses, the same in every run."""
    test = sha256(request.node.nodeid.encode()).hexdigest()[:10]
    numbers = count()

    def name(stem: str = "topic") -> str:
        return f"{stem}.{test}.{next(numbers)}"

    return name


def _wants_containers() -> bool:
    choice = os.environ.get("HCP_TEST_STACK", "")
    if choice:
        return choice == "docker"
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _fetch(part: Part) -> None:
    # The stack that needs it tries again, and says what is wrong.
    with suppress(StackError):
        part.provide(parts_directory(), Progress())
