"""Serves the pages over HTTP: GET /metrics, of a facility, a group or a node where the query names one."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from simulators.exporter import gpu_page, miner_page
from simulators.exporter.exposition import CONTENT_TYPE
from simulators.exporter.newest import Newest
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC

PATH = "/metrics"
_FILTERS = {"facility": pl.col("facility_id"), "group": pl.col("resource_group_id"), "host": gpu_page.HOST}


class UnknownFilterError(ValueError):
    """A query names what pages are not filtered by; the message says what they are."""


def page(newest: Newest, query: str = "") -> str:
    """Returns the devices that a query such as facility=Texas-1 names: all without one. Miners are in no `host`.

    Raises UnknownFilterError.
    """
    asked = parse_qsl(query, keep_blank_values=True)
    unknown = sorted({name for name, _ in asked} - _FILTERS.keys())
    if unknown:
        raise UnknownFilterError(f"unknown filter {unknown[0]!r}: there are {', '.join(_FILTERS)}")
    gpus, miners = newest.frame(GPU_TOPIC), newest.frame(ASIC_TOPIC)
    for name, value in asked:
        gpus = gpus.filter(_FILTERS[name] == value) if gpus.height else gpus
        miners = miners.filter(pl.lit(name != "host") & (_FILTERS[name] == value)) if miners.height else miners
    return gpu_page.page(gpus) + miner_page.page(miners)


def serve(newest: Newest, host: str, port: int) -> int:
    """Serves the pages in a thread of their own until the process ends; returns the port (0 takes a free one).

    Raises OSError where the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = urlsplit(self.path)
            if found.path != PATH:
                self._answer(HTTPStatus.NOT_FOUND, f"there is {PATH}\n")
                return
            try:
                text = page(newest, found.query)
            except UnknownFilterError as error:
                self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
                return
            self._answer(HTTPStatus.OK, text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Says nothing: a scrape every few seconds is no news."""

        def _answer(self, status: HTTPStatus, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="exporter", daemon=True).start()
    return int(server.server_port)
