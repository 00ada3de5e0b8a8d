"""A message as it came over the connection, its headers and reply read only when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable


class Incoming:
    """One message."""

    __slots__ = ("_head", "_reply", "data", "subject")

    def __init__(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        self.subject = text_of(subject)
        self.data = data
        self._reply = reply
        self._head = head

    @property
    def reply(self) -> str:
        """Empty where no answer is asked for."""
        return text_of(self._reply)

    @property
    def headers(self) -> dict[str, str]:
        """The first value of each name; empty for what is no header block."""
        return headers_of(self._head) or {}

    @property
    def status(self) -> str | None:
        """The status line of a protocol message; None for an ordinary one."""
        return self.headers.get("Status") if self._head and not self.data else None


Take = Callable[[Incoming], None]
TakeParts = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes a message's subject, reply, headers and data as they came."""


def text_of(subject: bytes) -> str:
    """A subject as text; bytes that are no text show as escapes."""
    try:
        return subject.decode()
    except UnicodeDecodeError:
        return subject.decode("utf-8", "backslashreplace")


def headers_of(block: bytes) -> dict[str, str] | None:
    """A header block by name, the first value of each; None for what is none. A status line shows as `Status` and
    `Description`."""
    if not block:
        return None
    try:
        first, *lines = block.decode().split("\r\n")
    except ValueError:
        return None
    found: dict[str, str] = {}
    status = first[len("NATS/1.0") :].strip()
    if status:
        found = {"Status": status[:3], "Description": status[3:].strip()}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found
