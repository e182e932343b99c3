"""One statement on a database of the stack, with a limit on everything: connection, and answer."""

import socket
import threading
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from deploy.local.port import LOCALHOST
from deploy.local.service import NotReadyError

CONNECT_LIMIT_S = 5
ANSWER_LIMIT_S = 20


def execute(
    port: int,
    statement: LiteralString | sql.Composed,
    *,
    user: str = "mara",
    password: str = "mara",  # noqa: S107 - the documented password of the development stack
    database: str,
    limit_s: float = ANSWER_LIMIT_S,
) -> list[tuple[Any, ...]]:
    """Runs a statement in autocommit and returns its rows. Raises NotReadyError."""
    try:
        with psycopg.connect(
            host=LOCALHOST,
            port=port,
            user=user,
            password=password,
            dbname=database,
            connect_timeout=CONNECT_LIMIT_S,
            autocommit=True,
        ) as connection:
            # The WASM server can neither cancel nor time out a statement; only cutting the line ends the wait.
            line = socket.socket(fileno=socket.dup(connection.fileno()))
            timer = threading.Timer(limit_s, _cut, [line])
            timer.start()
            try:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
            finally:
                timer.cancel()
                line.close()
    except (psycopg.Error, OSError) as error:
        raise NotReadyError(f"{database} on port {port}: {error}") from error


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
