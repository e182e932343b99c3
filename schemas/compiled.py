"""Loops over bytes as machine code: what numpy and polars have no operation for.

A compiled function leaves the interpreter lock, knows arrays and numbers only, and does not check its indexes: those
that read what came from outside check each step themselves. The machine code is kept beside the source, or where
NUMBA_CACHE_DIR says; with NUMBA_DISABLE_JIT=1 the functions run as Python, for a debugger.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Returns the function as one that is compiled when it is first called."""
    try:
        return cast("F", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # there is no folder to keep the machine code in
        return cast("F", numba.njit(nogil=True)(function))


def inlined(function: F) -> F:
    """Returns the function as one that becomes part of those that call it: a call counts references to its arrays."""
    return cast("F", numba.njit(inline="always")(function))
