"""Bytes as items that overlap: values of different lengths are copied at one size, faster than byte by byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def spans(data: NDArray[np.uint8], size: int) -> NDArray[Any]:
    """Returns the `size` bytes from each position on, as one item each; a view."""
    return np.ndarray((len(data) - size + 1,), f"V{size}", data, 0, (1,))
