"""A request's answer: the page of metrics, or what is wrong with the request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from stageflow_es.metrics.exposition import OPEN, PLAIN, Family, exposition

Read = Callable[[], Awaitable[Sequence[Family]]]

_REQUEST = re.compile(rb"([A-Z]{1,16}) (\S{1,4096}) HTTP/1\.[01]")
_TEXT = "text/plain; charset=utf-8"


class Answer(msgspec.Struct, frozen=True):
    """An answer in HTTP."""

    status: str
    body: bytes
    type: str = _TEXT
    more: str = ""

    def encode(self) -> bytes:
        head = (
            f"HTTP/1.1 {self.status}\r\nContent-Type: {self.type}\r\nContent-Length: {len(self.body)}\r\n"
            f"{self.more}Connection: close\r\n\r\n"
        )
        return head.encode() + self.body


TOO_LARGE = Answer("431 Request Header Fields Too Large", b"the request is too large\n")
TOO_LATE = Answer("408 Request Timeout", b"the request did not come in time\n")
TOO_MANY = Answer("503 Service Unavailable", b"too many ask at once\n")
_GARBAGE = Answer("400 Bad Request", b"this is no HTTP request\n")
_OTHER_METHOD = Answer("405 Method Not Allowed", b"metrics can only be read: GET\n", more="Allow: GET\r\n")
_NOT_FOUND = Answer("404 Not Found", b"metrics are at /metrics\n")
_POINTER = Answer("200 OK", b"stageflow: metrics are at /metrics\n")
FAULT = Answer("500 Internal Server Error", b"the page could not be made; the fault is ours\n")


async def answer(head: bytes, read: Read) -> Answer:
    """The answer to a request with this head, its lines as they came."""
    first, _, fields = head.partition(b"\r\n")
    request = _REQUEST.fullmatch(first)
    if request is None:
        return _GARBAGE
    method, target = request[1], request[2].partition(b"?")[0]
    if target not in (b"/", b"/metrics"):
        return _NOT_FOUND
    if method != b"GET":
        return _OTHER_METHOD
    if target == b"/":
        return _POINTER
    openly = _wants_openmetrics(fields)
    return Answer("200 OK", exposition(await read(), openly=openly), OPEN if openly else PLAIN)


def _wants_openmetrics(fields: bytes) -> bool:
    for field in fields.lower().split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.strip() == b"accept" and b"application/openmetrics-text" in value:
            return True
    return False
