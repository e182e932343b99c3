"""What the command says: data on stdout, talk on stderr, colour only on a terminal."""

from rich.console import Console

# A pipe has no width: lines are cut by nobody there.
_WIDE = 1000

out = Console(highlight=False)
if not out.is_terminal:
    out = Console(highlight=False, width=_WIDE)
err = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Prints a line of talk."""
    err.print(message, markup=False, soft_wrap=True)


def fail(message: str) -> None:
    """Prints an error line."""
    err.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
