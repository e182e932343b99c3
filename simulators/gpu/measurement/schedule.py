"""Which loads a measurement goes through, and for how long each."""

from dataclasses import dataclass, replace
from enum import Enum


class Load(Enum):
    """What a GPU does: the process has no context on it, waits, or runs kernels of one kind."""

    NO_CONTEXT = "no context"
    WAIT = "wait"
    SPIN = "spin"
    SMALL = "small products"
    COPY = "copy"
    PRODUCT = "product"
    SPARSE_PRODUCT = "sparse product"
    ZERO_PRODUCT = "zero product"
    FLOAT_PRODUCT = "float product"
    TRAINING = "training"


@dataclass(frozen=True, slots=True)
class Phase:
    """A load for some seconds, in bursts of `duty` of the time."""

    name: str
    load: Load
    seconds: float
    duty: float = 1.0


DUTIES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85)
"""Shares of the time with matrix products, besides all of it."""

STARTED = "no context"
WAITING = "wait"
WARMING = "product"
COOLING = "wait after product"
RELEASED = "no context after training"
SETUP = "set-up"
"""Between phases: the process starts or ends, or makes what it works on."""

TRAINING_PHASES = ("training", "training without data", "training checkpoint")
"""Parts of the training by name: steps, waits for data, and saves."""

SCHEDULE = (
    Phase(STARTED, Load.NO_CONTEXT, 15),
    Phase(WAITING, Load.WAIT, 20),
    Phase(WARMING, Load.PRODUCT, 80),
    Phase(COOLING, Load.WAIT, 80),
    *(Phase(f"product {duty:.0%}", Load.PRODUCT, 14, duty) for duty in DUTIES),
    Phase("copy", Load.COPY, 14),
    Phase("copy 50%", Load.COPY, 10, 0.5),
    Phase("small products", Load.SMALL, 12),
    Phase("spin", Load.SPIN, 14),
    Phase("float product", Load.FLOAT_PRODUCT, 12),
    Phase("sparse product", Load.SPARSE_PRODUCT, 12),
    Phase("sparse product 50%", Load.SPARSE_PRODUCT, 10, 0.5),
    Phase("zero product", Load.ZERO_PRODUCT, 10),
    Phase(TRAINING_PHASES[0], Load.TRAINING, 60),
    Phase(RELEASED, Load.NO_CONTEXT, 60),
)
"""The whole of a measurement. Products warm up a cool GPU, and it cools with nothing to do, at one step each."""


def scaled(seconds: float) -> tuple[Phase, ...]:
    """Returns the phases, all shortened or lengthened alike so that they take so long together."""
    factor = seconds / sum(phase.seconds for phase in SCHEDULE)
    return tuple(replace(phase, seconds=phase.seconds * factor) for phase in SCHEDULE)
