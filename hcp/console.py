"""What the command says: data on stdout, talk on stderr, colour only on a terminal."""

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Prints a line of talk."""
    err.print(message, markup=False, soft_wrap=True)


def fail(message: str) -> None:
    """Prints an error line."""
    err.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
