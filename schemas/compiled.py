"""Loops over bytes as machine code: what numpy and polars have no operation for.

A compiled function leaves the interpreter lock, knows arrays and numbers only, and does not check its indexes: those
that read what came from outside check each step themselves. It is compiled as its module is imported, so that no batch
waits for that. The machine code is kept beside the source, or where NUMBA_CACHE_DIR says, until that file changes: so
what is inlined belongs into the file of its loop. With NUMBA_DISABLE_JIT=1 the functions run as Python, for a debugger,
where they need no addresses.
"""

import ctypes
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

NUMBER = types.int64
READ_BYTES, READ_WORDS64 = (types.Array(kind, 1, "C", readonly=True) for kind in (types.uint8, types.int64))
BYTES, WORDS32, WORDS64, ROWS64 = types.uint8[::1], types.int32[::1], types.int64[::1], types.int64[:, ::1]
ROWS_OF_FLAGS = types.boolean[:, ::1]
NOTHING = types.void


def compiled(result: Any, *arguments: Any) -> Callable[[F], F]:
    """Returns what compiles a function of arguments of these types."""

    def made(function: F) -> F:
        try:
            return cast("F", numba.njit(result(*arguments), cache=True, nogil=True)(function))
        except RuntimeError:  # there is no folder to keep the machine code in
            return cast("F", numba.njit(result(*arguments), nogil=True)(function))

    return made


def inlined(function: F) -> F:
    """Returns the function as one that becomes part of those that call it: a call counts references to its arrays."""
    return cast("F", numba.njit(inline="always")(function))


def linked(name: str, signature: Any, library: ctypes.CDLL) -> Any:
    """Returns a function of a C library for compiled ones to call: pointers are numbers to it."""
    binding.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    return types.ExternalFunction(name, signature)


def _loaded(kind: Any, bits: int) -> Any:
    @intrinsic
    def at(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba takes its name for the caller's
        def load(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()), align=1)

        return kind(types.int64), load

    return at


word_at = _loaded(types.int64, 64)
"""`word_at(address)` is what the eight bytes there are as a number; any address will do."""
byte_at = _loaded(types.uint8, 8)
"""`byte_at(address)` is the byte there."""
