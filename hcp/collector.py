"""The cyclic garbage collector of a worker process: how often it looks for cycles.

Python looks after every 700 objects that came and did not go. The messages that a worker has in hand are some 100,000
such objects, none in a cycle, so reading them sets off over a hundred searches, the larger of which go through all that
the process holds, with the interpreter's lock.
"""

import gc

_YOUNG_OBJECTS = 500_000
"""More than the messages that the default memory lets a worker have in hand (`projections.batch_size`: 380,000)."""


def relax() -> None:
    """Makes the search for cycles rare enough for batches of messages; it still takes place."""
    _, middle, old = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, middle, old)
