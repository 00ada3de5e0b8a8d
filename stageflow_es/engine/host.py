"""What an actor needs of the engine it lives in: a partition's part of it, or of a session in this process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from stageflow_es.engine.ports import EventLog, Timers
from stageflow_es.engine.settings import EngineSettings
from stageflow_es.engine.waiting_room import WaitingRoom
from stageflow_es.engine.watchdog import Watched
from stageflow_es.pipeline import Catalog
from stageflow_es.session import State
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor


class Host(Protocol):
    """What an actor needs of the engine it lives in."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> EngineSettings: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def stages(self) -> Mapping[str, type[BaseStage]]: ...

    @property
    def events(self) -> EventLog: ...

    @property
    def timers(self) -> Timers: ...

    @property
    def waiting(self) -> WaitingRoom: ...

    def now(self) -> datetime: ...

    def at(self) -> str:
        """The present moment for a command."""

    async def load(self, session: str, least: int) -> State:
        """The session's state from a leader read made now, of version `least` at the least; `n` 0: there is none."""

    def cancel_timer(self, session: str, timer: str) -> None:
        """Cancel a durable timer in the background, as well as that goes."""

    async def reject(self, session: str, command_seq: int, data: bytes) -> None: ...

    @property
    def watched(self) -> Watched:
        """Where to say what runs on the event loop without awaiting, from when to when."""

    def trouble(self, problem: str) -> None:
        """Say that the bus does not take what is to be recorded."""

    def raised(self, stage: str, by: str, error: BaseException) -> None:
        """Tell whoever runs the engine what a stage raised, by which run, and where: its history says only what."""

    def holds(self) -> bool:
        """Whether, by this process's own clock, the lease has not run out: a process that was stopped for longer
        begins no stage, for another engine may have finished it meanwhile."""

    def wants_place(self, actor: Actor) -> bool:
        """Ask for a place to begin running stages; False: it is queued, `grant_place` is called when its turn comes."""

    def list_first(self, actor: Actor) -> None:
        """Have the checkpoint say that stages of an `unlisted` session may have begun; `listed` is called then."""

    def busy(self, actor: Actor, busy: bool) -> None:
        """Say whether stages of the session run."""

    def wait_for_turn(self, actor: Actor) -> None:
        """The actor has nothing to do until the session's turn comes, and nothing in memory worth keeping."""

    def rest(self, actor: Actor) -> None:
        """The actor has nothing to do and nothing in memory worth keeping."""
