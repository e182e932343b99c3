"""What the operator has agreed with others, as far as it is the same everywhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EconomicsPolicy:
    """The operator's terms.

    `pool_fee_ratio`: share of the reward that the pool keeps.
    """

    pool_fee_ratio: float = 0.02
