"""The greatest value in each of many ranges of one array."""

import numpy as np

from streams.domain.interval import Ints

NONE = -(2**62)
"""Of a range without values: less than any worth, and what is added to it stays within 64 bits."""


def greatest(values: Ints, start: Ints, end: Ints) -> Ints:
    """Returns the greatest of `values[start:end]` for each pair, `NONE` where that is empty.

    Two ranges of a power of two cover any range (a sparse table: Bender and Farach-Colton, "The LCA Problem Revisited",
    2000, section 3).
    """
    length = end - start
    level = np.log2(np.maximum(length, 1)).astype(np.int64)
    table = [values]
    for power in range(int(level.max(initial=0))):
        half = 1 << power
        wider = table[-1].copy()
        np.maximum(wider[:-half], table[-1][half:], out=wider[:-half])
        table.append(wider)
    found = np.stack(table)
    last = np.maximum(end - (1 << level), start)
    inner = np.minimum(start, len(values) - 1), np.minimum(last, len(values) - 1)
    return np.where(length > 0, np.maximum(found[level, inner[0]], found[level, inner[1]]), NONE)
