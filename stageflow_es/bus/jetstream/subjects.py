"""Subjects and names, pure: what is published where, and what a subject says about its message.

Session ids and everything else that becomes a token is checked or encoded here, because a subject is part
of the protocol: a blank or a line break in it would be a command to the server.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import cast

from stageflow_es.engine.ports import CommandKind, Refused
from stageflow_es.session.ids import is_session_id, not_an_id

_LONGEST_TOKEN = 256
_SAFE = re.compile(r"[^\x00-\x20\x7f-\U0010ffff.*>\\]{1,256}")
_KINDS: tuple[CommandKind, ...] = ("start", "input", "control")


def check_session_id(session: str) -> str:
    """The id itself; `Refused` when it cannot be one."""
    if not is_session_id(session):
        raise Refused(not_an_id(session))
    return session


def token(text: str) -> str:
    """`text` as one subject token and KV key part: itself when it is safe, else `=` and base64, or `=` and
    a hash.
    """
    if is_session_id(text):
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > _LONGEST_TOKEN:
        return "=" + sha256(data).hexdigest()
    return "=" + urlsafe_b64encode(data).decode().rstrip("=")


class Names:
    """Every subject, stream and bucket of one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        stem = prefix.upper().replace(".", "_")
        self.commands = f"{stem}_COMMANDS"
        self.events = f"{stem}_EVENTS"
        self.timers = f"{stem}_TIMERS"
        self.rejections = f"{stem}_REJECTIONS"
        self.pipelines = f"{stem}_PIPELINES"
        self.engines = f"{stem}_ENGINES"

    def command(self, kind: CommandKind, session: str) -> str:
        return f"{self.prefix}.command.{kind}.{session}"

    def command_subjects(self) -> list[str]:
        return [self.command(kind, "*") for kind in _KINDS]

    def inbox(self, partition: int) -> str:
        """Matches every command of one partition."""
        return f"{self.prefix}.inbox.{partition}.*.*"

    def stray(self) -> str:
        """Matches commands whose session is a literal `*` or `>`: the server's transform passes them by."""
        return f"{self.prefix}.command.>"

    def parse_command(self, subject: str) -> tuple[str, CommandKind]:
        """The session, as the sender wrote it, and the kind, of a stored command."""
        head, first, second = subject.rsplit(".", 2)
        session, kind = (second, first) if head == f"{self.prefix}.command" else (first, second)
        return session, cast(CommandKind, kind)

    def append(self, session: str) -> str:
        return f"{self.prefix}.append.{session}"

    def event(self, session: str) -> str:
        return f"{self.prefix}.events.{session}"

    def session_of_event(self, subject: str) -> str:
        return subject.rsplit(".", 1)[1]

    def query(self, name: str) -> str:
        """Where a question is asked of the query service."""
        return f"{self.prefix}.query.{name}"

    def rejection(self, session: str) -> str:
        """The session may be whatever a sender wrote; unless it can be a token, it is encoded."""
        return f"{self.prefix}.rejections.{session if _SAFE.fullmatch(session) else token(session)}"

    def every_rejection(self) -> str:
        return f"{self.prefix}.rejections.*"

    def timer_set(self, session: str, timer: str) -> str:
        return f"{self.prefix}.timer.set.{session}.{token(timer)}"

    def timer_fire(self, session: str) -> str:
        return f"{self.prefix}.timer.fire.{session}"

    def timer_due(self, partition: int) -> str:
        """Matches every fire of one partition."""
        return f"{self.prefix}.timer.due.{partition}.*"

    def session_of_fire(self, subject: str) -> str:
        return subject.rsplit(".", 1)[1]
