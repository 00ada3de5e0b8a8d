"""How many sessions may run stages at once, and who waits for a place, in the order they came.

A session that waits is no more than its turn: a flood of starts takes a few hundred bytes each, and its actor is made
anew when the turn comes, or when a command does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor
    from stageflow_es.engine.partition_host import PartitionHost


class Turn:
    """A session's turn. `actor` is the one that takes it while it is in memory; what is to be known of it otherwise is
    kept here: the last command and fire it dealt with, and the version the session has at the least."""

    __slots__ = ("actor", "host", "last_command", "last_fire", "least", "session", "unlisted")

    running = False

    def __init__(self, host: PartitionHost, actor: Actor) -> None:
        self.host = host
        self.session = actor.session
        self.actor: Actor | None = actor
        self.last_command = self.last_fire = self.least = 0
        self.unlisted = False

    @property
    def queued(self) -> bool:
        """Whether somebody still waits for it."""
        return self.host.waits_for(self) if self.actor is None else self.actor.queued

    def outlive(self, actor: Actor) -> None:
        """Keep what has to be known of an actor that leaves memory."""
        self.last_command, self.last_fire, self.least = actor.last_command, actor.last_fire, actor.least
        self.unlisted = actor.unlisted
        self.actor = None

    def grant(self) -> Actor:
        """It has come."""
        actor = self.actor or self.host.return_to(self)
        actor.grant_place()
        return actor


class Places:
    """`limit` places. A session woken by an input is not made to wait: it may exceed them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy: set[Actor] = set()
        self._queue: deque[Turn] = deque()

    @property
    def taken(self) -> int:
        """Sessions whose stages run."""
        return len(self._busy)

    @property
    def queued(self) -> int:
        """Sessions that wait for a place, those included that need none any more."""
        return len(self._queue)

    def take(self, actor: Actor) -> bool:
        """A place now, or False: there is none free."""
        if len(self._busy) >= self._limit:
            return False
        self._busy.add(actor)
        return True

    def queue(self, turn: Turn) -> None:
        """Wait for a place, behind all who wait."""
        self._queue.append(turn)

    def busy(self, actor: Actor, busy: bool) -> None:
        """Note whether stages of a session run; a place that came free goes to the next in the queue."""
        if busy:
            self._busy.add(actor)
            return
        self._busy.discard(actor)
        while self._queue and len(self._busy) < self._limit:
            following = self._queue.popleft()
            if following.queued:
                self._busy.add(following.grant())
