"""`Client`: the sessions and pipelines of one bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

import msgspec

from stageflow_es import stageflow
from stageflow_es.bus.jetstream.command_log import JetStreamCommandLog
from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.event_log import JetStreamEventLog
from stageflow_es.bus.jetstream.leases import JetStreamLeases
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.archiving import Archivist
from stageflow_es.client.arguments import places
from stageflow_es.client.auditing import Record
from stageflow_es.client.bulk import AT_ONCE as BULK_AT_ONCE
from stageflow_es.client.bulk import BulkAction, BulkAnswer, check, choose, control_all
from stageflow_es.client.commands import Sender, Sent
from stageflow_es.client.ending import Endings
from stageflow_es.client.follow import Follower
from stageflow_es.client.handle import SessionHandle
from stageflow_es.client.hearing import Hearing
from stageflow_es.client.journal import Journal
from stageflow_es.client.queries import Queries, SessionCounts, SessionInfo, askable, numbered, question
from stageflow_es.client.selection import Selection, runs, select
from stageflow_es.engine.ports import CommandKind
from stageflow_es.engine.vitals import Vitals
from stageflow_es.errors import DefinitionError, Problem
from stageflow_es.pipeline import Pipeline, canonical, validate
from stageflow_es.pipeline.values import is_text
from stageflow_es.session.wire import ForkBody, ForkPoint, StartBody

ANSWER_WITHIN = 30.0
"""Seconds an engine's answer to a command is waited for."""
AT_ONCE = 100
"""Starts under way at the same time."""

Definition = Mapping[str, Any] | str | Pipeline | stageflow.Pipeline
"""A document, a registered name, `name@digest`, or a pipeline."""


class Client:
    """Talks to one bus. `timeout`: seconds an engine's answer is waited for. Made with `connect`."""

    def __init__(self, link: Link, prefix: str, *, timeout: float = ANSWER_WITHIN) -> None:
        self.names = Names(prefix)
        self.timeout = timeout
        self.queries = Queries(link, self.names)
        self.definitions = JetStreamDefinitions(link, self.names)
        self.link = link
        self._hearing = Hearing(link.client, self.names)
        self._sender = Sender(link, self.names, self.queries, self._hearing)
        self._endings = Endings(link, self.names, self._hearing)

    async def close(self) -> None:
        await self._sender.close()
        await self._hearing.close()
        await self.link.close()
        await self.link.client.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- sessions ---

    async def start(
        self,
        pipeline: Definition,
        *,
        session: str | None = None,
        payload: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        paused: bool = False,
        id: str | None = None,
        wait: bool = True,
    ) -> SessionHandle:
        """Start a session and return its handle, by default once an engine has accepted it.

        `session`: its id, made up when not given. `id`: the command's idempotency key; a start sent again under the
        same key and session starts nothing twice. Raises CommandRejected with every problem of the definition.
        """
        handle = self.session(token_hex(10) if session is None else session)
        body = StartBody(pipeline=_document(pipeline), payload=_object(payload), labels=_object(labels), paused=paused)
        await self.send("start", handle.id, body, id=id, wait=wait)
        return handle

    async def start_many(self, starts: Sequence[Mapping[str, Any]], *, at_once: int = AT_ONCE) -> list[SessionHandle]:
        """Start several, each given as the arguments of `start`, up to `at_once` at a time.

        Raises what the first that failed raised; those already sent are not taken back, and no more are sent.
        """
        starts = list(starts) if isinstance(starts, Iterable) else [starts]
        if not all(isinstance(one, Mapping) for one in starts):
            raise TypeError("start_many takes a list with the arguments of each `start`, such as [{'pipeline': ...}]")
        free = asyncio.Semaphore(places(at_once))

        async def one(arguments: Mapping[str, Any]) -> SessionHandle:
            async with free:
                return await self.start(**arguments)

        under_way = [asyncio.ensure_future(one(arguments)) for arguments in starts]
        try:
            return list(await asyncio.gather(*under_way))
        finally:
            for start in under_way:
                start.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def fork(
        self,
        source: str,
        at: int | None = None,
        *,
        session: str | None = None,
        pipeline: Definition | None = None,
        payload: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        paused: bool = False,
        id: str | None = None,
        wait: bool = True,
    ) -> SessionHandle:
        """Start a session where `source` stood as of its event `at`, its latest when not given; `source` goes on as it
        is. What a fork takes over is in `stageflow_es.session.fork`.

        `pipeline`: go on under another definition, in which all nodes in progress have to be; `payload`: keys of the
        context to replace; `labels` are added to the source's. The rest is as for `start`. Raises CommandRejected.
        """
        handle = self.session(token_hex(10) if session is None else session)
        body = ForkBody(
            fork=ForkPoint(session=source, at=at),
            pipeline=_document(pipeline),
            payload=_object(payload),
            labels=_object(labels),
            paused=paused,
        )
        await self.send("start", handle.id, body, id=id, wait=wait)
        return handle

    def session(self, id: str) -> SessionHandle:
        """A handle on a session, whether it exists or not."""
        return SessionHandle(self, id)

    async def sessions(
        self, *, status: str | None = None, pipeline: str | None = None, label: str | None = None, page: int = 100
    ) -> AsyncGenerator[SessionInfo]:
        """The sessions the projection has, asked for page by page. `pipeline`: its name, or `name@digest` for those of
        one version (`@digest`, whatever it is named, has all sessions looked at). `label`: `key=value`.

        Raises OperatorError when no query service answers.
        """
        cursor: str | None = None
        nameless = isinstance(pipeline, str) and pipeline.startswith("@")
        named = None if nameless else pipeline
        while True:
            found = await self.queries.sessions(status=status, pipeline=named, label=label, limit=page, cursor=cursor)
            for row in found.sessions:
                if not nameless or runs(row, pipeline):
                    yield row
            cursor = found.cursor
            if cursor is None:
                return

    async def counts(self, pipeline: str | None = None, *, limit: int = 50) -> SessionCounts:
        """How many sessions have which status, as the projection has them: all, or those of one pipeline by its name;
        and by pipeline, for up to `limit` (500 at most) of those with most sessions.

        Raises OperatorError when no query service answers.
        """
        return await self.queries.counts(pipeline=pipeline, limit=limit)

    def select(self, wanted: Selection) -> AsyncGenerator[SessionInfo]:
        """The sessions of a selection, as the projection has them. Raises OperatorError when no query service
        answers."""
        return select(self, wanted)

    async def bulk(
        self,
        action: BulkAction,
        wanted: Selection | Iterable[SessionInfo],
        *,
        reason: str | None = None,
        at_once: int = BULK_AT_ONCE,
    ) -> AsyncGenerator[BulkAnswer]:
        """Pause, resume, stop or retry every session of a selection that can take it; the answers as they come.

        Sessions that cannot take it (see `bulk.APPLIES`) are left alone. Repeated, it acts on no session twice at the
        same version. Ended early, what was not sent is not sent. Raises CommandRejected for another action.
        """
        check(action)
        rows = [row async for row in select(self, wanted)] if isinstance(wanted, Selection) else wanted
        chosen = choose(rows, action)
        async with aclosing(control_all(self, action, chosen, reason=reason, at_once=at_once)) as answers:
            async for answer in answers:
                yield answer

    @asynccontextmanager
    async def archivist(self, directory: Path | str, *, include_failed: bool = False) -> AsyncGenerator[Archivist]:
        """What archives sessions into a directory; its `archive(session)` does it for one."""
        settings = BusSettings(prefix=self.names.prefix)
        events = JetStreamEventLog(self.link, settings)
        reject = JetStreamCommandLog(self.link, settings).reject
        try:
            yield Archivist(events, self.definitions, reject, Path(directory), include_failed=include_failed)
        finally:
            await events.close()

    # --- pipelines ---

    async def register(self, name: str, definition: Mapping[str, Any] | Pipeline | stageflow.Pipeline) -> str:
        """Publish a definition under a name and return its digest; sessions that run keep the version they have.

        Its structure is checked here, its stages by the engine that starts it. Raises DefinitionError, also for a name
        nobody could start it by.
        """
        document = _document(definition)
        errors = [problem for problem in validate(document) if problem.severity == "error"]
        if not isinstance(name, str) or not name or "@" in name or not is_text(name):
            text = f"a pipeline cannot be named {name!a}: a name is a text that is not empty, and @ is for versions"
            errors.insert(0, Problem(message=text))
        if errors:
            raise DefinitionError(errors)
        digest = await self.definitions.put(canonical(document))
        await self.definitions.name(name, digest)
        return digest

    async def pipelines(self) -> dict[str, str]:
        """Every registered name with the digest it points to now."""
        return await self.definitions.names()

    async def definition(self, reference: str) -> dict[str, Any] | None:
        """The document of `name`, `name@digest` (or the digest's beginning), or of a bare digest; None: unknown. Raises
        QueryRefused for what is no text."""
        question("pipeline.get", pipeline=reference)
        name, _, wanted = reference.partition("@")
        if wanted:
            versions = [digest for digest in await self.definitions.versions(name) if digest.startswith(wanted)]
            digest = versions[-1] if len(set(versions)) == 1 else None
        else:
            digest = await self.definitions.resolve(name)
        data = await self.definitions.get(digest or reference)
        document: dict[str, Any] | None = None if data is None else msgspec.json.decode(data)
        return document

    async def stages(self) -> list[dict[str, Any]]:
        """What the query service knows of the stages: name, category, arguments, config, outputs and so on."""
        answer: dict[str, Any] = msgspec.json.decode(await self.queries.ask("stages"))
        stages: list[dict[str, Any]] = answer["stages"]
        return stages

    async def engines(self) -> dict[str, Vitals]:
        """The engines alive, by name, and how they do: what each said when it said last that it is alive. Needs to
        read the engines' bucket."""
        return await JetStreamLeases(self.link, BusSettings(prefix=self.names.prefix)).members()

    async def health(self) -> dict[str, Any]:
        """Whether the projection keeps up: `status` `ok`, `behind` or `failing`, and how far it is."""
        report: dict[str, Any] = msgspec.json.decode(await self.queries.ask("health"))
        return report

    # --- for the handles ---

    async def send(self, kind: CommandKind, session: str, body: msgspec.Struct, *, id: str | None, wait: bool) -> Sent:
        """Send a command; see `SessionHandle`."""
        return await self._sender.send(kind, session, body, id=id, wait=wait, timeout=self.timeout)

    def follow(self, session: str, start: int, follow_on: bool) -> AsyncGenerator[bytes]:
        """A session's events from number `start` on. Raises QueryRefused for an id that is none, as all that reads."""
        follower = Follower(
            self.link, self.names, self.queries, askable(session), start=numbered(start), follow_on=follow_on
        )
        return follower.events()

    async def end_of(self, session: str) -> bytes | None:
        """See `Endings.soon`."""
        return await self._endings.soon(askable(session))

    async def record(self, session: str) -> Record:
        """A session's stored history, for an auditor."""
        return await Record.open(self.link, self.names, self.definitions, askable(session))

    def journal(self, session: str, start: int = 1) -> Journal:
        """A reader of a session's stored events."""
        return Journal(self.link, self.names, self.queries, askable(session), numbered(start))


def _document(pipeline: Definition | None) -> Any:
    """A definition as JSON has it, or its name. What is neither is left for whoever checks it to refuse."""
    match pipeline:
        case Pipeline():
            return pipeline.raw
        case stageflow.Pipeline():
            return pipeline.raw_json
        case Mapping():
            return dict(pipeline)
        case _:
            return pipeline


def _object(given: Mapping[str, Any] | None) -> Any:
    """A mapping as JSON has it; none is an empty one. What is no mapping is left to be refused."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else given
