"""What can stop a backtest; the message says what to change."""


class BacktestError(Exception):
    """The backtest can't be run as it is asked for."""
