"""The NATS protocol as the server writes it. Every event that an engine stores or a projector reads passes through
here, so it is read with as few steps of Python as will do.

There is one blank between words, and nothing else is a blank. A message that somebody listens for is handed over at
once, in the task that reads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nats import errors as nats_errors
from nats.protocol.parser import Parser

from stageflow_es.log import logger

if TYPE_CHECKING:
    from stageflow_es.bus.jetstream.connection import Connection

log = logger(__name__)

_END = b"\r\n"


class LineParser(Parser):
    """Takes the place of nats-py's parser. `buf`: what came and is not whole yet; `needed`: how many bytes that has to
    be before it is worth another look."""

    nc: Connection

    async def parse(self, data: bytes = b"") -> None:
        buffer = self.buf
        if buffer:
            buffer += data
            if len(buffer) < self.needed:
                return
            data = bytes(buffer)
        self.needed = at = 0
        size, listeners = len(data), self.nc.listeners
        try:
            while (end := data.find(_END, at)) >= 0:
                line, start = data[at:end], end + 2
                words = line.split(b" ")
                word = words[0]
                if word == b"HMSG":
                    middle = start + int(words[-2])
                    reply = words[3] if len(words) == 6 else b""
                elif word == b"MSG":
                    middle = start
                    reply = words[3] if len(words) == 5 else b""
                else:
                    at = start
                    await self._line(line)
                    continue
                stop = start + int(words[-1])
                if size < stop + 2:
                    self.needed = stop + 2 - at
                    return
                at = stop + 2
                head, payload = data[start:middle], data[middle:stop]
                take = listeners.get(words[2])
                if take is None:
                    await self.nc._process_msg(int(words[2]), words[1], reply, payload, head)
                    continue
                try:
                    take(words[1], reply, head, payload)
                except Exception:
                    log.exception("message_not_taken", subject=words[1])
        finally:
            buffer[:] = data[at:]

    async def _line(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        match word:
            case b"PING":
                await self.nc._process_ping()
            case b"PONG":
                await self.nc._process_pong()
            case b"INFO":
                await self.nc._process_info(json.loads(rest))
            case b"-ERR":
                await self.nc._process_err(rest.strip().decode("utf-8", "replace").lower())
            case b"+OK":
                pass
            case _:
                raise nats_errors.ProtocolError(f"nats: unknown protocol line {line[:80]!r}")
