"""What miners say over the cgminer API, as one reading: pure, from the answers to the commands of each firmware.

Firmwares differ in names and units: GH/s or MH/s, one fan a field or a list, power in the summary, in a command of its
own or not at all. BOSminer's names are those of Braiins' manual of its API; the others' are those of recorded answers.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schemas.events import PowerMode
from simulators.bridge.error import BridgeError


class Firmware(StrEnum):
    """Who answers, as its `version` says."""

    STOCK = "BMMiner"
    LUXOS = "LUXminer"
    BRAIINS = "BOSminer"
    SEALMINER = "BDMiner"
    WHATSMINER = "other"


COMMANDS: Mapping[Firmware, tuple[str, ...]] = {
    Firmware.STOCK: ("summary", "stats"),
    Firmware.LUXOS: ("summary", "stats", "power", "config"),
    Firmware.BRAIINS: ("summary", "temps", "fans", "tunerstatus"),
    Firmware.SEALMINER: ("summary", "stats"),
    Firmware.WHATSMINER: ("summary", "devs"),
}
"""What each is asked for a reading."""

_RATES = (("MHS 1m", 1e6), ("GHS 1m", 1e3), ("HS RT", 1e6), ("GHS 5s", 1e3), ("MHS 5s", 1e6), ("MHS av", 1e6))
# Fields of a summary and their units in one TH/s, the mean over a minute before shorter and longer ones.
_MODES = {"low": PowerMode.ECO, "normal": PowerMode.NORMAL, "high": PowerMode.TURBO}


class MinerAnswerError(BridgeError):
    """An answer can't be read, or lacks a figure; the message names it."""


@dataclass(frozen=True, slots=True)
class MinerReading:
    """One miner now. `power_w` is None where the firmware does not say it; `power_mode` too.

    `boards_hashing` is -1, `pool_rejected_ratio` and `uptime_s` are 0 where it does not.
    """

    hashrate_ths: float
    power_w: float | None
    temp_c: float
    fan_rpm: int
    power_mode: PowerMode | None
    boards_hashing: int
    pool_rejected_ratio: float
    uptime_s: int


def parsed(content: bytes) -> dict[str, Any]:
    """Returns an answer as JSON. Raises MinerAnswerError where it is none, or an error of the miner."""
    text = content.rstrip(b"\0 \r\n").decode(errors="replace")
    try:
        # Older stock firmware leaves out the comma between the members of a list.
        answer = json.loads(re.sub(r"\}\s*\{", "},{", text))
    except (ValueError, RecursionError) as error:
        raise MinerAnswerError(f"not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise MinerAnswerError(f"expected a JSON object, got {type(answer).__name__}")
    for status in _records(answer, "STATUS"):
        if status.get("STATUS") in {"E", "F"}:
            raise MinerAnswerError(f"the miner refuses: {status.get('Msg')}")
    return answer


def firmware(version: Mapping[str, Any]) -> Firmware:
    """Returns who answered `version`; Whatsminers answer it in many ways, or not."""
    names = {name for record in _records(version, "VERSION") for name in record}
    if names & {"BOSminer+", "BOSer"}:
        return Firmware.BRAIINS
    return next((known for known in Firmware if known in names), Firmware.WHATSMINER)


def reading(answers: Mapping[str, Mapping[str, Any]]) -> MinerReading:
    """Returns the reading in the answers by command. Raises MinerAnswerError, which names what is missing."""
    summary = _first(_records(answers.get("summary"), "SUMMARY"))
    stats = [record for record in _records(answers.get("stats"), "STATS") if "Elapsed" in record]
    board = stats[0] if stats else {}
    tuner = _first(_records(answers.get("tunerstatus"), "TUNERSTATUS"))
    config = _first(_records(answers.get("config"), "CONFIG"))
    power = _first(_records(answers.get("power"), "POWER"))
    fans = [*_fans(summary, board), *_numbers(record.get("RPM") for record in _records(answers.get("fans"), "FANS"))]
    return MinerReading(
        hashrate_ths=_hashrate_ths(summary),
        power_w=_first_number(
            summary.get("Power_RT"),
            summary.get("Power"),
            power.get("Watts"),
            tuner.get("ApproximateMinerPowerConsumption"),
            board.get("PSU Input Power"),
        ),
        temp_c=_hottest(
            _board_temperatures(board),
            _numbers(record.get("Temperature") for record in _records(answers.get("devs"), "DEVS")),
            _numbers(record.get("Board") for record in _records(answers.get("temps"), "TEMPS")),
        ),
        fan_rpm=round(sum(fans) / len(fans)) if fans else 0,
        power_mode=_mode(summary, board, config),
        boards_hashing=_boards_hashing(board, _records(answers.get("devs"), "DEVS")),
        pool_rejected_ratio=_rejected_ratio(summary),
        uptime_s=int(max(_first_number(summary.get("Elapsed"), board.get("Elapsed")) or 0.0, 0.0)),
    )


def _hashrate_ths(summary: Mapping[str, Any]) -> float:
    for name, unit in _RATES:
        value = _number(summary.get(name))
        if value is not None:
            return value / unit
    raise MinerAnswerError(f"summary has no hashrate: none of {', '.join(name for name, _ in _RATES)}")


def _board_temperatures(board: Mapping[str, Any]) -> Iterator[float]:
    for name, value in board.items():
        # Four sensors a board, joined: "73-45-64-65"; on Sealminers each has a field.
        if re.fullmatch(r"temp_pcb\d+", name):
            yield from _numbers(str(value).split("-"))
        elif re.fullmatch(r"\d+ Temp \d+", name):
            yield from _numbers([value])


def _fans(summary: Mapping[str, Any], board: Mapping[str, Any]) -> Sequence[float]:
    found = [summary.get("Fan Speed In"), summary.get("Fan Speed Out")]
    found += [value for name, value in board.items() if re.fullmatch(r"fan\d+|\d+ Speed", name)]
    # A place without a fan says zero; so does a fan that stands.
    return [value for value in _numbers(found) if value]


def _hottest(*sensors: Iterable[float]) -> float:
    for temperatures in sensors:
        # Zero is said for a board that is not there.
        if found := [value for value in temperatures if value]:
            return max(found)
    raise MinerAnswerError("no board says its temperature")


def _boards_hashing(board: Mapping[str, Any], devices: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many boards have chips and a hashrate: chains of Antminers, boards of Sealminers and Whatsminers."""
    chips = {name.removeprefix("chain_acn"): value for name, value in board.items() if name.startswith("chain_acn")}
    if chips:
        # Older firmware does not say the hashrate of each; a place without a board says an empty one.
        return sum(bool(_number(n) and _number(board.get(f"chain_rate{place}", n))) for place, n in chips.items())
    rates = [value for name, value in board.items() if re.fullmatch(r"\d+ MHS\(Sample\)", name)]
    rates += [record.get("MHS 1m", record.get("MHS av")) for record in devices]
    return sum(bool(_number(rate)) for rate in rates) if rates else -1


def _rejected_ratio(summary: Mapping[str, Any]) -> float:
    """Returns the rejected share of the work sent, by difficulty where it is said: a recorded percentage is 0."""
    accepted, rejected = (_number(summary.get(f"Difficulty {what}")) for what in ("Accepted", "Rejected"))
    if accepted is not None and rejected is not None and accepted + rejected > 0:
        ratio = rejected / (accepted + rejected)
    else:
        ratio = (_number(summary.get("Pool Rejected%")) or 0.0) / 100
    return min(max(ratio, 0.0), 1.0)


def _mode(summary: Mapping[str, Any], board: Mapping[str, Any], config: Mapping[str, Any]) -> PowerMode | None:
    if config.get("IsPowerSupplyOn") is False:
        return PowerMode.OFF
    step = _number(config.get("ProfileStep"))
    if step is not None:
        # LuxOS counts its profiles from the maker's own.
        return PowerMode.NORMAL if step == 0 else PowerMode.TURBO if step > 0 else PowerMode.ECO
    return _MODES.get(str(summary.get("Power Mode", board.get("Mining Mode"))).lower())


def _records(answer: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    found = (answer or {}).get(name)
    return [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []


def _first(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return records[0] if records else {}


def _first_number(*values: Any) -> float | None:
    return next(iter(_numbers(values)), None)


def _numbers(values: Iterable[Any]) -> list[float]:
    return [number for value in values if (number := _number(value)) is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
