"""The NATS connection of a bus: nats-py's client, made proof against what strangers may send.

Anyone with permission to send a command chooses its subject's last token and its headers, down to bytes
that are not UTF-8, and control characters nats-py 2.16 takes for blanks. It stops reading for good, or
reconnects, when such a message arrives; and a log is read again, so one message would stop an engine for
ever. Here such bytes become text that can be rejected.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import ParseResult, unquote

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import PING

from stageflow_es.bus.jetstream.incoming import Incoming, Take, TakeParts, headers_of
from stageflow_es.bus.jetstream.line_parser import LineParser
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import OperatorError

_PENDING_BYTES = 64 * 1024 * 1024
"""Above any batch: while nats-py waits for room in its buffer, it swallows cancellations."""
_FAREWELL = 2.0
"""Seconds that sending what is still to be sent may take when the connection is closed."""
_DEFAULTS: dict[str, Any] = {
    "name": "stageflow",
    "allow_reconnect": True,
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
    "ping_interval": 2,
    "max_outstanding_pings": 2,
    "pending_size": _PENDING_BYTES,
}


_STAYING = ("permissions violation", "maximum subscriptions exceeded")
"""What the server says without closing the connection."""
_DENIED = re.compile(r"'permissions violation for (?P<verb>publish|subscription) to \"(?P<subject>[^\"]*)\"")


class Denial(msgspec.Struct, frozen=True):
    """This user may not do `verb` on `subject`, which is in lower case."""

    verb: Literal["publish", "subscribe"]
    subject: str


class Login(ParseResult):
    """An address of which nats-py reads user and password as they are written, and not percent-encoded."""

    @property
    def username(self) -> str | None:
        return _decoded(super().username)

    @property
    def password(self) -> str | None:
        return _decoded(super().password)


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def shown(address: str) -> str:
    """An address as people may see it: without user and password."""
    scheme, slashes, rest = address.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}" if slashes else address.rpartition("@")[2]


class Listener:
    """A subscription whose messages go to a function of ours as they are read."""

    def __init__(self, connection: Connection, subscription: Subscription) -> None:
        self.subject: str = subscription.subject
        self._connection = connection
        self._subscription = subscription

    async def close(self) -> None:
        """Listen no more; nothing is handed over after this is called."""
        self._connection.listeners.pop(b"%d" % self._subscription._id, None)
        with suppress(nats_errors.Error, OSError):
            await self._subscription.unsubscribe()
            if self._connection.is_reconnecting:  # nats-py says nothing then, and yet sends what it was to say before
                await self._connection._send_unsubscribe(self._subscription._id)


class Connection(Client):
    """A nats-py client that survives any message. Made with `connect`."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = LineParser(self)
        self.listeners: dict[bytes, TakeParts] = {}
        """By the subscription's number as the server writes it."""
        self._losses: list[Callable[[], None]] = []
        self._denials: list[Callable[[Denial], None]] = []
        self._left: Any = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def server_info(self) -> Mapping[str, Any]:
        """What the server said of itself when the connection was made."""
        return self._server_info

    def absence(self) -> str:
        """While there is no connection: that there is none, and what the last try came to, if there was one. In words
        of the server or the system, which know no secret; what anything else says is not repeated."""
        reason = f": {self._err}" if isinstance(self._err, nats_errors.Error | OSError) and str(self._err) else ""
        return f"not connected to the NATS server just now{reason}"

    @staticmethod
    def _parse_server_uri(connect_url: str) -> ParseResult:
        return Login(*Client._parse_server_uri(connect_url))

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever the connection is lost: what was asked over it is not answered any more."""
        self._losses.append(tell)

    async def lost(self) -> None:
        for tell in self._losses:
            tell()

    def when_denied(self, tell: Callable[[Denial], None]) -> None:
        """Call `tell` whenever the server says that this user may not publish or subscribe where it just tried to."""
        self._denials.append(tell)

    def leave_server(self) -> None:
        """Go to another of the servers named, if there is one: to this one last."""
        if self.is_connected and len(self._server_pool) > 1:
            self._left = self._current_server
            self._leaving = asyncio.get_running_loop().create_task(
                self._process_op_err(nats_errors.StaleConnectionError())
            )

    async def _select_next_server(self) -> None:
        self._abort()  # nats-py leaves open what came of a try that failed after the connection stood
        left, self._left = self._left, None
        if left in self._server_pool:
            self._server_pool.remove(left)
            self._server_pool.append(left)
        await super()._select_next_server()

    async def _process_err(self, err_msg: str) -> None:
        """nats-py's own closes the connection for good. The server does that with those it lets in no more, such as who
        has another password since its configuration was read again: it may let them in later."""
        if found := _DENIED.match(err_msg):
            for tell in self._denials:
                tell(
                    Denial(verb="subscribe" if found["verb"] == "subscription" else "publish", subject=found["subject"])
                )
        problem = nats_errors.Error(f"nats: {err_msg}")
        if any(word in err_msg for word in _STAYING):
            await self._error_cb(problem)
        else:
            await self._process_op_err(problem)

    async def close(self) -> None:
        if self._flush_queue is None:  # it never came to connecting: the address was none
            return
        patience = asyncio.get_running_loop().call_later(_FAREWELL, self._abort)
        try:
            await super().close()
        except (OSError, TypeError):
            # What was still to be sent cannot be, and nats-py gave up half-way through closing. The TypeError is that
            # of a transport closed meanwhile, from Python 3.12 on.
            self._pending, self._pending_data_size = [], 0
            self._status = Client.DISCONNECTED
            await super().close()
        finally:
            patience.cancel()

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            self._abort()
            self._err = None  # that is of the time before
        await super()._process_op_err(e)

    def _abort(self) -> None:
        """End the connection without sending what is still to be sent. A server whose machine has gone takes none of
        it, and nats-py would wait for as long as the kernel tries: a quarter of an hour."""
        writer = self._transport._io_writer if isinstance(self._transport, TcpTransport) else None
        if writer is not None:
            writer.transport.abort()

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """From Python 3.12 on, writing to a transport that was closed meanwhile is a TypeError."""
        try:
            return await super()._flush_pending(force_flush)
        except TypeError as error:
            raise ConnectionResetError("the connection was closed") from error

    async def listen(self, subject: str, take: Take) -> Listener:
        """Hand every message on `subject` to `take`, which must not take long, as soon as it is read. Survives
        reconnects, as subscriptions do. Raises Unanswered when the connection is closed."""
        return await self.listen_to_parts(
            subject, lambda subject, reply, head, data: take(Incoming(subject, reply, head, data))
        )

    async def listen_to_parts(self, subject: str, take: TakeParts) -> Listener:
        """Like `listen`, for whoever has so many messages that an object for each is too much."""
        self.listeners[b"%d" % (self._sid + 1)] = take
        try:
            return Listener(self, await self.subscribe(subject))
        except nats_errors.Error as error:
            raise Unanswered(f"cannot listen to {subject}: {error}") from error

    async def send(self, frames: bytes) -> None:
        """Send protocol frames at once, after whatever is still to be sent. nats-py would leave it to another task,
        which costs as much as the sending. Raises OSError."""
        await self._write(frames)
        if isinstance(self._transport, TcpTransport):
            transport: Any = self._transport
            await transport.drain()
        if not self.is_connected:  # that ended the waiting
            raise ConnectionResetError("the connection was lost")

    async def _write(self, frames: bytes) -> None:
        """Have protocol frames sent, after whatever is still to be sent, without waiting until they are. Raises
        OSError."""
        await self._send_command(frames)
        if not isinstance(self._transport, TcpTransport):
            await self._flush_pending()
            return
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        transport: Any = self._transport
        try:
            transport.writelines(pending)
        except TypeError as error:
            raise ConnectionResetError("the connection was closed") from error

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        """nats-py's own overtakes what is still to be sent, and so `flush` came back before the server had it. Whether
        the server takes it is what a ping is to find out: it does not wait for that."""
        if not self.is_connected:
            await super()._send_ping(future)
            return
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        with suppress(OSError):  # who reads notices that the connection is lost
            await self._write(PING)

    async def _process_pong(self) -> None:
        """nats-py's own fails where whoever asked has given up meanwhile, and the connection with it."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """nats-py's own goes character by character, and raises on some of what strangers send."""
        return headers_of(headers)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg | None:
        plain = subject.decode("utf-8", "backslashreplace").encode()
        message: Msg | None = super()._build_message(sid, plain, reply, data, headers)
        return message


async def _quiet(_: Exception) -> None:
    """Errors of the connection show in the outcome of whatever was under way."""


async def connect(servers: str | Sequence[str], *, within: float = 5.0, **options: Any) -> Connection:
    """A connection to one of the servers, which may stand in one text with commas between them; it reconnects for ever
    once it stood. `options` are those of `nats.connect`.

    Raises OperatorError when there is none within that many seconds.
    """
    connection = Connection()
    failures: list[Exception] = []

    async def note(error: Exception) -> None:
        if not failures or not isinstance(error, OSError):  # what the server said of it is better than that it hung up
            failures[:] = [error]

    async def lost() -> None:
        await connection.lost()
        if told is not None:
            await told()

    told = options.pop("disconnected_cb", None)
    named = servers.split(",") if isinstance(servers, str) else servers
    addresses = [address.strip() for address in named if address.strip()]
    if not addresses:  # nats-py would look for one for ever
        raise OperatorError("cannot connect to NATS: no server is named")
    try:
        async with asyncio.timeout(within):
            await connection.connect(
                servers=addresses, **{"error_cb": note, **_DEFAULTS, **options}, disconnected_cb=lost
            )
    except BaseException as error:
        await connection.close()
        if isinstance(error, ImportError | TypeError) or not isinstance(error, Exception):
            raise  # a package that is missing, an option nats-py does not know, or nobody waits any more
        # what is left are refusals, and those of a bad key, which come from a package that may not be there
        reason = failures[0] if failures else error
        raise OperatorError(f"cannot connect to NATS at {', '.join(map(shown, addresses))}: {reason}") from error
    if "error_cb" not in options:
        connection._error_cb = _quiet
    return connection
