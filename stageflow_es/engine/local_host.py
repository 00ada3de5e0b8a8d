"""The host of an in-process session's actor: a log in a list, timers on the event loop, no one to compete with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.engine.clock import SystemClock, rfc3339
from stageflow_es.engine.ports import EventLog, Reader, StoredEvent, Timers, WrongSequence
from stageflow_es.engine.settings import EngineSettings
from stageflow_es.errors import Problem
from stageflow_es.session import State
from stageflow_es.session import events as ev
from stageflow_es.session.wire import Rejection
from stageflow_es.stages import BaseStage, Event, catalog, get_stages

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

FOREVER = float("inf")


class LocalHost:
    """Implements `actor.Host`, and the ports behind it, for one session in memory."""

    def __init__(self, handler: Callable[[Event], None] | None) -> None:
        self.name = "local"
        self.settings = EngineSettings(park_after=FOREVER, local_timers=FOREVER)
        self.catalog = catalog()
        self.stages: Mapping[str, type[BaseStage]] = get_stages()
        self.events: EventLog = self
        self.timers: Timers = self
        self.state: State
        self.log: list[bytes] = []
        self.earlier: list[Event] = []
        self.refused: dict[int, Sequence[Problem]] = {}
        self.ended = asyncio.Event()
        self._base = 0
        self._handler = handler
        self._clock = SystemClock()

    def adopt(self, state: State) -> None:
        """Go on from a restored state."""
        self.state = state
        self._base = state.seq
        if state.outcome:
            self.ended.set()

    def history(self) -> list[Event]:
        """All events, as StageFlow's users know them."""
        return self.earlier + [to_user_event(ev.decode(data)) for data in self.log]

    # --- the event log ---

    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        if expected != self._base + len(self.log):
            raise WrongSequence(f"session {session} is at {self._base + len(self.log)}, not {expected}")
        self.log += events
        for data in events:
            self._tell(data)
        return self._base + len(self.log)

    def _tell(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler(to_user_event(ev.decode(data)))

    async def head(self, session: str) -> StoredEvent | None:
        return StoredEvent(self._base + len(self.log), self.log[-1]) if self.log else None

    async def read(self, session: str, after: int = 0) -> list[StoredEvent]:
        stored = [StoredEvent(self._base + i, data) for i, data in enumerate(self.log, 1)]
        return [event for event in stored if event.seq > after]

    async def load(self, session: str, least: int) -> State:
        return self.state

    # --- timers and rejections ---

    async def created(self) -> str:
        return "local"

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        raise AssertionError("every local timer is on the event loop")

    async def cancel(self, session: str, timer: str) -> None:
        return None

    async def open(self, partition: int, after: int) -> Reader:
        raise AssertionError("a local session has no partitions")

    async def purge(self, partition: int, upto: int) -> None:
        return None

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        self.refused[command_seq] = msgspec.json.decode(data, type=Rejection).problems

    # --- the host ---

    def now(self) -> datetime:
        return self._clock.now()

    def at(self) -> str:
        return rfc3339(self._clock.now())

    def cancel_timer(self, session: str, timer: str) -> None:
        return None

    def wants_place(self, actor: Actor) -> bool:
        return True

    def busy(self, actor: Actor, busy: bool) -> None:
        state = actor.state
        if state is not None and state.outcome:
            self.state = state
            self.ended.set()

    def rest(self, actor: Actor) -> None:
        if actor.state is not None:
            self.state = actor.state


def to_user_event(event: ev.AnyEvent) -> Event:
    """A stored event in StageFlow's shape: what a stage emitted has its own type, the rest keep theirs."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    node = fields.pop("node", None)
    kind = fields.pop("type")
    payload = {key: value for key, value in fields.items() if key not in _ENVELOPE}
    match event:
        case ev.StageEvent():
            kind, payload = event.name, event.payload
        case ev.UserInput():
            payload = {"type": event.input_type, "payload": event.payload}
        case ev.WaitingForInput() | ev.InputTimeout():
            payload = {"type": event.input_type}
    user = Event(type=kind, session_id=event.session, stage_id=node, payload=payload)
    user.timestamp = datetime.fromisoformat(event.at)
    return user


_ENVELOPE = frozenset({"session", "n", "at", "by", "cause", "prev", "command_id"})
