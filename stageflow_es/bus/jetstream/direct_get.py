"""Reading stored messages: one from the leader, or pages of one subject's messages in order.

The leader's answer includes everything acknowledged before the question. A page may come from any replica:
what it holds is a prefix of the truth, so a reader that knows where the truth ends asks the leader for what
is missing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import API, NO_MESSAGE, ApiError, Link
from stageflow_es.engine.ports import Unanswered

_ATTEMPTS = 3


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One stored message. `marker`: it says that its key was deleted."""

    seq: int
    subject: str
    data: bytes
    marker: bool = False


class _Base64(msgspec.Struct, frozen=True, gc=False):
    data: bytes = b""
    hdrs: bytes = b""


async def from_leader(link: Link, stream: str, query: dict[str, Any]) -> Stored | None:
    """The message `query` names (`seq`, `last_by_subj`, `seq` with `next_by_subj`); None: there is none."""
    try:
        message = (await link.api(f"STREAM.MSG.GET.{stream}", query))["message"]
    except ApiError as error:
        if error.number == NO_MESSAGE:
            return None
        raise Unanswered(f"the server could not read {stream}: {error}") from error
    content = msgspec.convert(message, _Base64)
    return Stored(message["seq"], message["subject"], content.data, b"KV-Operation:" in content.hdrs)


async def latest(link: Link, stream: str, subject: str) -> bytes:
    """The last message of `subject`, as the server that answers has it, which may be a replica that lags behind; empty:
    it has none. Raises Unanswered."""
    answer = await link.request(f"{API}.DIRECT.GET.{stream}.{subject}", b"")
    if answer.status not in {None, "404"}:
        raise Unanswered(f"the server could not read {stream}: {answer.headers}")
    return answer.data


async def page(link: Link, stream: str, subject: str, start: int, limit: int) -> list[Stored]:
    """Up to `limit` messages of `subject` (wildcards allowed) from sequence `start` on, in order, without
    gaps.
    """
    query = msgspec.json.encode({"seq": max(start, 1), "next_by_subj": subject, "batch": limit})
    for _ in range(_ATTEMPTS):
        answers = await _answers(link, f"{API}.DIRECT.GET.{stream}", query)
        if (found := _unbroken(answers)) is not None:
            return found
    raise Unanswered(f"the pages of {stream} keep arriving with gaps")


async def every(link: Link, stream: str, subject: str, limit: int) -> list[Stored]:
    """All messages of `subject`, page by page."""
    found: list[Stored] = []
    while True:
        part = await page(link, stream, subject, found[-1].seq + 1 if found else 1, limit)
        found += part
        if len(part) < limit:
            return found


async def _answers(link: Link, subject: str, query: bytes) -> list[Incoming]:
    """The messages of one page; the last one is its end mark."""
    answers: list[Incoming] = []
    ended: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()

    def take(msg: Incoming) -> None:
        answers.append(msg)
        if msg.status is not None and not _sequence(msg) and not ended.done():
            ended.set_result(msg)

    with link.expecting(take) as reply:
        await link.publish(subject, query, reply)
        end = await link.answered(ended, subject)
    if end.status not in {"204", "404"}:
        raise Unanswered(f"the server could not read a page: {end.headers}")
    return answers


def _sequence(msg: Incoming) -> int:
    return int(msg.headers.get("Nats-Sequence", 0))


def _unbroken(answers: list[Incoming]) -> list[Stored] | None:
    """The messages of a page, each chained to the one before it; None: some were lost on the way."""
    *messages, end = answers
    found: list[Stored] = []
    for msg in messages:
        headers = msg.headers
        if int(headers.get("Nats-Last-Sequence", -1)) != (found[-1].seq if found else 0):
            return None
        found.append(Stored(_sequence(msg), headers["Nats-Subject"], msg.data, "KV-Operation" in headers))
    last = int(end.headers.get("Nats-Last-Sequence", 0))
    return found if last == (found[-1].seq if found else 0) else None
