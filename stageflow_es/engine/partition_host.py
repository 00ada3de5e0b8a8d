"""The host of a partition's actors: which of its sessions are in memory, at work or waiting for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.clock import rfc3339
from stageflow_es.engine.places import Turn
from stageflow_es.engine.ports import ListedSession
from stageflow_es.engine.watchdog import Watched
from stageflow_es.log import logger
from stageflow_es.pipeline import Catalog
from stageflow_es.session import State
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from stageflow_es.engine.engine import Engine

log = logger(__name__)

HANDOVER_PATIENCE = 0.5
"""Seconds a hand-over waits for what is being appended."""


class PartitionHost:
    """Implements `host.Host` for the sessions of one partition, as long as its lease is ours: until `held_until`, by
    the event loop's clock. A session has an actor here, or a turn, or rests."""

    def __init__(self, engine: Engine, held_until: float) -> None:
        self._engine = engine
        self.name = engine.name
        self.settings = engine.settings
        self.catalog: Catalog = engine.catalog
        self.stages: Mapping[str, type[BaseStage]] = engine.stages
        self.events = engine.bus.events
        self.timers = engine.bus.timers
        self.watched: Watched = engine.watchdog
        self.waiting = engine.waiting
        self.held_until = held_until
        self.actors: dict[str, Actor] = {}
        self.turns: dict[str, Turn] = {}
        self.to_list = asyncio.Event()
        """Set while a session waits for being listed as running."""
        self._crashed = False
        self._handing_over = False
        self._time = asyncio.get_running_loop().time

    # --- for the partition ---

    def resume(self, listed: Mapping[str, ListedSession], *, crashed: bool) -> None:
        """Wake the sessions that were active when the last owner wrote its checkpoint. `crashed`: it is gone without
        a farewell, and what it ran may be lost."""
        self._crashed = crashed
        for session, entry in listed.items():
            recovered, unlisted = crashed and entry.running, crashed and not entry.running
            actor = Actor(session, self, recovered=recovered, unlisted=unlisted, least=entry.n)
            self.actors[session] = actor
            actor.poke()

    def actor(self, session: str, least: int = 0) -> Actor:
        """The actor of a session, made if there is none. `least`: the version the session has at the least."""
        actor = self.actors.get(session)
        if actor is not None:
            return actor
        turn = self.turns.get(session)
        if turn is not None:
            return self.return_to(turn, least)
        actor = self.actors[session] = Actor(session, self, after_crash=self._crashed, least=least)
        return actor

    def listed(self, sessions: Mapping[str, ListedSession]) -> None:
        """A checkpoint with this list is written: who waited for that may begin."""
        for actor in [one for one in self.actors.values() if one.unlisted]:
            entry = sessions.get(actor.session)
            if entry is not None and entry.running:
                actor.listed()

    def here(self) -> dict[str, Actor | Turn]:
        """Every session in memory."""
        return {**self.turns, **self.actors}

    async def wind_up(self) -> bool:
        """Begin no stage any more, cancel those that run, and let what is being appended finish; False: that takes
        too long."""
        self._handing_over = True
        for actor in self.actors.values():
            actor.workers.close()
        deadline = asyncio.get_running_loop().time() + HANDOVER_PATIENCE
        while any(actor.working for actor in self.actors.values()):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    def drop(self) -> None:
        """Forget every session at once: the partition is lost."""
        self.turns.clear()  # before a place comes free, which would go to one of them
        for actor in list(self.actors.values()):
            actor.close()
        self.actors.clear()

    def renewed(self, until: float) -> None:
        """The lease is ours until then, by the event loop's clock. Runs that were held back when it lapsed begin."""
        lapsed = not self.holds()
        self.held_until = until
        if lapsed:
            for actor in self.actors.values():
                actor.poke()

    # --- for the actors ---

    def now(self) -> datetime:
        return self._engine.clock.now()

    def at(self) -> str:
        return rfc3339(self._engine.clock.now())

    async def load(self, session: str, least: int) -> State:
        return await self._engine.load(session, least)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        await self._engine.bus.commands.reject(session, command_seq, data)

    def cancel_timer(self, session: str, timer: str) -> None:
        self._engine.background(self.timers.cancel(session, timer))

    def trouble(self, problem: str) -> None:
        self._engine.trouble(problem)

    def raised(self, stage: str, by: str, error: BaseException) -> None:
        self._engine.failures.note(stage, by, error)

    def holds(self) -> bool:
        return not self._handing_over and self._time() < self.held_until

    def busy(self, actor: Actor, busy: bool) -> None:
        self._engine.places.busy(actor, busy or (actor.placed and actor.unlisted))

    def rest(self, actor: Actor) -> None:
        if actor.turn is not None:
            actor.turn.actor = None
        self._remove(actor)

    def list_first(self, actor: Actor) -> None:
        self.to_list.set()

    # --- turns ---

    def wants_place(self, actor: Actor) -> bool:
        places = self._engine.places
        if places.take(actor):
            return True
        actor.turn = Turn(self, actor)
        places.queue(actor.turn)
        return False

    def wait_for_turn(self, actor: Actor) -> None:
        turn = actor.turn
        assert turn is not None
        turn.outlive(actor)
        self.turns[actor.session] = turn
        self._remove(actor)

    def waits_for(self, turn: Turn) -> bool:
        """Whether a turn that no actor has is still wanted here."""
        return self.turns.get(turn.session) is turn

    def return_to(self, turn: Turn, least: int = 0) -> Actor:
        """An actor for a session that waits for its turn."""
        del self.turns[turn.session]
        least = max(least, turn.least)
        actor = self.actors[turn.session] = Actor(turn.session, self, unlisted=turn.unlisted, least=least)
        actor.last_command, actor.last_fire = turn.last_command, turn.last_fire
        actor.turn, actor.queued = turn, True
        turn.actor = actor
        return actor

    def _remove(self, actor: Actor) -> None:
        if self.actors.get(actor.session) is actor:
            del self.actors[actor.session]
            actor.let_go()
