"""The order in which rules are given up where not all can be kept, as penalties: a decision always exists.

Plans and dispatch share it. A rule higher up in `ORDER` goes first. Each penalty is far over what any use of power
earns (an H100 at 10 USD an hour earns 12,000 USD/MWh) except the first two, a missed deadline and awarded capacity that
is not held, which cost what the contract says: decisions of business and not a last resort. What is physical (units in
service, maintenance) is never given up.

The dispatch never gives up the caps of a facility and its transformers, nor a ramp upwards, for which nothing asks that
is dearer: what can be turned off is, down to load that can't be. Where that is over a limit, it is said as in a plan.
"""

from enum import StrEnum


class Rule(StrEnum):
    """A rule of a decision, by the name that it shows."""

    DEADLINE = "deadline"
    CAPACITY = "capacity award"
    MINIMUM_LOAD = "minimum load"
    RAMP = "ramp"
    MINIMUM_RUN = "minimum run"
    MINIMUM_REST = "minimum rest"
    GRID_LIMIT = "grid limit"
    TRANSFORMER_CAP = "transformer cap"
    FACILITY_CAP = "facility cap"
    GPU_UNITS = "GPUs in service"


PENALTY_USD_MWH = {
    Rule.MINIMUM_LOAD: 20_000.0,
    Rule.RAMP: 35_000.0,
    Rule.MINIMUM_RUN: 50_000.0,
    Rule.MINIMUM_REST: 50_000.0,
    Rule.GRID_LIMIT: 100_000.0,
    Rule.TRANSFORMER_CAP: 500_000.0,
    Rule.FACILITY_CAP: 1_000_000.0,
}
"""Of each MWh over or under. Of an interval too few run or rested: of the energy that the group takes at full power."""

ORDER = (Rule.DEADLINE, Rule.CAPACITY, *PENALTY_USD_MWH)
"""First given up first."""
