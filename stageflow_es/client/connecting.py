"""From an address to a client: `connect`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any

from stageflow_es.bus.jetstream.connection import connect as connect_to_nats
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.client.address import Address, resolve, resolve_prefix
from stageflow_es.client.arguments import seconds
from stageflow_es.client.client import ANSWER_WITHIN, Client
from stageflow_es.errors import OperatorError

CONNECT_WITHIN = 2.0
"""Seconds within which a server has to be found."""
REQUEST_WITHIN = 5.0
"""Seconds after which a request to the server, or to a service, counts as unanswered."""


def connect(
    url: str | None = None,
    *,
    prefix: str | None = None,
    context: str | None = None,
    timeout: float = ANSWER_WITHIN,
    connect_within: float = CONNECT_WITHIN,
    **options: Any,
) -> Connecting:
    """A client: `await connect(...)`, or `async with connect(...) as client`.

    `url`: one or several NATS URLs, comma-separated; without, `context` (of the `nats` command), `NATS_URL` and so
    on, see `address`. `prefix`: of its subjects; without, `STAGEFLOW_PREFIX`, or `stageflow`. `timeout`: seconds an
    engine's answer is waited for. `options` are those of `nats.connect` (`user`, `password`, `token`,
    `user_credentials`, `tls`, ...). Raises OperatorError when no server answers, or the prefix is none.
    """
    timeout, connect_within = seconds("timeout", timeout), seconds("connect_within", connect_within)

    async def open_client() -> Client:
        names = BusSettings(prefix=resolve_prefix(prefix))  # a blank in it would be a command to the server
        address = resolve(url, context)
        link = await _open_link(address, connect_within, options)
        return Client(link, names.prefix, timeout=timeout)

    return Connecting(open_client)


_WHERE = "start one here with `stageflow up`, or say where it is with --server or NATS_URL"
_WHO = (
    "say who you are in the address, nats://USER:PASSWORD@HOST (percent-encoded), or in a context of the `nats` command"
)


class Connecting:
    """What `connect` returns: await it for a client, or enter it for one that is closed at the end."""

    def __init__(self, open_client: Callable[[], Awaitable[Client]]) -> None:
        self._open = open_client
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._open().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._open()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()


async def _open_link(address: Address, within: float, options: Mapping[str, Any]) -> Link:
    try:
        connection = await connect_to_nats(address.servers, within=within, **{**address.options, **options})
    except ImportError as problem:
        raise OperatorError("credentials and nkeys need one more package: pip install 'nats-py[nkeys]'") from problem
    except OperatorError as problem:
        hint = _WHO if "authorization" in str(problem).lower() else _WHERE
        raise OperatorError(f"{problem} ({address.source}): {hint}") from problem
    return await Link.open(connection, REQUEST_WITHIN)
