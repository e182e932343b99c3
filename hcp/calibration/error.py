"""What can stop a comparison."""


class CalibrationError(Exception):
    """The comparison can't be made; the message says which file is wrong or what to install."""
