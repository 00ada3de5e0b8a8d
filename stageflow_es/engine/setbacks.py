"""What keeps an actor from going on, and how often it tries: a fault of ours, a bus that does not answer, events that
the bus refuses.

Each time the state is dropped, read from the log again, and the same is decided anew. Where that cannot help, the
command or the run that leads there is given up: no session is stuck for ever, and none holds up a partition's floor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from traceback import format_exc
from typing import TYPE_CHECKING

import msgspec

from stageflow_es.engine.inbox import Item, ReportItem
from stageflow_es.engine.ports import Refused, Unanswered
from stageflow_es.errors import Bug
from stageflow_es.log import FRAMES, logger
from stageflow_es.session import commands as cmd

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

log = logger(__name__)

PAUSE = 0.05
"""Seconds, doubled for every setback in a row, up to these:"""
LONGEST_PAUSE = 30.0
LONGEST_DOUBT = 1.0
HOPELESS = 3
"""Faults in a row, after which what leads to the next is given up."""


class Setbacks(msgspec.Struct, eq=False):
    """Those of one actor, in a row, from the first on. `careful`: it is to append what follows from one item of its
    inbox at a time."""

    _actor: Actor
    _inbox: deque[Item]
    faults: int = 0
    doubts: int = 0
    careful: bool = False

    async def fault(self) -> None:
        """Something of ours raised: begin again, ever more slowly."""
        self.faults += 1
        await asyncio.sleep(min(PAUSE * 2**self.faults, LONGEST_PAUSE))

    def undecidable(self, problem: Exception) -> None:
        """Deciding raised `problem`. Raises it as long as reading the log again may help; else gives up what led to
        it."""
        if self.faults < HOPELESS:
            raise problem
        log.error("given_up", session=self._actor.session, error=format_exc(FRAMES))
        self._give_up(cmd.UNRECORDABLE, f"what follows from this cannot be recorded: {type(problem).__name__}")

    async def doubt(self, problem: Unanswered) -> None:
        """Nobody knows what was stored; the log will say. From the second time on, a store that is full is not asked
        without a pause."""
        self.doubts += 1
        self._actor.host.trouble(str(problem))
        if self.doubts > 1:
            await asyncio.sleep(min(PAUSE * 2**self.doubts, LONGEST_DOUBT))

    def refusal(self, problem: Refused) -> None:
        """The bus refuses these events for good: find out whose they are, then give those up."""
        if not self.careful:
            self.careful = True
            return
        self._give_up(cmd.TOO_LARGE, f"what follows from this cannot be stored: {problem}")

    def _give_up(self, error_type: str, message: str) -> None:
        """Fail the run, reject the command, or failing those end the session, that leads to what cannot be."""
        actor = self._actor
        if not self._inbox:
            command = cmd.GiveUp(at=actor.host.at(), by=actor.host.name, error_type=error_type, message=message)
            actor.post(ReportItem(command=command))
            return
        if not self._inbox[0].fail(error_type, message):
            raise Bug(f"session {actor.session}: {message}")

    def appended(self) -> None:
        """An append succeeded: the bus answers, and takes what it is given."""
        self.doubts, self.careful = 0, False

    def caught_up(self) -> None:
        """Everything outstanding is done: nothing of ours is in the way."""
        self.faults = 0
