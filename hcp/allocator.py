"""What a worker process keeps of the memory that a batch has used: enough for the next batch.

The C library gives what is freed back to the system where it is large or lies at the end, and takes it anew for the
next batch, page by page. For batches of rows that was over a tenth of the CPU time of preparing them. It also has a
heap for each thread, whose free places no other thread can use: a batch goes through three, so here is one for all.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
_KEPT_BYTES = 128 * 2**20
_MOST_MMAP_BYTES = 32 * 2**20
"""The largest that glibc takes; what is larger still goes back at once."""


def keep_memory() -> bool:
    """Returns whether the C library takes the setting; one that is not glibc may not."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_MMAP_THRESHOLD: _MOST_MMAP_BYTES, _TRIM_THRESHOLD: _KEPT_BYTES, _ARENA_MAX: 1}
    return all(mallopt(parameter, value) for parameter, value in settings.items())
