"""Checks of arguments: each raises ValueError that names the argument; NaN passes none of them."""

import math


def require_finite(name: str, value: float) -> None:
    """Refuses NaN and infinities."""
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Refuses what is not above zero and finite."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive, got {value!r}")


def require_not_negative(name: str, value: float) -> None:
    """Refuses what is below zero or not finite."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be zero or more, got {value!r}")


def require_ratio(name: str, value: float) -> None:
    """Refuses what is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}")


def require_pue(value: float) -> None:
    """Refuses a PUE below 1."""
    if not (value >= 1 and math.isfinite(value)):
        raise ValueError(f"pue_ratio must be 1 or more, got {value!r}")
