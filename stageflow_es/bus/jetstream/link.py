"""One connection to JetStream: requests with one answer or many, the JSON API, and raw frames.

nats-py's own request makes a task and a header object per message; a group commit cannot afford that, so
answers come in on one inbox of ours. `write` is the only place that reaches into nats-py's private parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import msgspec
from nats import errors as nats_errors

from stageflow_es.bus.jetstream.connection import Connection, Denial, Listener
from stageflow_es.bus.jetstream.incoming import Incoming, Take
from stageflow_es.engine.ports import BusError, Refused, Unanswered, WrongSequence

API = "$JS.API"
WRONG_SEQUENCE = frozenset({10071, 10164})
NO_ROOM = frozenset({10002, 10023, 10047, 10077})
"""The account, the server, its store, or the stream has reached its limit: a write may succeed later."""
_NOT_NOW = NO_ROOM | {10158, 10176, 10210}
"""So it may where the same message is still under way, there were too many batches, or one did not arrive whole."""
_NO_LEADER = 503
_FROM_ANYBODY = ("INFO", "STREAM.INFO.")
"""What servers answer that are cut off, too."""
STRANDED = 10.0
"""Seconds without one answer that takes a leader, after which another server is tried: the network may have cut this
one off from those that have a majority, and it keeps its clients all the same. Longer than it takes to elect a leader.
"""
NO_MESSAGE = 10037
NO_STREAM = 10059
NOT_ENABLED = frozenset({10039, 10076})
"""There is no JetStream for this account."""
_DEAF = "this user may not subscribe to its inbox, so no answer reaches it: allow it _INBOX.>, or its own prefix of it"
_NO_RESPONDERS = "503"
_PROTOCOL = 64
_STREAMS = (f"{API}.DIRECT.GET.", "$KV.")
_NO_STREAM = "; where no engine has ever run on this server, account and prefix, there is no such stream"

Headers = dict[str, str]
Heard = TypeVar("Heard")


class ApiError(Exception):
    """JetStream answered with an error. `number` is its error code, `status` the HTTP-like class of it."""

    def __init__(self, status: int, number: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.number = number
        self.description = description

    @property
    def passing(self) -> bool:
        """Whether the same may succeed later: 5xx says the server cannot just now, and so does a limit that is reached,
        or a message that is still under way."""
        return self.status >= 500 or self.number in _NOT_NOW

    def as_bus_error(self, what: str) -> BusError:
        """The outcome of a write that got this answer."""
        text = f"{what}: {self.description}"
        if self.number in WRONG_SEQUENCE:
            return WrongSequence(text)
        return Unanswered(text) if self.passing else Refused(text)


class Denied(Unanswered):
    """The server does not let this user ask, or hear the answer: nothing was done."""


class Absent(Unanswered):
    """Nobody was there to answer: nothing was done."""


def checked(msg: Incoming) -> dict[str, Any]:
    """The JSON answer of the API. Raises ApiError."""
    body: dict[str, Any] = msgspec.json.decode(msg.data)
    if error := body.get("error"):
        raise ApiError(error.get("code", 500), error.get("err_code", 0), error.get("description", "unknown error"))
    return body


def responded(msg: Incoming, what: str) -> Incoming:
    """The answer. Raises Absent when the server says that nobody is there to give one."""
    if msg.status == _NO_RESPONDERS:
        absent = _NO_STREAM if what.startswith(_STREAMS) else ""
        raise Absent(f"nothing answers on {what} just now{absent}")
    return msg


class Link:
    """Requests over one NATS connection. Made with `open`; `within` (seconds) bounds every answer."""

    def __init__(self, client: Connection, timeout: float) -> None:
        self.client = client
        self.timeout = timeout
        self._inbox = client.new_inbox()
        self._tokens = count(1)
        self._sinks: dict[str, Take] = {}
        self._answers: Listener | None = None
        self._awaited: dict[asyncio.Future[Any], str] = {}
        self._deaf = False
        self._silent_since: float | None = None

    @classmethod
    async def open(cls, client: Connection, within: float) -> Link:
        link = cls(client, within)
        client.when_lost(link._give_up)
        client.when_denied(link._denied)
        link._answers = await client.listen(f"{link._inbox}.*", link._deliver)
        return link

    async def close(self) -> None:
        if self._answers is not None and not self.client.is_closed:
            await self._answers.close()

    @property
    def deaf(self) -> bool:
        """Whether the server does not let this user hear any answer."""
        return self._deaf

    @property
    def reconnects(self) -> int:
        """How often the connection was made anew: what was under way before is lost."""
        return self.client.stats["reconnects"]

    def _deliver(self, msg: Incoming) -> None:
        if sink := self._sinks.get(msg.subject.rsplit(".", 1)[1]):
            sink(msg)

    @contextmanager
    def expecting(self, sink: Take) -> Iterator[str]:
        """A reply subject whose messages go to `sink` while the block runs."""
        token = str(next(self._tokens))
        self._sinks[token] = sink
        try:
            yield f"{self._inbox}.{token}"
        finally:
            del self._sinks[token]

    @contextmanager
    def expecting_each(self, sinks: Sequence[Take]) -> Iterator[list[str]]:
        """Reply subjects, one for each of the sinks, while the block runs."""
        tokens = [str(next(self._tokens)) for _ in sinks]
        self._sinks.update(zip(tokens, sinks, strict=True))
        try:
            yield [f"{self._inbox}.{token}" for token in tokens]
        finally:
            for token in tokens:
                del self._sinks[token]

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: Headers | None = None) -> None:
        """Send without an answer of its own. Raises Refused, Unanswered."""
        size = len(payload) + sum(len(name) + len(value.encode()) + 8 for name, value in (headers or {}).items())
        if size + _PROTOCOL > self.client.max_payload:  # the server would close the connection
            raise Refused(f"{len(payload):,} bytes are more than the server takes in a message")
        try:
            await self.client.publish(subject, payload, reply=reply, headers=headers)
        except (nats_errors.Error, OSError) as error:
            raise Unanswered(f"could not send to {subject}: {error}") from error

    async def write(self, frames: bytes) -> None:
        """Send protocol frames as they are, all of them or (while disconnected) none."""
        if not self.client.is_connected:
            raise Unanswered(self.client.absence())
        try:
            await self.client.send(frames)
        except OSError as error:
            raise Unanswered(f"the connection broke while sending: {error}") from error

    async def request(
        self, subject: str, payload: bytes, headers: Headers | None = None, within: float | None = None
    ) -> Incoming:
        """One answer. Raises Unanswered when none comes, or nobody is there to give it."""
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        with self.expecting(lambda msg: None if answer.done() else answer.set_result(msg)) as reply:
            await self.publish(subject, payload, reply, headers)
            return await self.answered(answer, subject, within)

    async def answered(self, answer: asyncio.Future[Incoming], what: str, within: float | None = None) -> Incoming:
        """Wait for an answer that is expected to `what`, the subject if it is one message. Raises Unanswered, at once
        when the connection is lost, and Denied when this user may not publish there."""
        return responded(await self.heard(answer, what, within), what)

    async def heard(self, future: asyncio.Future[Heard], what: str, within: float | None = None) -> Heard:
        """Wait for a future that answers bring about. Raises what `answered` does."""
        if self._deaf:
            raise Denied(_DEAF)
        self._awaited[future] = what
        wait = self.timeout if within is None else within
        timer = asyncio.get_running_loop().call_later(wait, self._end, future, what)
        try:
            return await future
        finally:
            timer.cancel()
            del self._awaited[future]

    def _end(self, future: asyncio.Future[Any], what: str) -> None:
        if not future.done():
            reason = "" if self.client.is_connected else f": {self.client.absence()}"
            future.set_exception(Unanswered(f"no answer to {what}{reason}"))

    def _give_up(self) -> None:
        """The connection is lost: no answer still comes to what was asked over it."""
        self._deaf = False
        for answer in self._awaited:
            if not answer.done():
                answer.set_exception(Unanswered("the connection was lost before an answer came"))

    def _denied(self, denial: Denial) -> None:
        if denial.verb == "subscribe":
            self._deaf = self._deaf or denial.subject == f"{self._inbox}.*".lower()
        for answer, what in self._awaited.items():
            if answer.done():
                continue
            if self._deaf:
                answer.set_exception(Denied(_DEAF))
            elif denial.verb == "publish" and what.lower() == denial.subject:
                answer.set_exception(
                    Denied(f"this user may not publish on {what}: its permissions on the server say so")
                )

    async def api(self, path: str, body: object = None, within: float | None = None) -> dict[str, Any]:
        """A call of the JetStream API: `path` without `$JS.API.`. Raises ApiError, Unanswered."""
        payload = b"" if body is None else msgspec.json.encode(body)
        with self.heeding(tells=not path.startswith(_FROM_ANYBODY)):
            return checked(await self.request(f"{API}.{path}", payload, within=within))

    async def store(self, subject: str, payload: bytes, headers: Headers | None = None) -> int:
        """Publish to a stream and return the sequence it was stored at. Raises ApiError, Unanswered,
        Refused.
        """
        with self.heeding():
            ack = checked(await self.request(subject, payload, headers))
        return int(ack["seq"])

    @contextmanager
    def heeding(self, *, tells: bool = True) -> Iterator[None]:
        """Note whether what is asked in the block is answered, and leave a server where nothing is. `tells`: whether an
        answer can only be a leader's."""
        try:
            yield
        except (ApiError, Unanswered) as error:
            answered = error.status != _NO_LEADER if isinstance(error, ApiError) else isinstance(error, Denied)
            now = asyncio.get_running_loop().time()
            if answered:
                self._silent_since = None if tells else self._silent_since
            elif self._silent_since is None:
                self._silent_since = now
            elif now - self._silent_since >= STRANDED:
                self._silent_since = None
                self.client.leave_server()
            raise
        else:
            self._silent_since = None if tells else self._silent_since
