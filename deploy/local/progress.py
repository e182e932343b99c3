"""How a start shows what it does: a bar a part on a terminal, a line a step elsewhere. Safe to call from threads."""

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from deploy.local.error import InterruptedStartError


class Progress:
    """Silent progress, and the place where a running start learns that it shall stop."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the display."""

    def cancel(self) -> None:
        """Makes every thread that reports or waits stop at its next step."""
        self._cancelled.set()

    def check(self) -> None:
        """Raises InterruptedStartError once `cancel` was called."""
        if self._cancelled.is_set():
            raise InterruptedStartError("interrupted: what had been started is stopped again")

    def wait(self, seconds: float) -> None:
        """Waits `seconds`. Raises InterruptedStartError as soon as `cancel` is called."""
        self._cancelled.wait(seconds)
        self.check()

    def fetching(self, part: str, done: int, total: int) -> None:
        """Notes that `done` of `total` units of `part` are there. Raises InterruptedStartError."""
        self.check()
        self._show(part, done, total)

    def say(self, line: str) -> None:
        """Shows one line."""

    def _show(self, part: str, done: int, total: int) -> None:
        """Shows the state of a part."""


class ConsoleProgress(Progress):
    """Progress for people: bars on a terminal, else a line when a part begins and when it is there."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._begun: set[str] = set()
        self._bars = Bars(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the bars away."""
        self._bars.stop()

    def say(self, line: str) -> None:
        """Prints one line above the bars."""
        with self._lock:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self, part: str, done: int, total: int) -> None:
        with self._lock:
            begins, ends = part not in self._begun, done >= total
            self._begun.add(part)
            if part not in self._tasks:
                self._tasks[part] = self._bars.add_task(f"fetching {part}", total=total)
            self._bars.update(self._tasks[part], completed=done, total=total)
        if ends:
            self.say(f"{part}: fetched and checked")
        elif begins and not self._console.is_terminal:
            self.say(f"{part}: fetching, first start only")
