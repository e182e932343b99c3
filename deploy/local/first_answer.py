"""Waiting for a service that has been started."""

import time

from deploy.local.process import Process
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site

POLL_S = 0.1


def await_answer(service: Service, site: Site, running: Process, progress: Progress) -> str | None:
    """Waits for the first good answer, then provisions; returns what went wrong, None where nothing did."""
    deadline = time.monotonic() + service.ready_limit_s
    while True:
        try:
            service.ready(site)
            service.provision(site)
        except NotReadyError as error:
            reason = str(error)
        else:
            return None
        if not running.is_alive:
            return "died while it started"
        if time.monotonic() > deadline:
            return f"did not answer within {service.ready_limit_s:.0f} s ({reason})"
        progress.wait(POLL_S)
