"""What the operator has agreed with others, as far as it prices power."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EconomicsPolicy:
    """The operator's terms.

    `pool_fee_ratio`: share of the reward that the pool keeps. `transmission_usd_kw_year`: rate of a transmission charge
    by coincident peaks that the facility's energy adder does not hold already; 0 where it does.
    """

    pool_fee_ratio: float = 0.02
    transmission_usd_kw_year: float = 0.0
