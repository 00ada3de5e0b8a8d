"""Request/reply endpoints as a NATS micro service, which `nats micro ls` shows.

A request's sender chooses where the answer goes, and we may publish where the sender may not: so nothing is ever
answered on a subject of ours or of the server's.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request
from nats.micro.service import Endpoint, EndpointConfig, Service, ServiceConfig

from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import Problem

NAME = "stageflow"
AT_ONCE = 64
"""Requests of one endpoint that are answered at the same time; the next wait."""
_HEADERS = 1024
"""More than an answer's headers take of the server's max_payload."""
_LONGEST_REASON = 400


class Answer(Protocol):
    """What a handler returns. `code` is not 0 where the body is a list of problems; `reason` sums them up."""

    @property
    def body(self) -> bytes: ...

    @property
    def code(self) -> int: ...

    @property
    def reason(self) -> str: ...


Handler = Callable[[bytes], Awaitable[Answer]]


def largest_answer(client: Client) -> int:
    """Bytes of the largest answer the connected server takes."""
    return client.max_payload - _HEADERS


class MicroService:
    """Serves handlers on `<prefix>.query.<name>`. Handlers do not raise."""

    def __init__(self, client: Client, prefix: str, handlers: Mapping[str, Handler], version: str) -> None:
        self._client = client
        self._prefix = prefix
        self._handlers = handlers
        self._config = ServiceConfig(
            name=NAME,
            version=version,
            description="Sessions of StageFlow pipelines: rows, lists, histories and states",
            metadata={"prefix": prefix},
        )
        self._service: _Service | None = None

    async def start(self) -> None:
        """Begin to answer. Raises Unanswered when the server does not say that it took the subscriptions."""
        try:
            await self._begin()
        except nats_errors.Error as error:
            raise Unanswered(f"the server did not answer while the query service began: {error}") from error

    async def _begin(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # nats-py 2.16 asks for the time in an old way
            self._service = _Service(self._client, self._config, f"{self._prefix}.")
            await self._service.start()
        for name, handler in self._handlers.items():
            subject = f"{self._prefix}.query.{name}"
            await self._service.add_handler(name.replace(".", "-"), subject, handler)
        await self._client.flush()

    async def stop(self) -> None:
        """Take no more requests, and return when those that came are answered."""
        service, self._service = self._service, None
        if service is not None and not self._client.is_closed:
            with suppress(nats_errors.Error):  # a server that is away takes no farewell
                await service.stop()
            await service.settle()


class _Service(Service):
    """A micro service that answers only where a client can be."""

    def __init__(self, client: Client, config: ServiceConfig, own: str) -> None:
        super().__init__(client, config)
        self._own = own
        self._served: list[_Endpoint] = []

    def may_answer(self, reply: str) -> bool:
        return bool(reply) and not reply.startswith(("$", self._own))

    async def add_handler(self, name: str, subject: str, handler: Handler) -> None:
        config = EndpointConfig(name=name, subject=subject, handler=_unused, metadata={})
        endpoint = _Endpoint(self, config, handler)
        await endpoint._start()
        self._endpoints.append(endpoint)
        self._served.append(endpoint)

    async def settle(self) -> None:
        for endpoint in self._served:
            await endpoint.settle()

    async def _handle_ping_request(self, msg: Msg) -> None:
        if self.may_answer(msg.reply):
            await super()._handle_ping_request(msg)

    async def _handle_info_request(self, msg: Msg) -> None:
        if self.may_answer(msg.reply):
            await super()._handle_info_request(msg)

    async def _handle_stats_request(self, msg: Msg) -> None:
        if self.may_answer(msg.reply):
            await super()._handle_stats_request(msg)


class _Endpoint(Endpoint):
    """Answers requests side by side: a long history does not hold up a short one."""

    def __init__(self, service: _Service, config: EndpointConfig, handler: Handler) -> None:
        super().__init__(service, config)
        self._answers_for = service
        self._answer_with = handler
        self._room = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        await asyncio.gather(*self._under_way)

    async def _handle_request(self, msg: Msg) -> None:
        if not self._answers_for.may_answer(msg.reply):
            return
        await self._room.acquire()
        task = asyncio.create_task(self._serve(msg))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _serve(self, msg: Msg) -> None:
        began = time.perf_counter_ns()
        try:
            await self._respond(msg, await self._answer_with(msg.data))
        finally:
            self._room.release()
            self._num_requests += 1
            self._processing_time += time.perf_counter_ns() - began
            self._average_processing_time = self._processing_time // self._num_requests

    async def _respond(self, msg: Msg, answer: Answer) -> None:
        body, code, reason = answer.body, answer.code, answer.reason
        client = self._answers_for._client
        if len(body) > (largest := largest_answer(client)):
            reason = f"the answer has {len(body):,} bytes, the server takes {largest:,}: ask for less (a lower `limit`)"
            body, code = msgspec.json.encode([Problem(message=reason)]), 413
        headers = None
        if code:
            self._num_errors += 1
            self._last_error = f"{code}:{reason}"  # type: ignore[assignment]
            headers = {ERROR_CODE_HEADER: str(code), ERROR_HEADER: _one_line(reason)}
        try:
            await client.publish(msg.reply, body, headers=headers)
        except nats_errors.Error:
            return  # who asked will ask again when the connection is back


async def _unused(_: Request) -> None:
    """nats-py wants a handler; `_Endpoint` has its own."""


def _one_line(text: str) -> str:
    """A reason as a header may have it: one line of ASCII."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return " ".join(plain.split())[:_LONGEST_REASON]
