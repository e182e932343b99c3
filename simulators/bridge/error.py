"""Why events from outside are not on their topic: what the sender can do about it tells the classes apart."""

from simulators.error import SimulatorError


class BridgeError(SimulatorError):
    """Base of the bridges' errors."""


class BusyError(BridgeError):
    """As many events wait for Kafka as are allowed to: send again in a while. None of these was taken."""


class NotDeliveredError(BridgeError):
    """Kafka did not acknowledge all events in time: send them again; `delivered` of them are on the topic."""

    def __init__(self, delivered: int, total: int, reason: str) -> None:
        super().__init__(f"{total - delivered} of {total} events are not delivered: {reason}")
        self.delivered = delivered


class TooLargeError(BridgeError):
    """An event, or a batch, is larger than can be sent at all; sending it again will not help."""
