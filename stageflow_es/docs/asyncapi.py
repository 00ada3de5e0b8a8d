"""The wire contract as an AsyncAPI 3.0 document: every subject, who publishes on it, and what."""

from __future__ import annotations

from typing import Any

from stageflow_es import __version__

Json = dict[str, Any]

_COMMANDS = {
    "start": (
        ["StartBody", "ForkBody"],
        "Begin a session, or one where another stood. The session id is the subject's last token.",
    ),
    "input": (["InputBody"], "Send an input: it wakes every stage that waits for its type, or is kept for the next."),
    "control": (["ControlBody"], "Pause, resume, stop, skip or retry a session."),
}
_QUERIES = {
    "session.get": ("One session's row.", {"session": "string"}, "SessionInfo"),
    "session.list": (
        "Sessions, page by page.",
        {"status": "string", "pipeline": "string", "label": "string", "limit": "integer", "cursor": "string"},
        "SessionPage",
    ),
    "session.count": (
        "How many sessions have which status, by pipeline.",
        {"pipeline": "string", "limit": "integer"},
        "SessionCounts",
    ),
    "session.history": (
        "A session's events, as they are stored.",
        {"session": "string", "from": "integer", "limit": "integer"},
        None,
    ),
    "session.state": ("The folded state as of event `at`.", {"session": "string", "at": "integer"}, None),
    "session.snapshot": ("The newest state, as an engine loads it.", {"session": "string"}, None),
    "pipeline.get": ("A registered definition.", {"pipeline": "string"}, None),
    "pipeline.list": ("Every registered name with its digest.", {}, None),
    "stages": ("The stages the engines run.", {}, None),
    "health": ("Whether the projection keeps up.", {}, None),
}


def asyncapi() -> Json:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stageflow-es",
            "version": __version__,
            "description": (
                "Sessions of StageFlow pipelines on NATS JetStream. `prefix` is `stageflow` unless the installation "
                "says otherwise. Bodies are UTF-8 JSON; a command's idempotency key is its Nats-Msg-Id header, which "
                "should begin with the session id."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {**_command_channels(), **_answer_channels(), **_query_channels()},
        "operations": {**_command_operations(), **_answer_operations(), **_query_operations()},
        "components": {"parameters": _PARAMETERS},
    }


_PARAMETERS: Json = {
    "prefix": {"description": "The installation's subject prefix.", "default": "stageflow"},
    "session": {"description": "A session id: 1 to 128 letters, digits, `_` or `-`."},
}
_KEY: Json = {
    "type": "object",
    "properties": {"Nats-Msg-Id": {"type": "string", "description": "Idempotency key, `<session>-<anything>`."}},
}


def _channel(address: str, messages: Json, *, session: bool) -> Json:
    names = ["prefix", "session"] if session else ["prefix"]
    parameters = {name: {"$ref": f"#/components/parameters/{name}"} for name in names}
    return {"address": address, "parameters": parameters, "messages": messages}


def _command_channels() -> Json:
    return {
        f"command.{kind}": _channel(
            f"{{prefix}}.command.{kind}.{{session}}",
            {kind: {"summary": summary, "headers": _KEY, "payload": _one_of(bodies)}},
            session=True,
        )
        for kind, (bodies, summary) in _COMMANDS.items()
    }


def _one_of(bodies: list[str]) -> Json:
    references: list[Json] = [{"$ref": f"./commands.schema.json#/$defs/{body}"} for body in bodies]
    return references[0] if len(references) == 1 else {"oneOf": references}


def _answer_channels() -> Json:
    event = {"summary": "One node transition, after it is durable.", "payload": {"$ref": "./events.schema.json"}}
    rejection = {
        "summary": "Why a command was refused.",
        "payload": {"$ref": "./commands.schema.json#/$defs/Rejection"},
    }
    return {
        "events": _channel("{prefix}.events.{session}", {"event": event}, session=True),
        "rejections": _channel("{prefix}.rejections.{session}", {"rejection": rejection}, session=True),
    }


def _query_channels() -> Json:
    channels: Json = {}
    for name, (summary, fields, answer) in _QUERIES.items():
        question = {"type": "object", "properties": {field: {"type": type_} for field, type_ in fields.items()}}
        payload = {"$ref": f"./snapshot.schema.json#/$defs/{answer}"} if answer else {"type": "object"}
        messages = {"question": {"summary": summary, "payload": question}}
        channels[f"query.{name}"] = _channel(f"{{prefix}}.query.{name}", messages, session=False)
        channels[f"answer.{name}"] = {"address": None, "messages": {"answer": {"payload": payload}}}
    return channels


def _ref(channel: str) -> Json:
    return {"$ref": f"#/channels/{channel}"}


def _command_operations() -> Json:
    return {f"receive.{kind}": {"action": "receive", "channel": _ref(f"command.{kind}")} for kind in _COMMANDS}


def _answer_operations() -> Json:
    return {f"send.{name}": {"action": "send", "channel": _ref(name)} for name in ("events", "rejections")}


def _query_operations() -> Json:
    return {
        f"answer.{name}": {
            "action": "receive",
            "channel": _ref(f"query.{name}"),
            "reply": {"address": {"location": "$message.header#/reply"}, "channel": _ref(f"answer.{name}")},
        }
        for name in _QUERIES
    }
