"""What a worker process keeps of the memory that a batch has used: enough for the next batch.

The C library gives what is freed back to the system where it is large or lies at the end, and takes it anew for the
next batch, page by page. For batches of rows that was over a tenth of the CPU time of preparing them.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_KEPT_BYTES = 128 * 2**20
_MOST_MMAP_BYTES = 32 * 2**20
"""The largest that glibc takes; what is larger still goes back at once."""


def keep_memory() -> bool:
    """Returns whether the C library takes the setting; one that is not glibc may not."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MOST_MMAP_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
