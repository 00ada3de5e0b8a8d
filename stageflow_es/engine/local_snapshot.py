"""Snapshots of in-process sessions: StageFlow's fields for looking at, and the state to go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.errors import DefinitionError, Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import snapshot as images
from stageflow_es.session.paths import copy
from stageflow_es.session.state import State

if TYPE_CHECKING:
    from stageflow_es.engine.local import Session
    from stageflow_es.engine.local_commands import LocalCommands


def image_of(session: Session, state: State, pipeline: Pipeline, commands: LocalCommands) -> dict[str, Any]:
    """A session as JSON values."""
    going_on = bool(state.scopes) and not state.outcome
    image: dict[str, Any] = copy(
        {
            "session_id": session.id,
            "status": state.status,
            "current_node_id": state.root.node if going_on else None,
            "result": state.result,
            "artifact_paths": list(state.artifacts),
            "artifacts": state.artifacts,
            "context": session.context.to_dict(),
            "event_history": [event.to_dict() for event in session.event_history],
            "input_history": session.input_history,
            "stopped": state.outcome == "stopped",
            "paused": state.paused,
            "pipeline": pipeline.raw,
            **commands.image(),
        }
    )
    image["state"] = msgspec.json.decode(images.dump(state)) if state.n else None
    return image


def restored(snapshot: dict[str, Any], pipeline: Pipeline) -> State | None:
    """The state in a snapshot, None: the session had not begun. Raises ValueError (DefinitionError) when it belongs
    to another pipeline, and when another release made it."""
    image = snapshot.get("state")
    if image is None:
        return None
    state = images.load(msgspec.json.encode(image), pipeline)
    if state.digest != pipeline.digest:
        raise DefinitionError([Problem(message="the snapshot belongs to another definition")])
    return state
