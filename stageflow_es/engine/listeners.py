"""Waiting for a session's inputs beside its pipeline."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

Entry = dict[str, Any]


class Listeners:
    """Who listens for which type of input. Listening takes nothing away from the pipeline."""

    def __init__(self) -> None:
        self._open: dict[str, list[asyncio.Future[Entry]]] = {}
        self._unheard: dict[str, deque[Entry]] = {}

    def __iter__(self) -> Iterator[str]:
        """The types somebody listens for."""
        return iter(self._open)

    def hear(self, entry: Entry, *, taken: bool) -> None:
        """An input came; `taken`: a stage waited for it. One that nobody took is kept for the next to listen."""
        listening = self._open.pop(entry["type"], [])
        for future in listening:
            if not future.done():
                future.set_result(entry)
        if not listening and not taken:
            self._unheard.setdefault(entry["type"], deque()).append(entry)

    def kept(self, type_: str) -> Entry | None:
        """The oldest input of a type that was kept, each once."""
        unheard = self._unheard.get(type_)
        return unheard.popleft() if unheard else None

    async def listen(self, type_: str, timeout: float | None) -> Entry | None:
        """The next input of a type; None after `timeout` seconds."""
        future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._open.setdefault(type_, []).append(future)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return None
        finally:
            listening = self._open.get(type_, [])
            if future in listening:
                listening.remove(future)
            if not listening:
                self._open.pop(type_, None)
