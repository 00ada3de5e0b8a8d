"""Reads a log in order through a pull consumer without acknowledgements, and notices whatever is lost on
the way.

Nothing tells a reader that a message was sent to it and never arrived; the consumer has moved on. So each
message's delivery number must follow the one before it, and the server's heartbeats, which say how many it
delivered, must agree with what was seen. On a gap, on silence, after a reconnect, or when the consumer is
gone, a new consumer starts behind the last message seen. What was read is never read again by the same
reader, and nothing is left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.connection import Listener
from stageflow_es.bus.jetstream.incoming import Incoming, headers_of
from stageflow_es.bus.jetstream.link import API, ApiError, Link
from stageflow_es.bus.jetstream.log_identity import LogIdentity
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.engine.ports import Unanswered

_NANOSECONDS = 1_000_000_000
_ABANDONED_AFTER = 60
_PULL_FOR = 30.0
_MISSED_HEARTBEATS = 3
_PAUSE = 0.1
_PATIENCE_AT_CLOSE = 1.0
_BURST = 4 * 1024 * 1024
"""Bytes that are asked for at a time in bursts, and bytes that are held from which on none are asked for ahead: between
them, the most that a reader takes.
"""
_BESIDE_PAYLOAD = 64 * 1024
"""More than the subject and all else that the server counts to a message's bytes."""
_TOO_LARGE = "Message Size Exceeds MaxBytes"
_DONE = "Batch Completed"


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One message of a log, and its sequence there. `stored` is `at` as it came."""

    seq: int
    stored: bytes
    subject: bytes
    head: bytes
    data: bytes

    @property
    def at(self) -> int:
        """When it was stored, nanoseconds since 1970."""
        return int(self.stored)

    @property
    def message(self) -> Incoming:
        return Incoming(self.subject, b"", self.head, self.data)


class LogReader:
    """A reader of the messages under `filters` (none: of all) above `after`; `parse` makes of each what `fetch`
    returns, or None.

    `bursts`: when asked, the server sends what there is, or with nothing there the next message, and then no more until
    it is asked again. Whoever fetches now and then gets a busy log in few large pieces, which costs both sides less.
    Where there is more than was asked for, that is asked for at once: the server sends it while we work on the rest.
    """

    def __init__(
        self,
        link: Link,
        settings: BusSettings,
        stream: str,
        filters: list[str],
        after: int,
        parse: Callable[[Delivery], Any],
        *,
        bursts: bool = False,
    ) -> None:
        self._link = link
        self._settings = settings
        self._stream = stream
        self._filters = filters
        self._parse = parse
        self._bursts = bursts
        self._identity = LogIdentity(link, stream)
        self._seen = after
        self._found: deque[Any] = deque()
        self._stirred = asyncio.Event()
        self._consumer: str | None = None
        self._broken = False
        self._inbox: Listener | None = None
        self._delivered = 0
        self._wanted = 0
        self._room = 0
        self._held = 0
        self._asked_behind = 0
        self._larger_than_any = False
        self._asking: asyncio.Task[None] | None = None
        self._heard = 0.0
        self._reconnects = 0

    async def start(self) -> LogReader:
        """Check that the log is long enough. Raises LogRecreated, Unanswered."""
        while True:
            if await self._identity.holds(self._seen):
                return self
            await asyncio.sleep(_PAUSE)

    async def fetch(self, limit: int, wait: float) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while not self._found and (left := deadline - loop.time()) > 0:
            self._stirred.clear()
            try:
                await self._keep_pulling(left)
            except Unanswered:
                await asyncio.sleep(min(_PAUSE, left))
                continue
            try:
                async with asyncio.timeout(min(max(deadline - loop.time(), 0), self._settings.heartbeat)):
                    await self._stirred.wait()
            except TimeoutError:
                continue
        if self._found and self._consumer is not None and self._running_short(limit):
            with suppress(Unanswered):  # more comes while these are looked at
                await self._pull()
        return self._take(limit)

    def _running_short(self, limit: int) -> bool:
        """Whether to ask for more although there is some: half of what was asked for is there already, or the burst
        is over."""
        enough = 0 if self._bursts else self._settings.pull // 2
        return self._wanted <= enough and len(self._found) <= limit

    def _take(self, limit: int) -> list[Any]:
        if self._found:  # only the first of them was noted when it came
            self._heard = asyncio.get_running_loop().time()
        if limit < len(self._found):
            self._held -= self._held * limit // len(self._found)
            return [self._found.popleft() for _ in range(limit)]
        taken = list(self._found)
        self._found.clear()
        self._held = 0
        return taken

    async def close(self) -> None:
        if self._asking is not None:
            await self._asking
        name = await self._leave_consumer()
        if name is not None and self._link.client.is_connected:
            with suppress(ApiError, Unanswered):  # an abandoned consumer goes by itself, later
                await self._link.api(f"CONSUMER.DELETE.{self._stream}.{name}", within=_PATIENCE_AT_CLOSE)

    async def _keep_pulling(self, patience: float) -> None:
        """Have a consumer that is alive, and a request at it. Raises LogRecreated, Unanswered."""
        now = asyncio.get_running_loop().time()
        silent = self._wanted > 0 and now - self._heard > self._settings.heartbeat * _MISSED_HEARTBEATS
        lost = self._broken or silent or self._reconnects != self._link.reconnects
        if self._consumer is None or lost:
            name = await self._leave_consumer()
            if name is not None and self._link.client.is_connected:
                await self._link.publish(f"{API}.CONSUMER.DELETE.{self._stream}.{name}", b"")
            await self._make_consumer(max(min(patience, self._link.timeout), _PAUSE))
        if self._wanted <= 0:
            await self._pull()

    async def _pull(self) -> None:
        """Ask for more. Raises Unanswered."""
        assert self._inbox is not None
        expires = max(_PULL_FOR, 2 * self._settings.heartbeat)
        request = {
            "batch": self._settings.pull,
            "expires": int(expires * _NANOSECONDS),
            "no_wait": self._bursts,
            "idle_heartbeat": int(self._settings.heartbeat * _NANOSECONDS),
        }
        if self._larger_than_any:
            request["batch"] = 1
        elif self._bursts:
            self._room = max(_BURST, self._link.client.max_payload + _BESIDE_PAYLOAD)
            request["max_bytes"] = self._room
        self._larger_than_any = False
        self._asked_behind = self._delivered
        self._wanted += request["batch"]
        self._heard = asyncio.get_running_loop().time()
        subject = f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._link.publish(subject, msgspec.json.encode(request), self._inbox.subject)

    def _burst_is_over(self) -> None:
        """All that was asked for has come, and there may be more."""
        self._wanted = 0
        if self._held < _BURST and self._asking is None:
            self._asking = asyncio.create_task(self._ask_ahead())

    async def _ask_ahead(self) -> None:
        try:
            if self._wanted <= 0 and self._consumer is not None and not self._broken:
                await self._pull()
        except Unanswered:
            self._broken = True
        finally:
            self._asking = None

    async def _make_consumer(self, within: float) -> None:
        if not await self._identity.holds(self._seen, within):
            raise Unanswered(f"a server says that {self._stream} ends before what was read of it")
        name = self._link.client.new_inbox().rsplit(".", 1)[1]
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._seen + 1,
            "ack_policy": "none",
            "filter_subjects": self._filters,
            "inactive_threshold": _ABANDONED_AFTER * _NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        reconnects = self._link.reconnects
        try:
            await self._link.api(f"CONSUMER.CREATE.{self._stream}.{name}", body, within)
        except ApiError as error:
            raise Unanswered(f"no consumer on {self._stream} just now: {error}") from error
        self._delivered, self._wanted, self._reconnects, self._broken = 0, 0, reconnects, False
        self._inbox = await self._link.client.listen_to_parts(self._link.client.new_inbox(), self._arrived)
        self._consumer = name

    async def _leave_consumer(self) -> str | None:
        """Listen to the consumer no more; its name, if there was one."""
        name, inbox = self._consumer, self._inbox
        self._consumer = self._inbox = None
        if inbox is not None:
            await inbox.close()
        return name

    def _arrived(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        """A message's `reply` is $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<tries>.<sequence>.<delivery>.<time>.
        <pending>, and with the domain one more at the end."""
        if self._broken:
            return
        words = reply.split(b".")
        if len(words) < 9:
            self._stir()
            self._notice(headers_of(head) or {})
            return
        if not self._found:
            self._stir()
        at = 5 if len(words) == 9 else 7
        delivery = int(words[at + 1])
        if delivery != self._delivered + 1:
            self._broken = True
            return
        self._delivered = delivery
        self._seen = seq = int(words[at])
        self._wanted -= 1
        found = self._parse(Delivery(seq, words[at + 2], subject, head, data))
        if found is not None:
            self._found.append(found)
        if self._bursts:
            size = len(subject) + len(reply) + len(head) + len(data)  # as the server counts
            self._held += size
            self._room -= size
            if not self._wanted or not self._room:
                self._burst_is_over()

    def _stir(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._stirred.set()

    def _notice(self, headers: dict[str, str]) -> None:
        status = headers.get("Status")
        if status == "100":
            if int(headers.get("Nats-Last-Consumer", self._delivered)) != self._delivered:
                self._broken = True
        elif status in {"404", "408"}:
            self._wanted = 0
        elif self._bursts and headers.get("Description") == _TOO_LARGE:
            self._larger_than_any = self._delivered == self._asked_behind
            self._burst_is_over()
        elif not self._bursts or headers.get("Description") != _DONE:
            self._broken = True
