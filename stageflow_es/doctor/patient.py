"""What is examined, and questions to it that always come to an end."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.layout import Config, partitions_of, wanted
from stageflow_es.bus.jetstream.link import NO_MESSAGE, ApiError, Denied, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client import Client
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.insight import Insight
from stageflow_es.engine.ports import Unanswered

ANSWER_WITHIN = 2
"""Seconds a question waits."""
_SECOND = 1_000_000_000


class Unseen(Exception):
    """Something could not be looked at; the message says why."""


class Kept(msgspec.Struct, frozen=True):
    """A message of a stream: its sequence, when it was stored, and what it says. `marker`: that its key was deleted;
    `term`: seconds it is kept, where that has an end."""

    seq: int
    at: datetime
    data: bytes
    marker: bool = False
    term: float | None = None


class _Message(msgspec.Struct, frozen=True):
    seq: int
    time: datetime
    data: bytes = b""
    hdrs: bytes = b""


class Patient:
    """A bus that is examined. `streams` is what the server says of each of its streams by name, where it says so, and
    None where there is no such stream; `unseen` says why of the others. `insight` is what is known from inside."""

    def __init__(self, client: Client, insight: Insight) -> None:
        self.client = client
        self.names: Names = client.names
        self.link: Link = client.link
        self.insight = insight
        self.streams: dict[str, Config | None] = {}
        self.unseen: dict[str, str] = {}

    async def api(self, path: str, body: object = None) -> dict[str, Any]:
        """A call of the JetStream API. Raises ApiError and Unseen."""
        try:
            return await self.link.api(path, body, within=ANSWER_WITHIN)
        except Denied as problem:
            raise Unseen(str(problem)) from problem
        except Unanswered as problem:
            raise Unseen(f"JetStream does not answer ({problem})") from problem

    async def look_at_streams(self) -> None:
        """Fill `streams`."""
        for name in self.all_streams():
            try:
                self.streams[name] = await self.api(f"STREAM.INFO.{name}")
            except ApiError as problem:
                if problem.status == 404:
                    self.streams[name] = None
                else:
                    self.unseen[name] = str(problem)
            except Unseen as problem:
                self.unseen[name] = str(problem)

    def all_streams(self) -> list[str]:
        return [config["name"] for config in wanted(self.names, BusSettings(prefix=self.names.prefix), 1 << 20)]

    def info(self, name: str) -> Config | None:
        """What the server says of a stream; None: it is not there, or cannot be seen."""
        return self.streams.get(name)

    @property
    def partitions(self) -> int | None:
        """How many partitions the commands have; None: it cannot be seen."""
        commands = self.info(self.names.commands)
        return None if commands is None else partitions_of(commands["config"])

    @property
    def settings(self) -> BusSettings:
        """The settings the streams were created with, as far as they show."""
        rejections = self.info(self.names.rejections)
        age = 0 if rejections is None else rejections["config"].get("max_age", 0) // _SECOND
        given: dict[str, Any] = {"rejections_age": age} if age else {}
        return BusSettings(prefix=self.names.prefix, partitions=self.partitions or BusSettings().partitions, **given)

    def now(self, stream: str) -> datetime | None:
        """The server's clock, when it was asked about that stream."""
        info = self.info(stream)
        return None if info is None or "ts" not in info else datetime.fromisoformat(info["ts"])

    async def stored(self, stream: str, query: dict[str, Any]) -> Kept | None:
        """A message from the stream's leader, as for `STREAM.MSG.GET`; None: there is none. Raises Unseen."""
        try:
            message = (await self.api(f"STREAM.MSG.GET.{stream}", query))["message"]
        except ApiError as problem:
            if problem.number == NO_MESSAGE:
                return None
            raise Unseen(f"{stream} cannot be read: {problem}") from problem
        found = msgspec.convert(message, _Message)
        return Kept(found.seq, found.time, found.data, b"KV-Operation:" in found.hdrs, _term(found.hdrs))


def _term(headers: bytes) -> float | None:
    found = _TTL.search(headers)
    return float(found[1]) if found else None


_TTL = re.compile(rb"\r\nNats-TTL: (\d+)s\r\n")


def unseen(about: str, problem: object, do: str = "") -> Finding:
    """A finding that something could not be seen."""
    return Finding(severity="unknown", about=about, says=f"could not be looked at: {problem}", do=do)
