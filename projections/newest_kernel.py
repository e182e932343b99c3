"""The loop that finds the newest row of each key: a table of hashes beside one sort of all rows and their texts."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.compiled import NUMBER, READ_WORDS64, ROWS64, WORDS32, WORDS64, compiled

EMPTY = -1

Array = npt.NDArray[Any]


@compiled(NUMBER, READ_WORDS64, ROWS64, WORDS32, WORDS64, WORDS64)
def find(hashes: Array, order: Array, slots: Array, leaders: Array, newest: Array) -> int:
    """Fills `newest` with the newest row of each hash and returns how many there are.

    Row i is newer than j where (order[0, i], order[1, i], …) is greater, or as great and i behind j. `leaders` become
    the first row of each row's hash. `slots` have to be EMPTY, more than rows, and a power of two. Shapes: `hashes`,
    `leaders`, `newest` (n,), `order` (k, n).
    """
    mask = np.uint64(len(slots) - 1)
    count = 0
    for row in range(len(hashes)):
        at = np.uint64(hashes[row]) & mask
        while slots[at] != EMPTY and hashes[newest[slots[at]]] != hashes[row]:
            at = (at + np.uint64(1)) & mask
        if slots[at] == EMPTY:
            slots[at] = count
            newest[count] = row
            leaders[row] = row
            count += 1
            continue
        held = newest[slots[at]]
        leaders[row] = leaders[held]
        is_newer = True
        for column in range(len(order)):
            if order[column, row] != order[column, held]:
                is_newer = order[column, row] > order[column, held]
                break
        if is_newer:
            newest[slots[at]] = row
    return count
