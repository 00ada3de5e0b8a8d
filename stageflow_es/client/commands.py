"""Sending a command, and learning what became of it.

The bus answers that it has a command; the engine answers with an event that carries the command's id, or with a
rejection that carries its sequence. Both are listened to before the command is sent. Where an answer may have been
missed (a reconnect, a command sent twice), what is stored is read once a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from secrets import token_hex

import msgspec

from stageflow_es.bus.jetstream.direct_get import page
from stageflow_es.bus.jetstream.link import NO_ROOM, NO_STREAM, Absent, ApiError, Denied, Link
from stageflow_es.bus.jetstream.outbox import Outbox
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.hearing import Hearing
from stageflow_es.client.journal import Journal
from stageflow_es.client.queries import Queries
from stageflow_es.engine.ports import CommandKind, Refused, Unanswered
from stageflow_es.errors import CommandRejected, OperatorError, Problem
from stageflow_es.pipeline.values import encode, is_text
from stageflow_es.session.ids import is_session_id, not_an_id
from stageflow_es.session.wire import Rejection, parse_command

LOOK_AFTER = 1.0
"""Seconds without the answer after which what is stored is read, however much else is heard of the session."""
SEND_ATTEMPTS = 3
REFUSALS = frozenset({"command_rejected", "input_rejected", "skip_denied"})
_MAY_BE_KEPT = "It may be kept all the same; sent again under its id it counts once"


class Sent(msgspec.Struct, frozen=True):
    """A command that the bus has: its number in the log. Once it is applied, the type of the event that says so, and
    the waits an input went to; none: it is kept for the next."""

    seq: int
    event: str = ""
    waits: tuple[str, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    """What of an event says which command it answers, and how."""

    type: str
    n: int = 0
    cause: int | str | None = None
    command_id: str | None = None
    start_id: str | None = None
    problems: list[Problem] = []
    waits: tuple[str, ...] = ()


_event = msgspec.json.Decoder(_Answer)
_rejection = msgspec.json.Decoder(Rejection)


class Sender:
    """Sends commands over one connection."""

    def __init__(self, link: Link, names: Names, queries: Queries, hearing: Hearing) -> None:
        self._link = link
        self._names = names
        self._queries = queries
        self._outbox = Outbox(link)
        self._hearing = hearing

    async def close(self) -> None:
        await self._outbox.close()

    async def send(
        self, kind: CommandKind, session: str, body: msgspec.Struct, *, id: str | None, wait: bool, timeout: float
    ) -> Sent:
        """Send a command, and return once the bus has it, or with `wait` once an engine has applied it.

        Raises CommandRejected when it is refused, and OperatorError when the bus, or with `wait` the engine, says
        nothing within `timeout` seconds, or the connection is closed.
        """
        data = _checked(kind, session, body)
        key = f"{session}-{token_hex(8)}" if id is None else _key(session, id)
        if self._link.client.is_closed:
            raise OperatorError("the connection is closed, and the command was not sent")
        if not wait:
            return Sent(await self._store(kind, session, data, key, timeout))
        watch = _Watch(self._link, self._names, self._queries, session)
        try:
            await self._hearing.begin(session, watch.take)
            seq = await self._store(kind, session, data, key, timeout)
            answer = await watch.answer(seq, key, timeout)
        except TimeoutError:
            raise OperatorError(
                f"no engine has answered within {timeout:g} s. The command is kept (number {seq}) and will be applied "
                "as soon as an engine runs on this bus and prefix"
            ) from None
        finally:
            self._hearing.end(session, watch.take)
        return Sent(seq, answer.type, answer.waits)

    async def _store(self, kind: CommandKind, session: str, data: bytes, key: str, within: float) -> int:
        """Publish until the bus says it has it; the key makes repeating harmless. In a cluster nothing takes commands
        for the seconds until another server leads their stream: that is waited out, up to `within` seconds."""
        subject = self._names.command(kind, session)
        deadline = asyncio.get_running_loop().time() + within
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._outbox.store(subject, data, key)
            except (ApiError, Refused, Unanswered) as problem:
                if isinstance(problem, Refused) or (isinstance(problem, ApiError) and _final(problem)):
                    raise CommandRejected([Problem(message=f"the bus refuses the command: {problem}")]) from problem
                if self._link.client.is_closed:
                    raise OperatorError(
                        f"the connection was closed before the bus had the command. {_MAY_BE_KEPT}"
                    ) from problem
                late = asyncio.get_running_loop().time() >= deadline
                if attempt >= SEND_ATTEMPTS and (late or await self._is_nowhere(problem)):
                    raise OperatorError(_unsent(subject, problem, self._names.prefix, late)) from problem
            await asyncio.sleep(0.1)

    async def _is_nowhere(self, problem: Exception) -> bool:
        """Whether there is no stream that takes commands, or not for this user."""
        if isinstance(problem, Denied):
            return True
        try:
            await self._link.api(f"STREAM.INFO.{self._names.commands}", within=LOOK_AFTER)
        except ApiError as answer:
            return answer.number == NO_STREAM
        except Unanswered as silence:
            return isinstance(silence, Absent)
        return False


def _final(problem: ApiError) -> bool:
    """Whether to tell who sends the command, rather than to send it again."""
    return not problem.passing or problem.number in NO_ROOM


def _unsent(subject: str, problem: Exception, prefix: str, late: bool) -> str:
    why = f"no engine has ever run on this server under the prefix {prefix!r}, or this user may not publish there"
    if late:
        why = f"no server has said that it has it. {_MAY_BE_KEPT}"
    return f"nothing takes commands on {subject} ({problem}): {why}"


class _Watch:
    """Finds the answer to a command in what is said of its session."""

    def __init__(self, link: Link, names: Names, queries: Queries, session: str) -> None:
        self._link = link
        self._names = names
        self._session = session
        self._journal = Journal(link, names, queries, session)
        self._rejections_read = 0
        self._heard: deque[tuple[bool, bytes]] = deque()
        self._stirred = asyncio.Event()

    def take(self, rejected: bool, data: bytes) -> None:
        """Hear an event or a rejection."""
        self._heard.append((rejected, data))
        self._stirred.set()

    async def answer(self, seq: int, key: str, within: float) -> _Answer:
        """What says that the command is applied, once it is. Raises CommandRejected, and TimeoutError after `within`
        seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        look = loop.time() + LOOK_AFTER
        while True:
            await self._stir(min(look, deadline))
            if answer := self._told(seq, key):
                return answer
            if loop.time() < min(look, deadline):
                continue
            async with asyncio.timeout_at(deadline):
                if answer := await self._stored(seq, key):
                    return answer
            look = loop.time() + LOOK_AFTER
            if self._link.client.is_closed:
                raise OperatorError(f"the connection was closed. The command is kept (number {seq})")

    async def _stir(self, until: float) -> None:
        """Wait until something is heard, or until then."""
        if self._heard:
            return
        self._stirred.clear()
        patience = asyncio.get_running_loop().call_at(until, self._stirred.set)
        try:
            await self._stirred.wait()
        finally:
            patience.cancel()

    def _told(self, seq: int, key: str) -> _Answer | None:
        """The answer, if it was heard. Raises CommandRejected when it was, and says no."""
        while self._heard:
            rejected, data = self._heard.popleft()
            if rejected:
                _refusal(data, seq)
            elif answer := _acceptance(data, seq, key):
                return answer
        return None

    async def _stored(self, seq: int, key: str) -> _Answer | None:
        """The answer, if the history has it. Raises CommandRejected when the rejections have it."""
        with suppress(Unanswered):
            while found := await self._journal.read():
                for one in found:
                    if answer := _acceptance(one.data, seq, key):
                        return answer
            subject = self._names.rejection(self._session)
            stored = await page(self._link, self._names.rejections, subject, self._rejections_read + 1, 100)
            for item in stored:
                self._rejections_read = item.seq
                _refusal(item.data, seq)
        return None


def _checked(kind: CommandKind, session: str, body: msgspec.Struct) -> bytes:
    """A command's bytes. Raises CommandRejected for what every engine would refuse: who does not wait for an answer
    hears it too."""
    if not isinstance(session, str) or not is_session_id(session):
        raise CommandRejected([Problem(message=not_an_id(session))])
    try:
        data = encode(body)
    except ValueError as problem:
        raise CommandRejected([Problem(message=f"the command is not JSON: {problem}")]) from None
    parsed = parse_command(kind, session, data)
    if isinstance(parsed, list):
        raise CommandRejected(parsed)
    return data


def _key(session: str, id: str) -> str:
    """The command's id as it goes into a line of its message's header, with the session in front: the server takes
    two commands that have the same for one, whatever sessions they are for. Raises CommandRejected."""
    if not is_text(id) or not id or any(char < " " or char == "\x7f" for char in id):
        message = f"a command's id is text that is not empty, without control characters, not {id!a:.80}"
        raise CommandRejected([Problem(message=message)])
    return id if id.startswith(f"{session}-") else f"{session}:{id}"


def _refusal(data: bytes, seq: int) -> None:
    """Raise CommandRejected if this rejection is the answer."""
    found = _rejection.decode(data)
    if found.command_seq == seq:
        raise CommandRejected(found.problems, seq)


def _acceptance(data: bytes, seq: int, key: str) -> _Answer | None:
    """What this event says, if it is the answer. Raises CommandRejected when it is one, and says no."""
    event = _event.decode(data)
    if key not in (event.command_id, event.start_id) and event.cause != seq:
        return None
    if event.type in REFUSALS:
        raise CommandRejected(event.problems, seq)
    return event
