"""How many sessions may run stages at once. A session that asks for a place and finds none waits by its id alone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor


class Places:
    """`limit` places. A session woken by an input is not made to wait: it may exceed them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy: set[Actor] = set()
        self._queue: deque[Actor] = deque()

    @property
    def taken(self) -> int:
        """Sessions whose stages run."""
        return len(self._busy)

    @property
    def queued(self) -> int:
        """Sessions that wait for a place, those included that need none any more."""
        return len(self._queue)

    def ask(self, actor: Actor) -> bool:
        """A place now, or False: the actor is queued and granted one later."""
        if len(self._busy) < self._limit:
            self._busy.add(actor)
            return True
        self._queue.append(actor)
        return False

    def busy(self, actor: Actor, busy: bool) -> None:
        """Note whether stages of a session run; a place that came free goes to the next in the queue."""
        if busy:
            self._busy.add(actor)
            return
        self._busy.discard(actor)
        while self._queue and len(self._busy) < self._limit:
            following = self._queue.popleft()
            if following.queued:
                self._busy.add(following)
                following.grant_place()
