"""What can go wrong with the embedded stack. Every message names the mend, so the command prints it as it is."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says what was found and how to mend it."""


class PrerequisiteMissingError(StackError):
    """Something that the user has to install is not there."""


class PartUnavailableError(StackError):
    """A part could not be fetched, or what came is not what was asked for."""


class PortTakenError(StackError):
    """A port that this stack remembers belongs to another process; `port` and `service` say which."""

    def __init__(self, message: str, *, port: int, service: str) -> None:
        super().__init__(message)
        self.port = port
        self.service = service


class ServiceFailedError(StackError):
    """A service died or did not answer in time; `service` says which, the message has its last log lines."""

    def __init__(self, message: str, *, service: str) -> None:
        super().__init__(message)
        self.service = service


class StackBusyError(StackError):
    """Another command is starting or stopping this stack."""


class InterruptedStartError(StackError):
    """The user stopped the start; what it had started is stopped again."""
