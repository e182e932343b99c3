"""What breaks in a fleet of miners, and what is left of each device: boards, chips, fans, the whole, and its firmware.

Rates are assumed but for their sources. About 5 % of the devices of a good series fail for good a year, 20 to 30 % of a
bad one (S. Mow of Blockstream, 2020), and repairs take weeks; by 10 % and four weeks 0.8 % of a fleet lack a board.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.episode import NONE, Episodes, Law, Spells
from simulators.noise import Noise
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

BOARDS = 3
"""Hash boards of a device: of every model that is simulated."""

DOWN = Law(75 * DAY_MS, (30 * MINUTE_MS, 210 * MINUTE_MS), 6 * HOUR_MS)
"""The whole device, as by its supply or its network, until somebody comes: 0.1 % of a fleet at any time."""
BOARD = Law(3650 * DAY_MS, (14 * DAY_MS, 42 * DAY_MS), 64 * DAY_MS)
"""A hash board, until it comes back from repair."""
CHIPS = Law(1461 * DAY_MS, (30 * DAY_MS, 60 * DAY_MS), 64 * DAY_MS)
"""Chips of a board, until somebody notices: 3 % of a fleet."""
FAN = Law(2922 * DAY_MS, (1 * DAY_MS, 7 * DAY_MS), 8 * DAY_MS)
"""One fan, until it is changed. The firmware is one that hashes on without it, as others than the maker's can."""
STALL = Law(30 * DAY_MS, (2 * MINUTE_MS, 15 * MINUTE_MS), 6 * HOUR_MS)
"""The firmware answers with its last values, until a watchdog starts it anew."""

_SECOND_BOARD = 0.05
_CHIP_LOSS = (0.01, 0.06)
# Chips that do not hash are clocked still.
_POWER_OF_LOST_CHIPS = 0.1
# Control board and fans, which go on without a board.
_COMMON_POWER = 0.04


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of devices at an instant: `stopped` went down; `restarted` run anew since `restarted_ms`."""

    stopped: Rows
    restarted: Rows
    restarted_ms: Rows


class Faults:
    """The faults of a fleet, and as arrays of shape (devices,) what they leave of each device.

    `power` (over standby) and `hashrate` are shares of those of a device without a fault, 0 where it is down; `boards`
    counts the boards that can hash, `fans` is the share of the fans that turn. `fans_of` has each device's number of
    fans.
    """

    def __init__(self, fans_of: Rows, seed: int) -> None:
        size = len(fans_of)
        self._fans_of = fans_of
        laws = {"down": DOWN, "board": BOARD, "chips": CHIPS, "fan": FAN, "stall": STALL}
        self._episodes = {name: Episodes(Noise(seed, f"asic/fault/{name}"), size, law) for name, law in laws.items()}
        self._holding = dict.fromkeys(laws, NONE)
        self._lost_boards = np.zeros(size, np.int8)
        self._lost_chips = np.zeros(size)
        self.is_down = np.zeros(size, np.bool_)
        self.boards = np.full(size, BOARDS, np.int8)
        self.power = np.ones(size)
        self.hashrate = np.ones(size)
        self.fans = np.ones(size)

    @property
    def stalled(self) -> Spells:
        """Devices whose firmware hangs."""
        return self._holding["stall"]

    def last_restart_ms(self, at_ms: int) -> Rows:
        """Returns when each device was last down or stalled, as far as that is known at a time; else 0."""
        found = np.zeros(len(self.power), np.int64)
        for name in ("down", "stall"):
            over = self._episodes[name].over(at_ms)
            np.maximum.at(found, over.member, over.until_ms)
        return found

    def advance(self, at_ms: int) -> Turn:
        """Goes to a time and returns what has changed since the one before."""
        before = self._holding
        now = {name: episodes.at(at_ms) for name, episodes in self._episodes.items()}
        self._holding = now
        changed = [name for name in now if now[name] is not before[name]]
        for name in changed:
            self._mark(name, before[name], now[name])
        if any(name != "stall" for name in changed):
            touched = [spells.member for name in changed for spells in (before[name], now[name])]
            self._refresh(np.concatenate(touched))
        back = [before[name].without(now[name]) for name in ("down", "stall") if name in changed] or [NONE]
        return Turn(
            stopped=now["down"].without(before["down"]).member if "down" in changed else NONE.member,
            restarted=np.concatenate([spells.member for spells in back]),
            restarted_ms=np.concatenate([spells.until_ms for spells in back]),
        )

    def _mark(self, name: str, before: Spells, now: Spells) -> None:
        match name:
            case "down":
                self.is_down[before.member] = False
                self.is_down[now.member] = True
            case "board":
                self._lost_boards[before.member] = 0
                self._lost_boards[now.member] = np.where(now.draw < _SECOND_BOARD, 2, 1)
            case "chips":
                self._lost_chips[before.member] = 0.0
                self._lost_chips[now.member] = _CHIP_LOSS[0] + now.draw * (_CHIP_LOSS[1] - _CHIP_LOSS[0])
            case "fan":
                self.fans[before.member] = 1.0
                self.fans[now.member] = 1 - 1 / self._fans_of[now.member]

    def _refresh(self, rows: Rows) -> None:
        boards = np.where(self.is_down[rows], 0, BOARDS - self._lost_boards[rows])
        chips = self._lost_chips[rows] / BOARDS
        self.boards[rows] = boards
        self.hashrate[rows] = boards / BOARDS * (1 - chips)
        power = _COMMON_POWER + (1 - _COMMON_POWER) * boards / BOARDS * (1 - _POWER_OF_LOST_CHIPS * chips)
        self.power[rows] = np.where(self.is_down[rows], 0.0, power)
