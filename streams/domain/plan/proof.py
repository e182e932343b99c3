"""What proves how good a plan is, whatever found it."""

from dataclasses import dataclass

from streams.domain.plan.problem import Floats
from streams.domain.plan.site_rule import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """Nothing feasible is worth more than `bound_usd`; `duals` are the prices of the rows of `frame`."""

    bound_usd: float
    duals: Floats
    frame: Frame
