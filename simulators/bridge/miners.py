"""Miners as telemetry.asic, over the cgminer API: a JSON command a connection, and an answer that ends with NUL."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from schemas.catalog import topic
from schemas.events import PowerMode
from simulators.bridge.miner_answer import COMMANDS, Firmware, MinerAnswerError, firmware, parsed, reading
from simulators.bridge.poll import Event, Source, UnreadableError
from simulators.bridge.source_list import Miner

WORKER = "bridge-miners"
ASIC = topic("telemetry.asic")

_ANSWER_BYTES = 400_000
_CHUNK = 65_536


def source(miner: Miner) -> Source:
    """Returns a miner as a source of the poller."""
    return Source(miner.device_id, ASIC, _Asked(miner).read)


class _Asked:
    """A miner, and the firmware that it was seen to run."""

    def __init__(self, miner: Miner) -> None:
        self._miner = miner
        self._firmware: Firmware | None = None

    async def read(self, at: datetime) -> tuple[bytes, Sequence[Event]]:
        """Returns all that it answered, a line a command, and its reading."""
        said: list[bytes] = []
        answers = {}
        try:
            if self._firmware is None:
                self._firmware = await self._version()
            for command in COMMANDS[self._firmware]:
                said.append(await self._answer(command))
                answers[command] = parsed(said[-1])
            event = self._event(answers, at)
        except MinerAnswerError as error:
            # It may have got another firmware since.
            self._firmware = None
            raise UnreadableError(b"\n".join(said), str(error)) from error
        return b"\n".join(said), [event]

    async def _version(self) -> Firmware:
        said = await self._answer("version")
        # A firmware that refuses the command says so by that.
        with suppress(MinerAnswerError):
            return firmware(parsed(said))
        return Firmware.WHATSMINER

    def _event(self, answers: dict[str, dict[str, object]], at: datetime) -> Event:
        found = reading(answers)
        power_w = found.power_w
        if power_w is None:
            if self._miner.joule_per_th is None:
                raise MinerAnswerError("this firmware does not say its power: give the miner a joule_per_th")
            power_w = found.hashrate_ths * self._miner.joule_per_th
        return {
            "device_id": self._miner.device_id,
            "facility_id": self._miner.facility_id,
            "resource_group_id": self._miner.resource_group_id,
            "observed_at": at.isoformat(timespec="milliseconds"),
            "power_mode": found.power_mode or PowerMode.NORMAL,
            "power_w": power_w,
            "hashrate_ths": found.hashrate_ths,
            "temp_c": found.temp_c,
            "fan_rpm": found.fan_rpm,
            "boards_hashing": found.boards_hashing,
            "pool_rejected_ratio": found.pool_rejected_ratio,
            "uptime_s": found.uptime_s,
        }

    async def _answer(self, command: str) -> bytes:
        reader, writer = await asyncio.open_connection(self._miner.host, self._miner.port)
        try:
            writer.write(json.dumps({"command": command}).encode())
            await writer.drain()
            said = bytearray()
            while len(said) <= _ANSWER_BYTES and not said.endswith(b"\0"):
                chunk = await reader.read(_CHUNK)
                if not chunk:
                    break
                said += chunk
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        if len(said) > _ANSWER_BYTES:
            raise UnreadableError(bytes(said[:_ANSWER_BYTES]), f"{command}: an answer of over {_ANSWER_BYTES} bytes")
        return bytes(said)
