"""A registry that hangs up on a question is asked again."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from schemas import registry
from schemas.catalog import topic
from schemas.registry import Registry


class HangsUp(HTTPServer):
    """Stands for a registry that closes its first connections without an answer, then finds all compatible."""

    left = 0


class Handler(BaseHTTPRequestHandler):
    server: HangsUp

    def handle_one_request(self) -> None:
        if self.server.left:
            self.rfile.readline()
            self.server.left -= 1
            self.close_connection = True
            return
        super().handle_one_request()

    def do_POST(self) -> None:
        body = b'{"is_compatible": true}'
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangsUp]:
    monkeypatch.setattr(registry, "_AGAIN_S", (0.0, 0.0))
    with HangsUp(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def asked(server: HangsUp) -> Iterator[Registry]:
    found = Registry(f"http://127.0.0.1:{server.server_port}")
    yield found
    found.close()


# Its client has retries of its own; the question for reasons is one that the client does not know.
def test_it_is_asked_again(server: HangsUp, asked: Registry) -> None:
    server.left = 2
    assert asked._compatibility(topic("grid.prices")) == {"is_compatible": True}
    assert server.left == 0


def test_one_that_always_hangs_up_is_given_up(server: HangsUp, asked: Registry) -> None:
    server.left = 3
    with pytest.raises(ConnectionError):
        asked._compatibility(topic("grid.prices"))
