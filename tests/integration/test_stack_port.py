"""Ports: free, stable, outside the range of outgoing connections, and a clear word when one is taken."""

import os
import socket
from pathlib import Path

import pytest

from deploy.local.error import PortTakenError
from deploy.local.port import FIRST, LAST, free_ports, is_free, require_free


def test_home_gets_the_same_free_port_for_the_same_service(tmp_path: Path) -> None:
    ports = free_ports(tmp_path, ["kafka"])
    assert FIRST <= ports["kafka"] < LAST
    assert free_ports(tmp_path, ["kafka"]) == ports


def test_port_that_is_promised_to_another_service_is_not_chosen(tmp_path: Path) -> None:
    port = free_ports(tmp_path, ["kafka"])["kafka"]
    ports = free_ports(tmp_path, ["kafka"], {"registry": port})
    assert ports["registry"] == port
    assert ports["kafka"] != port


def test_taken_port_is_told_with_service_holder_and_mend(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortTakenError) as caught:
            require_free(port, "kafka", tmp_path / "stack.json")
    assert (caught.value.port, caught.value.service) == (port, "kafka")
    message = str(caught.value)
    for word in (f"port {port}", "kafka", f"process {os.getpid()}", "stop that process", "stack.json"):
        assert word in message


def test_port_of_a_process_that_is_being_taken_apart_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process that still holds its port is nobody that could be named; then it lets go.
    with socket.create_server(("127.0.0.1", 0)) as dying:
        monkeypatch.setattr("deploy.local.port._holder", lambda _: dying.close())
        require_free(dying.getsockname()[1], "kafka", tmp_path / "stack.json")
        assert dying.fileno() == -1
