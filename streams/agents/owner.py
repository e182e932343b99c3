"""The life of something that one worker at a time owns: a partition of facilities, or the routing.

1. It is made when the partition is assigned, before anything is read, so that messages can wait for it.
2. `fence` makes the log refuse what a predecessor may still append (KIP-98); what is recovered after that is final.
3. `ready` is set, its tasks run, and messages are handled, those of a kind one after the other.
   What they cause is begun in the log's order, and the next one is handled while it is written.
4. `stop`, when the partition is revoked: tasks are cancelled, an open transaction aborts, and what comes is let go.
   Its successor finds it in the log.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from streams.agents.context import Context
from streams.agents.event_log import EventLog

# Appends that may be on their way before the next message waits for one of them.
_MOST_APPENDING = 200

Guard = Callable[[Awaitable[None]], Awaitable[None]]


class Owner:
    """Base of the owners. `guard` awaits work and ends the worker where that fails."""

    def __init__(self, context: Context, name: str, guard: Guard) -> None:
        self.context = context
        self.event_log: EventLog = context.event_log(name)
        self._guard = guard
        self._ready = asyncio.Event()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: list[asyncio.Task[None]] = []
        self._appending: set[asyncio.Task[None]] = set()
        self.is_stopped = False

    async def fence(self) -> None:
        """Fences off a predecessor. Raises LogUnavailableError."""
        await self.event_log.start()

    async def stop(self) -> None:
        """Ends what is going on; returns when nothing more is appended."""
        self.is_stopped = True
        self._ready.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for turn in self._turns.values():
            async with turn:
                pass  # what was being handled is begun or, behind a solve that was cancelled, let go
        await asyncio.gather(*self._appending)
        await self.event_log.stop()

    def _run(self, *work: Awaitable[None]) -> None:
        self._also(*work)
        self._ready.set()

    def _also(self, *work: Awaitable[None]) -> None:
        self._tasks += [asyncio.ensure_future(self._guard(entry)) for entry in work]

    async def _go_on(self, begun: Awaitable[None]) -> None:
        """Leaves an append that was begun to itself; waits only where there are many."""
        task = asyncio.ensure_future(self._guard(begun))
        self._appending.add(task)
        task.add_done_callback(self._appending.discard)
        if len(self._appending) >= _MOST_APPENDING:
            await asyncio.wait(self._appending, return_when=asyncio.FIRST_COMPLETED)

    @asynccontextmanager
    async def _handling(self, kind: str) -> AsyncIterator[bool]:
        # Messages of a kind take turns. False: the message is of an assignment that is over.
        await self._ready.wait()
        async with self._turns[kind]:
            yield not self.is_stopped
