"""Events as stages and their users see them, and what a stage declares of the events and inputs it deals in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass
class InputSpec:
    """An input a stage may wait for. `payload_schema`: Python types, nested shapes, or a JSON Schema."""

    type: str | None = None
    description: str | None = None
    required: bool = True
    default: Any = None
    payload_schema: Any = None


@dataclass
class EventSpec:
    """An event a stage may emit; `payload_schema` as for inputs."""

    type: str
    description: str | None = None
    payload_schema: Any = None


def input_spec(declared: InputSpec | Mapping[str, Any]) -> InputSpec:
    """What a class declares of an input, given as a spec or as the same fields in a mapping."""
    return declared if isinstance(declared, InputSpec) else InputSpec(**declared)


def event_spec(declared: EventSpec | Mapping[str, Any]) -> EventSpec:
    """What a class declares of an event, given as a spec or as the same fields in a mapping."""
    return declared if isinstance(declared, EventSpec) else EventSpec(**declared)


class Event:
    """Something that happened in a session, in the shape StageFlow's handlers and histories have."""

    def __init__(
        self,
        type: str,
        session_id: str,
        node_id: str | None = None,
        stage_id: str | None = None,
        action_id: str | None = None,
        payload: Any = None,
        timestamp: datetime | None = None,
    ) -> None:
        self.type = type
        self.session_id = session_id
        self.node_id = node_id
        self.stage_id = stage_id
        self.action_id = action_id
        self.payload = {} if payload is None else payload
        self.timestamp = timestamp or datetime.now(UTC)

    def __repr__(self) -> str:
        return f"Event({self.type!r}, stage_id={self.stage_id!r}, payload={self.payload!r})"

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON values."""
        return {
            "type": self.type,
            "session_id": self.session_id,
            "node_id": self.node_id,
            "stage_id": self.stage_id,
            "action_id": self.action_id,
            "payload": self.payload,
            "timestamp": self.timestamp.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """The event `to_dict` described."""
        stamp = data.get("timestamp")
        return cls(
            type=data["type"],
            session_id=data["session_id"],
            node_id=data.get("node_id"),
            stage_id=data.get("stage_id"),
            action_id=data.get("action_id"),
            payload=data.get("payload"),
            timestamp=datetime.fromisoformat(stamp) if stamp else None,
        )
