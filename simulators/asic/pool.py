"""What pools make of a miner's work: shares that they reject, and times without any pool.

A miner is given several pools and goes to the next within seconds where one is silent, so that an outage of one shows
in a few stale shares at most. What is simulated is the rest: no pool can be reached from a site, as where its uplink is
cut. Miners get no work then, and stop hashing when what they have is old: they idle with their boards powered, and go
on without a boot once there is work. Rates are assumed.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.outage import Hazard

NO_POOL = Hazard("pool", per_year=12.0, mean_h=0.25)
"""A site that reaches no pool."""

IDLE_POWER = 0.15
"""Power of a device without work, as a share of what it has when it hashes, over standby; assumed."""

# Half of the devices within 0.14 and 0.27 %; bad ones (a weak network, unstable chips) more.
_REJECTED_MEDIAN = 0.002
_REJECTED_SIGMA = 0.45
_BAD_DEVICES = 0.01
_BAD_REJECTED = (0.02, 0.06)


def rejected_ratios(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Returns the share of its shares that pools reject for each device, 0 to 1, shape (size,)."""
    usual = _REJECTED_MEDIAN * np.exp(_REJECTED_SIGMA * generator.standard_normal(size))
    chosen, draw = generator.random((2, size))
    bad = _BAD_REJECTED[0] + draw * (_BAD_REJECTED[1] - _BAD_REJECTED[0])
    ratios: NDArray[np.float64] = np.where(chosen < _BAD_DEVICES, bad, usual).round(5)
    return ratios
