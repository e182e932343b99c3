"""The cyclic garbage collector of a worker process: how often it looks for cycles.

Python looks after every 700 objects that came and did not go. A batch of 100,000 messages is 100,000 such objects, none
in a cycle, so reading it sets off over a hundred searches, the larger of which go through all that the process holds.
"""

import gc

_YOUNG_OBJECTS = 200_000
"""More than the messages of a batch; what cycles may hold meanwhile stays small beside the batches themselves."""


def relax() -> None:
    """Makes the search for cycles rare enough for batches of messages; it still takes place."""
    _, middle, old = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, middle, old)
