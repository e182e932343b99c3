"""From power-on to full hashrate: boot, tuning of the chips, and the ramp of the hashrate, minutes after the power.

The control board boots for a minute, then the boards get power and their chips are found and tuned one after another.
Power is full a minute and a half later, the hashrate after 5 minutes in the median device and 3 to 8 minutes in others:
assumed, as makers publish no figure. Recorded ones took longer: a Sealminer booted for 222 s and raised its frequency
for 580 s, and a Whatsminer found its hashrate stable after 1,538 s.
"""

import numpy as np
from numpy.typing import NDArray

_BOOT_S = 60.0
_POWERED_S = 150.0
_HASHING_S = 120.0
_FULL_S = 300.0
SLOWNESS = (0.6, 1.6)
"""How much longer than the median a device takes, at least and at most."""

LONGEST_S = int(_FULL_S * SLOWNESS[1])
"""From power-on to full hashrate of the slowest device, seconds."""


def shares(
    uptime_s: NDArray[np.int64], slowness: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the shares of its power over standby and of its hashrate that a device has, 0 to 1, shapes as given.

    A negative `uptime_s` is that of a device that does not run.
    """
    age_s = uptime_s / slowness
    power = np.clip((age_s - _BOOT_S) / (_POWERED_S - _BOOT_S), 0.0, 1.0)
    hashrate = np.clip((age_s - _HASHING_S) / (_FULL_S - _HASHING_S), 0.0, 1.0)
    return power, hashrate
