"""Verifying a history: the chain unbroken, and every event the one that had to follow from those before it.

Nothing is taken on trust but what came from outside: what stages returned and failed with, what people sent, and when.
For every prefix, the next event is derived again with `decide` (see `retrace`) and must be the recorded one to the
byte. What a history cannot prove is left to the engines: whether a stage may be skipped, how often it may be retried
and after which delay, and which input a schema outside the history refused. An event says these itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from stageflow_es.pipeline import Pipeline
from stageflow_es.session import events as ev
from stageflow_es.session.evolve import evolve
from stageflow_es.session.fold import hash_of
from stageflow_es.session.retrace import derive
from stageflow_es.session.spelling import Unreadable, body, check, differing, read
from stageflow_es.session.state import State

Kind = Literal["header", "bytes", "newer", "chain", "definition", "transition", "tail", "archived"]
"""What is wrong: an export's header was changed; no event at all; an event of a newer release; not the successor of
the event before; begun with another definition; not what the definition leads to; the history ends elsewhere than was
said; all but the last event was archived."""

LONGEST = 200
"""Characters of a value that a message shows."""


class Verified(msgspec.Struct, frozen=True, kw_only=True, tag_field="outcome", tag="verified"):
    """Every event follows. `head` is the hash of the last; `status` is where the session stands after it."""

    session: str
    digest: str
    count: int
    head: str
    status: str


class Broken(msgspec.Struct, frozen=True, kw_only=True, tag_field="outcome", tag="broken"):
    """The first event that does not follow, by its place `n` in the history, counted from 1.

    `found` and `expected` are what it says and what had to be said there, as far as that can be known; `message` says
    it in words.
    """

    session: str
    n: int
    kind: Kind
    message: str
    expected: dict[str, Any] | None = None
    found: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return False


def verify(
    pipeline: Pipeline,
    events: Iterable[bytes],
    *,
    session: str | None = None,
    head: str | None = None,
    count: int | None = None,
) -> Verified | Broken:
    """Verify one session's stored events, in order, against its definition. Raises nothing, whatever the bytes.

    `session`, `head` (hash of the last event's bytes) and `count` are what is known of the history from elsewhere:
    without them a cut tail, or a change to the last event that could have happened, cannot show.
    """
    verifier = Verifier(pipeline, session)
    for data in events:
        broken = verifier.check(data)
        if broken is not None:
            return broken
    return verifier.finish(head=head, count=count)


class Verifier:
    """`verify`, one event at a time: `state` is where the session stands after those that followed.

    `pinned=False` asks whether the history could have happened under another definition than its own. `pipeline` None
    is for a history of which no definition is known, and refuses every beginning.
    """

    def __init__(self, pipeline: Pipeline | None, session: str | None = None, *, pinned: bool = True) -> None:
        self.state = State(session or "", pipeline)
        self._pinned = pinned

    def check(self, data: bytes, note: Callable[[State, ev.AnyEvent], None] | None = None) -> Broken | None:
        """Take the next event's bytes; None: it follows. After a Broken the state is as before the event, unless the
        event broke the definition. `note` is called with an event that follows and the state before it."""
        try:
            event = read(data)
            broken = self._chain(event)
            if broken is None:
                broken = self._transition(data, event)
        except Unreadable as problem:
            return self._broken("newer" if problem.newer else "bytes", str(problem))
        if broken is not None:
            return broken
        if note is not None:
            note(self.state, event)
        try:
            evolve(self.state, event)
        except Exception as problem:
            message = f"the definition cannot take it: {type(problem).__name__}: {_short(problem)}"
            return self._broken("definition", message, n=event.n, found=event)
        self.state.head = hash_of(data)
        return None

    def finish(self, *, head: str | None = None, count: int | None = None) -> Verified | Broken:
        """The verdict when there are no more events."""
        state = self.state
        if state.n == 0:
            return self._broken("tail", "there are no events")
        if count is not None and state.n != count:
            message = f"the history ends with event {state.n}, and is said to have {count!r}"
            return self._broken("tail", message, n=(min(state.n, count) if isinstance(count, int) else state.n) + 1)
        if head is not None and state.head != head:
            message = f"the hash of the last event is {state.head}, and is said to be {_short(head)}"
            return self._broken("tail", message, n=state.n)
        return Verified(session=state.session, digest=state.digest, count=state.n, head=state.head, status=state.status)

    # --- the chain ---

    def _chain(self, event: ev.AnyEvent) -> Broken | None:
        state = self.state
        if state.n == 0:
            state.session = state.session or event.session
        if event.session != state.session:
            return self._broken("chain", f"it belongs to session {_short(event.session)}, not {state.session!r}")
        if state.n == 0 and isinstance(event, ev.SessionArchived):
            message = "this is all that an archived session leaves behind: verify the export it was archived to"
            return self._broken("archived", message, found=event)
        if event.n != state.n + 1:
            return self._broken("chain", f"it is numbered {_short(event.n)}: an event is missing, added or moved")
        if event.prev != state.head:
            return self._broken("chain", "`prev` is not the hash of the event before it: one of the two was changed")
        if state.n == 0:
            return self._beginning(event)
        return None

    def _beginning(self, event: ev.AnyEvent) -> Broken | None:
        if not isinstance(event, ev.SessionStarted):
            return self._broken("chain", f"a history begins with session_started, not with {_type(event)}", found=event)
        known = getattr(self.state, "pipeline", None)
        if known is None or (self._pinned and event.digest != known.digest):
            given = "none is given" if known is None else f"this one is {known.digest}"
            message = f"the session is pinned to definition {_short(event.digest)}, {given}"
            return self._broken("definition", message, found=event)
        return None

    # --- the transition ---

    def _transition(self, data: bytes, event: ev.AnyEvent) -> Broken | None:
        if not _is_time(event.at):
            return self._broken("bytes", f"`at` is {_short(event.at)}, which is no time in UTC", found=event)
        try:
            derived = derive(self.state, event)
        except Exception as problem:
            check(data, event)
            message = f"nothing can be derived for it: {type(problem).__name__}: {_short(problem)}"
            return self._broken("transition", message, found=event)
        if isinstance(derived, ev.SessionStarted) and isinstance(event, ev.SessionStarted) and not self._pinned:
            derived = msgspec.structs.replace(derived, digest=event.digest)
        if derived is not None and ev.encode(derived) == data:
            return None
        check(data, event)
        return self._difference(derived, event)

    def _difference(self, derived: ev.Event | None, event: ev.AnyEvent) -> Broken | None:
        """What the event has otherwise than it had to be; None: nothing that matters, only the spelling differs."""
        if derived is None:
            message = f"{_type(event)} cannot happen here: {self._standing()}"
            return self._broken("transition", message, found=event)
        if type(derived) is not type(event):
            message = f"found {_what(event)} where {_what(derived)} was due"
            return self._broken("transition", message, expected=derived, found=event)
        fields = [name for name in differing(derived, event) if not _only_words(name, derived, event)]
        if not fields:
            return None
        name = fields[0]
        was, had = getattr(event, name), getattr(derived, name)
        message = f"`{name}` of {_what(event)} is {_json(was)}, and has to be {_json(had)}"
        return self._broken("transition", message, expected=derived, found=event)

    def _standing(self) -> str:
        """Where the session stands, for a message."""
        state = self.state
        nodes = ", ".join(map(repr, state.current_nodes()[:5]))
        place = f" at {nodes}" if nodes and not state.ended else ""
        return f"the session is {state.status or 'not begun'}{place}"

    def _broken(
        self,
        kind: Kind,
        message: str,
        *,
        n: int | None = None,
        expected: ev.Event | None = None,
        found: ev.Event | None = None,
    ) -> Broken:
        state = self.state
        return Broken(
            session=state.session,
            n=state.n + 1 if n is None else n,
            kind=kind,
            message=message,
            expected=None if expected is None else body(expected),
            found=None if found is None else body(found),
        )


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text.endswith("Z")


def _only_words(name: str, derived: ev.Event, event: ev.Event) -> bool:
    """Whether a schema's refusal differs in nothing but its words, which are the validating library's and not ours."""
    if name != "problems" or not isinstance(derived, ev.InputRejected) or not isinstance(event, ev.InputRejected):
        return False
    return sorted(problem.path for problem in derived.problems) == sorted(problem.path for problem in event.problems)


def _type(event: ev.Event) -> str:
    return str(event.__struct_config__.tag)


def _what(event: ev.Event) -> str:
    """An event's type and place."""
    place = [_short(event.node)] if isinstance(event, ev.NodeEvent) else []
    if isinstance(event, ev.NodeEvent) and event.scope:
        place.append(f"in scope {_short(event.scope)}")
    return " ".join([_type(event), *(["of", *place] if place else [])])


def _short(value: object) -> str:
    """A value on one line, cut where it gets long."""
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
