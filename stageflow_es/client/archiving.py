"""Archiving: a finished session's history goes into a file, and of the session only its last event stays.

In this order, so that it can be broken off anywhere and done again: the export is written, synced, read again and
verified; `session_archived` is appended, if nothing has happened in the session since it was read; what came before it
is purged. A mark beside the export says that the last two are under way: to the projection such a session is archived
already. The id is never born again: the event that stays answers every command to it. The files are `exports`.

It needs what an engine may: to publish on `<prefix>.append.>`, and to purge the stream of events
(`$JS.API.STREAM.PURGE.<stream>`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from stageflow_es.client.exports import Exports, NotExported
from stageflow_es.engine.clock import rfc3339
from stageflow_es.engine.definitions import Library
from stageflow_es.engine.ports import BusError, Definitions, EventLog, StoredEvent, Unanswered, WrongSequence
from stageflow_es.errors import DefinitionError, OperatorError, StageFlowError
from stageflow_es.session import ChainBroken, State, apply
from stageflow_es.session import events as ev
from stageflow_es.session.wire import rejection

BY = "archive"
"""Who appends the last event."""


class ArchivableLog(EventLog, Protocol):
    """An event log whose sessions can be archived."""

    async def forget(self, session: str, before: int) -> None:
        """Forget the session's events with a sequence below `before`; its last event always stays. Repeating it is
        harmless. Raises Unanswered."""


Reject = Callable[[str, int, bytes], Awaitable[None]]
"""Publishes a rejection: session, command sequence, bytes. See `CommandLog.reject`."""


class NotArchived(StageFlowError):
    """A session that is left as it is; the message says why."""


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """An archived session: where its export is, how many events it has, and the SHA-256 of the file.

    `before`: it had been archived earlier, and nothing was left to do (`path` is None then).
    """

    session: str
    count: int
    digest: str
    path: str | None = None
    before: bool = False


class Archivist:
    """Archives sessions of one bus into a directory. `include_failed`: those too that a retry could still revive."""

    def __init__(
        self,
        events: ArchivableLog,
        definitions: Definitions,
        reject: Reject,
        directory: Path,
        *,
        include_failed: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._exports = Exports(directory)
        self._events = events
        self._library = Library(definitions)
        self._reject = reject
        self._include_failed = include_failed
        self._now = now

    def begun(self) -> list[str]:
        """Sessions whose archiving into this directory was broken off once their last event was under way."""
        return self._exports.marked()

    async def archive(self, session: str) -> Archived:
        """Archive a session, or finish what was begun. Raises NotArchived, and OperatorError when the bus does not
        answer or the file cannot be written."""
        try:
            return await self._archive(session)
        except WrongSequence:
            raise NotArchived("something happened in it meanwhile: look again, and archive it then") from None
        except Unanswered as problem:
            raise OperatorError(
                f"session {session}: {problem}. Archiving needs to publish on the engines' append subjects and to "
                "purge the stream of events: may this user? It can be run again at any time"
            ) from problem
        except (BusError, NotExported) as problem:
            raise NotArchived(str(problem)) from problem
        except OSError as problem:
            raise OperatorError(f"the export of session {session} cannot be written: {problem}") from problem

    async def _archive(self, session: str) -> Archived:
        history = await self._events.read(session)
        if not history:
            raise NotArchived("there is no such session")
        stones = [place for place, stored in enumerate(history) if _is_stone(stored.data)]
        if stones:
            return await self._finish(session, history, stones[0])
        await self._unmark(session)
        state = await self._fold(session, history)
        self._check_ended(state)
        path, digest = await asyncio.to_thread(self._exports.write, state, [stored.data for stored in history])
        await self._pay_rejection(state)
        stone = ev.encode(self._stone(state, path, digest))
        await asyncio.to_thread(self._exports.mark, session)
        seq = await self._events.append(session, [stone], history[-1].seq)
        await self._forget(session, seq)
        return Archived(session=session, count=state.n, digest=digest, path=str(path))

    async def _finish(self, session: str, history: Sequence[StoredEvent], place: int) -> Archived:
        """A session that has its last event already: purge what is before it, if its export is where it should be."""
        stone = ev.decode(history[place].data)
        assert isinstance(stone, ev.SessionArchived)
        done = Archived(session=session, count=stone.count, digest=stone.export_digest, before=True)
        if place == 0:
            await self._unmark(session)
            return done
        path, digest = await self._file_of(stone, history[:place])
        if digest != stone.export_digest:
            raise NotArchived(
                f"it is archived already, into a file whose SHA-256 is {stone.export_digest}, and not purged yet; "
                f"{path} is another: name the directory that file is in"
            )
        await self._forget(session, history[place].seq)
        return msgspec.structs.replace(done, path=str(path), before=False)

    async def _file_of(self, stone: ev.SessionArchived, history: Sequence[StoredEvent]) -> tuple[Path, str]:
        """The export of a history that has its last event, and its SHA-256: the very file where it is there, whichever
        release wrote it, else one made anew."""
        if await asyncio.to_thread(self._exports.has, stone):
            return self._exports.path(stone.session), stone.export_digest
        state = await self._fold(stone.session, history)
        return await asyncio.to_thread(self._exports.write, state, [stored.data for stored in history])

    async def _forget(self, session: str, before: int) -> None:
        await self._events.forget(session, before)
        await self._unmark(session)

    async def _unmark(self, session: str) -> None:
        await asyncio.to_thread(self._exports.unmark, session)

    async def _fold(self, session: str, history: Sequence[StoredEvent]) -> State:
        first = ev.decode(history[0].data)
        if not isinstance(first, ev.SessionStarted):
            raise NotArchived(f"its history is broken: it begins with {type(first).__name__}")
        try:
            state = State(session, await self._library.by_digest(first.digest))
            for stored in history:
                apply(state, stored.data)
        except (ChainBroken, DefinitionError) as problem:
            raise NotArchived(f"its history is broken: {problem}") from problem
        except OperatorError as problem:
            raise NotArchived(str(problem)) from problem
        return state

    def _check_ended(self, state: State) -> None:
        if state.outcome == "failed" and not self._include_failed:
            raise NotArchived("it failed, and can be retried as long as it is not archived")
        if not state.outcome:
            raise NotArchived(f"it has not ended: it is {state.status}")

    async def _pay_rejection(self, state: State) -> None:
        """The rejection a last refused command is owed, which an engine that died may not have published."""
        if state.refusal is not None:
            refusal = state.refusal
            data = rejection(refusal.command, refusal.command_seq, list(refusal.problems))
            await self._reject(state.session, refusal.command_seq, data)

    def _stone(self, state: State, path: Path, digest: str) -> ev.SessionArchived:
        return ev.SessionArchived(
            session=state.session,
            n=state.n + 1,
            at=rfc3339(self._now()),
            by=BY,
            prev=state.head,
            head=state.head,
            count=state.n,
            last_command=state.last_command,
            start_id=state.start_id,
            export_digest=digest,
            summary=_summary(state, path),
        )


def _is_stone(data: bytes) -> bool:
    return b"session_archived" in data and isinstance(ev.decode(data), ev.SessionArchived)


def _summary(state: State, path: Path) -> dict[str, Any]:
    """What a session's row keeps of it."""
    return {
        "status": state.outcome,
        "pipeline": state.pipeline_name,
        "digest": state.digest,
        "labels": state.labels,
        "result": state.result,
        "artifacts": state.artifacts if state.outcome == "completed" else None,
        "error": None if state.error is None else msgspec.to_builtins(state.error),
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "export": path.name,
    }
