"""The trial start of a service when its part is fetched, for what all later starts can take from it."""

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.local import process
from deploy.local.first_answer import await_answer
from deploy.local.port import free_ports
from deploy.local.progress import Progress
from deploy.local.service import Service, Site

STOP_LIMIT_S = 120


def trial_start(
    service: Service, part: Path, progress: Progress, afterwards: Callable[[Site], None], *options: str
) -> None:
    """Starts the service of a whole part, in a home that is deleted at the end; `options` follow its program.

    `afterwards` is called where it came up, was provisioned and has ended by itself. Where it did not, it will say why
    when it is needed.
    """
    progress.say(f"{service.name}: a trial start, which makes later ones faster")
    with tempfile.TemporaryDirectory(prefix=f"{service.name}-trial-", ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve() / service.name
        site = Site(home, part, free_ports(home, service.ports))
        for needed in (site.home, site.log.parent, site.scratch):
            needed.mkdir()
        service.prepare(site)
        program, *arguments = service.argv(site)
        environment = {"TMPDIR": str(site.scratch), **service.process_environment}
        running = process.spawn([program, *options, *arguments], directory=home, log=site.log, environment=environment)
        is_up = False
        try:
            is_up = await_answer(service, site, running, progress) is None
        finally:
            is_ended = running.stop(signal.SIGTERM, STOP_LIMIT_S)
        if is_up and is_ended:
            afterwards(site)
