"""Snapshots in memory."""

from __future__ import annotations


class MemorySnapshots:
    """`Snapshots` in memory: those that somebody put here, right or wrong. `asked` counts the questions."""

    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}
        self.asked = 0

    async def get(self, session: str) -> bytes | None:
        self.asked += 1
        return self.images.get(session)
