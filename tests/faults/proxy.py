"""A TCP proxy between one process and the NATS servers. It can refuse, cut, stall, delay, and lose single answers.

A lost answer is one message of the server's, taken out of the stream between two others: the connection lives on,
and the process waits for what will not come. So the proxy reads the server's side frame by frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

Lose = Callable[[bytes, bytes], bool]
"""Whether to lose a message, by its protocol line and its payload."""


class Proxy:
    """`url` leads to the servers at `ports`, a listener for each. Faults are attributes; they hold for
    what passes from then on.

    `refusing`: new connections are closed at once. `stalled`: nothing passes, connections stay open (half-open).
    `delay`: seconds every chunk waits. `lose`: which messages of the server never arrive; `lost` counts them. `only`:
    the one server that can be reached, as its place among the ports. `plain`: what passes is not looked into.
    """

    def __init__(self, *ports: int, plain: bool = False) -> None:
        self.server_ports = list(ports)
        self.refusing = False
        self.only: int | None = None
        self._plain = plain
        self.delay = 0.0
        self.lose: Lose | None = None
        self.lost = 0
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self.stall()
        self._listeners: list[asyncio.Server] = []
        self._connections: dict[tuple[asyncio.StreamWriter, asyncio.StreamWriter], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, *at: int) -> Proxy:
        """Listen, `at` these ports or any."""
        for place in range(len(self.server_ports)):
            accept = partial(self._accept, place)
            self._listeners.append(await asyncio.start_server(accept, "127.0.0.1", at[place] if at else 0))
        return self

    @property
    def url(self) -> str:
        ports = [listener.sockets[0].getsockname()[1] for listener in self._listeners]
        return ",".join(f"nats://127.0.0.1:{port}" for port in ports)

    @property
    def stalled(self) -> bool:
        return not (self._up.is_set() or self._down.is_set())

    @stalled.setter
    def stalled(self, stalled: bool) -> None:
        self.stall(up=stalled, down=stalled)

    def stall(self, *, up: bool = False, down: bool = False) -> None:
        """Let nothing pass to the servers, or from them."""
        for flowing, stalled in ((self._up, up), (self._down, down)):
            if stalled:
                flowing.clear()
            else:
                flowing.set()

    def cut(self) -> None:
        """Break every connection there is, without a farewell; with `only`, those to other servers."""
        for pair, place in list(self._connections.items()):
            for writer in pair if place != self.only else ():
                writer.transport.abort()

    def mend(self) -> None:
        """No more faults."""
        self.refusing, self.stalled, self.delay, self.lose, self.only = False, False, 0.0, None, None

    async def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self.only = None
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(place, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing or self.only not in (None, place):
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.server_ports[place])
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, back)
        self._connections[pair] = place
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upstream(reader, back))
                group.create_task(self._downstream(there, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.pop(pair, None)
            for one in pair:
                one.transport.abort()

    async def _upstream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._pass(writer, data, self._up)
        raise ConnectionResetError

    async def _downstream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = _Frames()
        while data := await reader.read(65536):
            if self._plain:
                await self._pass(writer, data, self._down)
                continue
            kept = bytearray()
            for line, payload in frames.feed(data):
                if payload and self.lose is not None and self.lose(line, payload):
                    self.lost += 1
                else:
                    kept += line + payload
            await self._pass(writer, bytes(kept), self._down)
        raise ConnectionResetError

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes, flowing: asyncio.Event) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await flowing.wait()
        writer.write(data)
        with suppress(ConnectionResetError):
            await writer.drain()


class _Frames:
    """Splits the server's stream into protocol lines, each with its payload if it has one, line ends included."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        self._buffer += data
        found: list[tuple[bytes, bytes]] = []
        start = 0
        while (end := self._buffer.find(b"\r\n", start)) >= 0:
            line = bytes(self._buffer[start : end + 2])
            size = 0
            if line[:4] in (b"MSG ", b"HMSG"):
                size = int(line.split()[-1]) + 2
            if len(self._buffer) < end + 2 + size:
                break
            found.append((line, bytes(self._buffer[end + 2 : end + 2 + size])))
            start = end + 2 + size
        del self._buffer[:start]
        return found


def acknowledgement(line: bytes, payload: bytes) -> bool:
    """Whether a message of the server acknowledges a publish or a batch of them."""
    return b'"stream":"' in payload[:200] and b'"seq":' in payload[:200] and payload.startswith(b"{")
