"""What a session's state owes the bus: the rejection its last event promised, and its open timers.

Both are derived from the state and paid again by whoever loads it: a rejection at least once, a timer once for every
actor, under an id that makes repetition harmless.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING

from stageflow_es.engine.inbox import FireItem
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import Fire
from stageflow_es.engine.refusing import publish_rejection
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.state import Timer

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor


class Debts:
    """The debts of one actor's session. `local` are timers too short for the bus, kept on the event loop. Only who has
    set a timer keeps it there, unless there is no bus: when one is due that was read from the log the bus says, for
    another engine's clock may have set it, and a clock that is wrong for a moment would end a wait of weeks."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._set: dict[str, bool] = {}
        self._rejected = 0
        self._read = 0
        self.local: dict[str, asyncio.TimerHandle] = {}

    def loaded(self, state: State) -> None:
        """The state was read from the log."""
        self._read = state.n

    def owes_rejection(self, state: State) -> bool:
        """Whether the last event refused a command whose rejection this actor has not seen acknowledged."""
        return state.refusal is not None and self._rejected < state.n

    def open(self, state: State) -> bool:
        """Whether there may be anything to pay."""
        return not (state.refusal is None and not state.timers and not self._set)

    async def pay(self, state: State) -> bool:
        """Pay one debt; False when there is none."""
        if self.owes_rejection(state):
            await self._reject(state)
            return True
        self._drop_closed(state)
        if state.outcome:
            return False
        for name, timer in state.timers.items():
            if name not in self._set:
                await self._set_timer(name, timer)
                return True
        return False

    async def _reject(self, state: State) -> None:
        refusal = state.refusal
        assert refusal is not None
        host = self._actor.host
        await publish_rejection(host, state.session, refusal.command, refusal.command_seq, list(refusal.problems))
        self._rejected = state.n

    async def _set_timer(self, name: str, timer: Timer) -> None:
        host = self._actor.host
        due = datetime.fromisoformat(timer.due)
        left = (due - host.now()).total_seconds()
        within = host.settings.local_timers
        near = left < within and (timer.n > self._read or within == inf)
        if near:
            loop = asyncio.get_running_loop()
            self.local[name] = loop.call_later(max(left, 0), self._fire, name)
        else:
            await surely(lambda: host.timers.set(self._actor.session, name, due, timer.n))
        self._set[name] = not near

    def _fire(self, name: str) -> None:
        self.local.pop(name, None)
        command = cmd.FireTimer(at=self._actor.host.at(), by=self._actor.host.name, timer=name)
        fire = Fire(seq=0, session=self._actor.session, timer=name)
        self._actor.post(FireItem(command=command, fire=fire, handled=lambda: None))

    def _drop_closed(self, state: State) -> None:
        """Cancel the timers that are not open any more, each where this actor set it; one whose fire is under way is
        refused by its id.

        Another engine may have the session by now and rest, with the same timer on the bus: what this one does after
        a fire of its own the other learns only by that timer."""
        if len(self._set) == 0:
            return
        for name in [name for name in self._set if name not in state.timers]:
            on_the_bus = self._set.pop(name)
            handle = self.local.pop(name, None)
            if handle is not None:
                handle.cancel()
            elif on_the_bus:
                self._actor.host.cancel_timer(self._actor.session, name)

    def let_go(self) -> None:
        """The actor is done with this."""
        del self._actor

    def close(self) -> None:
        for handle in self.local.values():
            handle.cancel()
        self.local.clear()
