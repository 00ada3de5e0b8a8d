"""From a message of the command log to a command of the core. Whatever is wrong with it becomes a `Refuse`."""

from __future__ import annotations

from typing import Any

from stageflow_es.engine.clock import Clock, rfc3339
from stageflow_es.engine.definitions import Found, Library
from stageflow_es.engine.forking import Forks
from stageflow_es.engine.ports import CommandMessage, EventLog
from stageflow_es.errors import Problem
from stageflow_es.log import logger
from stageflow_es.pipeline import Catalog, Pipeline
from stageflow_es.session import commands as cmd
from stageflow_es.session.wire import ControlBody, ForkBody, InputBody, StartBody, glance, parse_command

log = logger(__name__)

SHOWN = 200
"""Characters of an unreadable body that a rejection repeats."""

REMEMBERED = 256
LONGEST_REMEMBERED = 64 * 1024
"""Definitions known again by their text, and the bytes of the longest."""


class Intake:
    """Parses commands and finds the pipelines they start."""

    def __init__(self, library: Library, catalog: Catalog, clock: Clock, by: str, events: EventLog) -> None:
        self._library = library
        self._catalog = catalog
        self._clock = clock
        self._by = by
        self._forks = Forks(events, library)
        self._seen: dict[bytes, Pipeline] = {}

    async def prepare(self, message: CommandMessage, found: Found) -> tuple[cmd.BusCommand, Pipeline | None]:
        """The command of a message, and the pipeline if it starts one. Never raises for what a sender did.

        `found` is kept by the caller for messages that it read together: what one of them asked for by name is not
        asked for again.
        """
        fields: dict[str, Any] = {
            "at": rfc3339(self._clock.now()),
            "by": self._by,
            "seq": message.seq,
            "id": message.id,
        }
        if message.kind == "start" and (known := self._known_start(message, fields)) is not None:
            return known
        body = parse_command(message.kind, message.session, message.data)
        match body:
            case StartBody():
                start, pipeline = await self._start(body, fields, found)
                self._remember(message, pipeline)
                return start, pipeline
            case ForkBody():
                return await self._fork(body, fields, found)
            case InputBody():
                return cmd.Input(**fields, type=body.type, payload=body.payload), None
            case ControlBody():
                control = cmd.Control(**fields, action=body.action, scope=body.scope, reason=body.reason)
                return control, None
            case problems:
                text = bytes(message.data[:SHOWN]).decode("utf-8", "replace")
                shown = {"command": message.kind, "body": text}
                return cmd.Refuse(**fields, problems=tuple(problems), body=shown), None

    def _known_start(self, message: CommandMessage, fields: dict[str, Any]) -> tuple[cmd.BusCommand, Pipeline] | None:
        """A start whose definition came before, byte for byte: it was validated and stored then."""
        body = glance(message.session, message.data)
        pipeline = None if body is None else self._seen.get(bytes(body.pipeline))
        if body is None or pipeline is None:
            return None
        start = cmd.Start(**fields, pipeline=None, payload=body.payload, labels=body.labels, paused=body.paused)
        return start, pipeline

    def _remember(self, message: CommandMessage, pipeline: Pipeline | None) -> None:
        """Know the definition of this start again."""
        body = glance(message.session, message.data)
        if body is None or pipeline is None:
            return
        text = bytes(body.pipeline)
        if text[:1] == b"{" and len(text) <= LONGEST_REMEMBERED:
            if len(self._seen) >= REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[text] = pipeline

    async def _start(
        self, body: StartBody, fields: dict[str, Any], found: Found
    ) -> tuple[cmd.BusCommand, Pipeline | None]:
        name = body.pipeline if isinstance(body.pipeline, str) else None
        pipeline = await self._pipeline(body.pipeline, found)
        if isinstance(pipeline, list):
            return _refused(fields, name, pipeline), None
        start = cmd.Start(
            **fields,
            pipeline=name.partition("@")[0] if name else None,
            payload=body.payload,
            labels=body.labels,
            paused=body.paused,
        )
        return start, pipeline

    async def _fork(
        self, body: ForkBody, fields: dict[str, Any], found: Found
    ) -> tuple[cmd.BusCommand, Pipeline | None]:
        name = body.pipeline if isinstance(body.pipeline, str) else None
        other = None if body.pipeline is None else await self._pipeline(body.pipeline, found)
        if isinstance(other, list):
            return _refused(fields, name, other), None
        try:
            fork = await self._forks.prepare(body.fork, other)
        except Exception:
            log.exception("fork_not_prepared", session=body.fork.session, at=body.fork.at)
            fork = [Problem(path="/fork", message="this fork could not be prepared; the fault is ours")]
        if isinstance(fork, list):
            return _refused(fields, name, fork), None
        start = cmd.Start(
            **fields,
            pipeline=fork.name if other is None else name.partition("@")[0] if name else None,
            payload=body.payload,
            labels={**fork.labels, **body.labels},
            paused=body.paused,
            fork=fork.origin,
        )
        return start, fork.pipeline

    async def _pipeline(self, wanted: dict[str, Any] | str, found: Found) -> Pipeline | list[Problem]:
        try:
            if isinstance(wanted, str):
                return await self._library.by_reference(wanted, self._catalog, found)
            return await self._library.inline(wanted, self._catalog)
        except Exception:
            log.exception("start_not_prepared", pipeline=wanted if isinstance(wanted, str) else None)
            return [Problem(path="/pipeline", message="this definition could not be prepared; the fault is ours")]


def _refused(fields: dict[str, Any], name: str | None, problems: list[Problem]) -> cmd.Refuse:
    return cmd.Refuse(**fields, problems=tuple(problems), body={"command": "start", "pipeline": name})
