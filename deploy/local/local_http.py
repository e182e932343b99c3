"""One request to a server on this machine; no proxy is ever asked."""

import http.client

from deploy.local.port import LOCALHOST
from deploy.local.service import NotReadyError

TIMEOUT_S = 5


def answer(port: int, path: str, *, method: str = "GET", body: str | None = None) -> str:
    """Returns the body of a 200 answer. Raises NotReadyError for everything else."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"{method} {path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise NotReadyError(f"{method} {path}: HTTP {response.status} {text[:200]}")
    return text
