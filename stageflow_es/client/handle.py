"""`SessionHandle`: one session, seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.client.arguments import seconds
from stageflow_es.client.auditing import Record
from stageflow_es.client.follow import FINAL, UnknownEvent, decode, type_of
from stageflow_es.client.outcome import Outcome, outcome_of
from stageflow_es.client.queries import SessionInfo, askable
from stageflow_es.session.commands import Action
from stageflow_es.session.events import AnyEvent
from stageflow_es.session.verify import Broken, Verified
from stageflow_es.session.wire import ControlBody, InputBody

if TYPE_CHECKING:
    from stageflow_es.client.client import Client


class SessionHandle:
    """Made with `Client.start` or `Client.session`; `id` is the session's. Costs nothing until it is used.

    Every command takes `id`, its idempotency key (made up when not given: send it again under the same id and it is
    applied once; where it does not begin with the session's id and a `-`, that and a `:` are put in front), and `wait`:
    False returns as soon as the bus has the command. They return the command's sequence in the log, and raise
    CommandRejected, or OperatorError when nobody answers.
    """

    def __init__(self, client: Client, session: str) -> None:
        self.id = session
        self._client = client

    def __repr__(self) -> str:
        return f"SessionHandle({self.id!r})"

    # --- commands ---

    async def input(self, type_: str, payload: Any = None, *, id: str | None = None, wait: bool = True) -> int:
        """Send an input. It wakes every stage that waits for its type, or is kept for the next that does."""
        return (await self._client.send("input", self.id, InputBody(type=type_, payload=payload), id=id, wait=wait)).seq

    async def pause(self, *, reason: str | None = None, id: str | None = None, wait: bool = True) -> int:
        """Let running stages finish and start none."""
        return await self._control("pause", None, reason, id, wait)

    async def resume(self, *, reason: str | None = None, id: str | None = None, wait: bool = True) -> int:
        """Go on after a pause."""
        return await self._control("resume", None, reason, id, wait)

    async def stop(self, *, reason: str | None = None, id: str | None = None, wait: bool = True) -> int:
        """Cancel what runs and end, with the result `{"result": "stopped"}`."""
        return await self._control("stop", None, reason, id, wait)

    async def skip(
        self, scope: str | None = None, *, reason: str | None = None, id: str | None = None, wait: bool = True
    ) -> int:
        """Skip the active stage, if its class is `skipable`; `scope` names it where several are active."""
        return await self._control("skip", scope, reason, id, wait)

    async def retry(self, *, reason: str | None = None, id: str | None = None, wait: bool = True) -> int:
        """Resume a failed session where it failed."""
        return await self._control("retry", None, reason, id, wait)

    async def _control(self, action: Action, scope: str | None, reason: str | None, id: str | None, wait: bool) -> int:
        body = ControlBody(action=action, scope=scope, reason=reason)
        return (await self._client.send("control", self.id, body, id=id, wait=wait)).seq

    # --- events ---

    async def raw_events(self, from_: int = 1, *, follow: bool = False) -> AsyncGenerator[bytes]:
        """The events as they are stored, from number `from_` on: the history, then live ones, each exactly once.

        Ends after the session's last event; with `follow` it does not, for what `retry` may bring.
        """
        async with aclosing(self._client.follow(self.id, from_, follow)) as stream:
            async for data in stream:
                yield data

    async def events(self, from_: int = 1, *, follow: bool = False) -> AsyncGenerator[AnyEvent | UnknownEvent]:
        """The events of `raw_events`, decoded."""
        async with aclosing(self.raw_events(from_, follow=follow)) as stream:
            async for data in stream:
                yield decode(data)

    async def raw_history(self, from_: int = 1) -> list[bytes]:
        """What is stored now, as it is stored; empty: there is no such session. Of a session that is archived while it
        is read it is what is stored then: its last event."""
        journal = self._client.journal(self.id, from_)
        found: list[bytes] = []
        due = from_
        while page := await journal.read():
            for one in page:
                if one.n != due and type_of(one.data) == "session_archived":
                    found.clear()
                found.append(one.data)
                due = one.n + 1
        return found

    async def history(self, from_: int = 1) -> list[AnyEvent | UnknownEvent]:
        """The stored events from number `from_` on."""
        return [decode(data) for data in await self.raw_history(from_)]

    async def result(self, timeout: float | None = None) -> Outcome:
        """Wait for the end. Raises SessionFailed when the session fails, TimeoutError after `timeout` seconds."""
        if timeout is None:
            return await self._result()
        async with asyncio.timeout(seconds("timeout", timeout)):
            return await self._result()

    async def _result(self) -> Outcome:
        last = await self._client.end_of(self.id) or await self._followed()
        outcome = outcome_of(decode(last))
        assert outcome is not None
        return outcome

    async def _followed(self) -> bytes:
        """The event that ends the session, found by following it."""
        last = b""
        async with aclosing(self.raw_events()) as stream:
            async for data in stream:
                if type_of(data) in FINAL:
                    last = data
        return last

    # --- auditing ---

    async def record(self) -> Record:
        """The stored history as an auditor reads it, to verify and to export. Raises QueryRefused."""
        return await self._client.record(self.id)

    async def verify(self) -> Verified | Broken:
        """Verify every stored event against the definition the session is pinned to. Raises QueryRefused."""
        return await (await self.record()).verify()

    async def export(self) -> AsyncGenerator[bytes]:
        """The lines of an export, to be written to a file; `verify_history` takes it. Raises QueryRefused."""
        async with aclosing((await self.record()).export()) as lines:
            async for line in lines:
                yield line

    # --- looking ---

    async def get(self) -> SessionInfo | None:
        """The session's row in the projection; None: the projection has none. Needs the query service."""
        return await self._client.queries.session(self.id)

    async def state(self, at: int | None = None) -> dict[str, Any]:
        """The state as of event `at` (the latest without), context included. Needs the query service."""
        answer = await self._client.queries.ask("session.state", session=askable(self.id), at=at)
        state: dict[str, Any] = msgspec.json.decode(answer)
        return state
