"""The host of an in-process session's actor: a log in a list, timers on the event loop, no one to compete with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from traceback import format_exc
from typing import TYPE_CHECKING, Any

from stageflow_es.engine.clock import Clock, rfc3339
from stageflow_es.engine.own_time import LoopClock
from stageflow_es.engine.ports import EventLog, Reader, StoredEvent, Timers, WrongSequence
from stageflow_es.engine.settings import EngineSettings
from stageflow_es.engine.user_events import to_user_event
from stageflow_es.engine.waiting_room import WaitingRoom
from stageflow_es.engine.watchdog import Watched
from stageflow_es.errors import Problem
from stageflow_es.log import FRAMES, logger
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import Refused, State, apply, decide, seal, snapshot
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.paths import copy
from stageflow_es.stages import BaseStage, Event, catalog, get_stages

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

log = logger(__name__)

FOREVER = float("inf")


class LocalHost:
    """Implements `host.Host`, and the ports behind it, for one session in memory. There is one state, which the
    actor and `submit` share: an append cannot fail, so it is ahead of the log only where an error left it half
    changed."""

    def __init__(self, session: str, handler: Callable[[Event], None] | None) -> None:
        self.name = "local"
        self.settings = EngineSettings(park_after=FOREVER, local_timers=FOREVER)
        self.catalog = catalog()
        self.stages: Mapping[str, type[BaseStage]] = get_stages()
        self.events: EventLog = self
        self.timers: Timers = self
        self.watched = Watched()
        self.waiting = WaitingRoom(FOREVER, 0)
        self._state = State(session)
        self.log: list[bytes] = []
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        self._raised: BaseException | None = None
        self._history: list[Event] = []
        self._inputs: list[dict[str, Any]] = []
        self._told = 0
        self._base = 0
        self._begun = 0
        self._image = b""
        self.handler = handler
        self._clock: Clock = LoopClock()

    def adopt(self, state: State, history: list[Event], inputs: list[dict[str, Any]]) -> None:
        """Go on from a restored state; what it had seen so far is for looking at only."""
        self._state = state
        self._base, self._begun = state.seq, state.n
        if state.n:
            self._image = snapshot.dump(state)
        self._history, self._inputs = history, inputs

    def submit(self, command: cmd.BusCommand, pipeline: Pipeline | None = None) -> Sequence[Problem]:
        """Apply a command at once, whether the session runs or not; why it was refused, empty: it was not. An error
        before it is in the log is the sender's to hear; what follows from one that is there is the actor's too."""
        state = self.state
        if pipeline is not None:
            state.pipeline = pipeline
        try:
            while answer := decide(state, command, self.catalog):
                self._store([seal(state, event) for event in answer])
        except Exception:
            state = self.state
            if state.last_command < command.seq:
                raise
            log.error("decide_failed", session=state.session, command=type(command).__name__, error=format_exc(FRAMES))
        else:
            if isinstance(answer, Refused):
                return answer.problems
        if not state.outcome:
            self.ended.clear()
        refusal = state.refusal
        return () if refusal is None or refusal.command_seq != command.seq else refusal.problems

    # --- the state ---

    @property
    def whole(self) -> State | None:
        """The state there is; None: an error left it half changed."""
        state = self._state
        return state if state.n == self._begun + len(self.log) and (state.head or not state.n) else None

    @property
    def state(self) -> State:
        """The state, read from the log again where an error left it half changed."""
        if self.whole is None:
            self._state = self._folded()
        return self._state

    def _folded(self) -> State:
        session, pipeline = self._state.session, self._state.pipeline
        state = snapshot.load(self._image, pipeline) if self._image else State(session, pipeline)
        for seq, data in enumerate(self.log, self._base + 1):
            apply(state, data, seq)
        return state

    # --- what is told to the users ---

    def history(self) -> list[Event]:
        """All events so far, as StageFlow's users know them."""
        self._tell()
        return list(self._history)

    def inputs(self) -> list[dict[str, Any]]:
        """All inputs so far."""
        self._tell()
        return copy(self._inputs)  # type: ignore[no-any-return]

    def told_to(self, handler: Callable[[Event], None] | None) -> None:
        """Tell another what happens from now on."""
        self._tell()
        self.handler = handler

    def note(self, event: Event) -> None:
        """Add an event that is none of the session's own: it is told, not stored."""
        self._tell()
        self._say(event)

    def _store(self, events: Sequence[bytes]) -> None:
        self.log += events
        self._state.seq = self._base + len(self.log)
        if self.handler is not None:
            self._tell()

    def _tell(self) -> None:
        while self._told < len(self.log):
            event = ev.decode(self.log[self._told])
            told = to_user_event(event)
            self._told += 1
            if isinstance(event, ev.UserInput):
                self._inputs.append({"type": event.input_type, "payload": event.payload})
            self._say(told)

    def _say(self, event: Event) -> None:
        """A handler that raises ends `run`, not the session."""
        self._history.append(event)
        if self.handler is None:
            return
        try:
            self.handler(event)
        except Exception as problem:
            self.failure = self.failure or problem
            self.ended.set()

    # --- the event log ---

    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        if expected != self._base + len(self.log):
            raise WrongSequence(f"session {session} is at {self._base + len(self.log)}, not {expected}")
        self._store(events)
        return self._base + len(self.log)

    async def head(self, session: str) -> StoredEvent | None:
        return StoredEvent(self._base + len(self.log), self.log[-1]) if self.log else None

    async def first(self, session: str) -> StoredEvent | None:
        return StoredEvent(self._base + 1, self.log[0]) if self.log else None

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        stored = [StoredEvent(self._base + i, data) for i, data in enumerate(self.log, 1)]
        return [event for event in stored if after < event.seq and (upto is None or event.seq <= upto)]

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
        """The sender has the answer from `submit`, everyone else from the event."""

    # --- the host ---

    def now(self) -> datetime:
        return self._clock.now()

    def at(self) -> str:
        return rfc3339(self._clock.now())

    def cancel_timer(self, session: str, timer: str) -> None:
        return None

    def wants_place(self, actor: Actor) -> bool:
        return True

    def list_first(self, actor: Actor) -> None:
        raise AssertionError("a local session is on no list")

    def trouble(self, problem: str) -> None:
        return None

    def raised(self, stage: str, by: str, error: BaseException) -> None:
        self._raised = error

    def cause(self) -> BaseException | None:
        """What a stage raised, if that is why the session failed."""
        failed, raised = self.state.error, self._raised
        return raised if failed is not None and type(raised).__name__ == failed.type else None

    def holds(self) -> bool:
        return True

    def busy(self, actor: Actor, busy: bool) -> None:
        if self.state.outcome:
            self.ended.set()

    def wait_for_turn(self, actor: Actor) -> None:
        raise AssertionError("a session alone never waits for a place")

    def rest(self, actor: Actor) -> None:
        return None
