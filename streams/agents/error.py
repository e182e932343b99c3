"""What can go wrong in an agent, by what is to be done about it."""


class AgentError(Exception):
    """Base of the agents' errors."""


class FencedError(AgentError):
    """Another worker has taken over this one's transactional id: stop, and leave the work to it."""


class LogUnavailableError(AgentError):
    """The broker does not answer in time: a starting worker waits, a running one ends and its successor goes on."""


class ConfigurationError(AgentError):
    """The worker can't start as it is configured; the message says what is missing."""
