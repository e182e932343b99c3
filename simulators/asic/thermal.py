"""Heat: hottest board, fans, and what the firmware does against too much of it.

The hottest board lies over the inlet air by what the air warms on its way through (heat over the heat capacity of the
flow: in inverse proportion to it) and by what board and heat sink lie over the air. The flow goes with the speed of the
fans (fan affinity laws) and with how many turn. With fans at full speed a device at its nameplate power reaches
DERATING_FROM_C at the warmest air that its maker allows. Two fifths of that rise are the air's: an S19 Pro of 3,320 W,
measured at a site in Inner Mongolia, warms 370 cfm from 23.1 to 38.8 degrees; its fans turn at 6,150 rpm at most.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.fleet import PERIOD_MS
from simulators.timeline import SECOND_MS

Floats = NDArray[np.float64]

DERATING_FROM_C = 85.0
CUT_OFF_C = 92.0
RESTART_C = 60.0
"""Hottest board from which the firmware lowers the frequency, at which it stops and is started again; assumed."""
FAN_MAX_RPM = 6150.0

_LEAST_SHARE = 0.7
# Assumed: heat sinks of some kilograms of aluminium on 3 kW.
_TIME_CONSTANT_S = 90.0
_FOLLOW = float(1 - np.exp(-PERIOD_MS / SECOND_MS / _TIME_CONSTANT_S))
_AIR_SHARE = 0.4
# Assumed, so that a recorded S19 Pro (73 degrees at a mean of 5,490 rpm) is met at about 30 degrees of air.
_FAN_LEAST = 0.2
_FAN_FROM_C = 40.0
_FAN_FULL_C = 75.0


def full_rise_k(max_inlet_c: float) -> float:
    """Returns how far the hottest board lies over the inlet air at nameplate power and full fans, K."""
    return DERATING_FROM_C - max_inlet_c


def fan_share(board_c: Floats) -> Floats:
    """Returns the fans' speed as a share of the greatest, shape as given: proportional control between its limits."""
    share: Floats = np.clip(
        _FAN_LEAST + (1 - _FAN_LEAST) / (_FAN_FULL_C - _FAN_FROM_C) * (board_c - _FAN_FROM_C), _FAN_LEAST, 1.0
    )
    return share


def warmed(board_c: Floats, inlet_c: Floats, power_w: Floats, rise_k_w: Floats, fans_turning: Floats) -> Floats:
    """Returns the hottest board one reading later, degrees Celsius; all of shape (devices,).

    `rise_k_w` is `full_rise_k` a W of nameplate power, `fans_turning` the share of the fans that turn.
    """
    flow = fan_share(board_c) * fans_turning
    settled = inlet_c + power_w * rise_k_w * (_AIR_SHARE / flow + (1 - _AIR_SHARE))
    later: Floats = board_c + _FOLLOW * (settled - board_c)
    return later


def derating(board_c: Floats) -> Floats:
    """Returns the share of frequency that the firmware leaves a device, _LEAST_SHARE to 1, shape as given."""
    share: Floats = np.clip(
        1 - (1 - _LEAST_SHARE) * (board_c - DERATING_FROM_C) / (CUT_OFF_C - DERATING_FROM_C), _LEAST_SHARE, 1.0
    )
    return share
