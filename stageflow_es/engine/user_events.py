"""Stored events in the shape StageFlow's handlers and histories have."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from stageflow_es.session import events as ev
from stageflow_es.stages import Event

_ENVELOPE = frozenset({"session", "n", "at", "by", "cause", "prev", "command_id", "type", "node"})


def to_user_event(event: ev.AnyEvent) -> Event:
    """A stored event as its users know it: what a stage emitted has its own type, the rest keep theirs.

    StageFlow's payload fields mean what they meant (`error` of a failed attempt is its text, `next_node` where the
    cursor went); ours are beside them.
    """
    user = Event(
        type=event.name if isinstance(event, ev.StageEvent) else type(event).__struct_config__.tag,  # type: ignore[arg-type]
        session_id=event.session,
        stage_id=getattr(event, "node", None),
        payload=_payload(event),
    )
    user.timestamp = datetime.fromisoformat(event.at)
    return user


def _payload(event: ev.AnyEvent) -> Any:
    match event:
        case ev.StageEvent():
            return event.payload
        case ev.UserInput():
            return {"type": event.input_type, "payload": event.payload}
        case ev.WaitingForInput() | ev.InputTimeout():
            return {"type": event.input_type, "scope": event.scope}
    fields: dict[str, Any] = msgspec.to_builtins(event)
    payload = {name: value for name, value in fields.items() if name not in _ENVELOPE}
    match event:
        case ev.StageFailed():
            payload |= {"error": event.error.message, "error_type": event.error.type}
        case ev.ConditionEvaluated() | ev.ParallelCompleted() | ev.MapCompleted() | ev.SubpipelineCompleted():
            payload["next_node"] = event.next
    return payload
