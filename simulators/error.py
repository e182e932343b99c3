"""What can stop a simulator. What mends itself (a broker or registry that is away) is waited for instead."""


class SimulatorError(Exception):
    """Base of the simulators' errors."""


class ConfigurationError(SimulatorError):
    """The simulation can't be run as it is asked for; the message says what to change."""


class MissingTopicError(SimulatorError):
    """Topics that the simulators need do not exist; the message names them and the command that makes them."""


class DeliveryError(SimulatorError):
    """Events could not be delivered: the producer is unusable, or it was stopped while the broker was away."""
