"""Commands as anyone may send them: JSON bodies on the bus, and what is answered when one is refused.

`parse_command` never raises: what is wrong with a body comes back as problems with JSON pointers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline.pointers import located
from stageflow_es.pipeline.values import MAX_BYTES, may_be_deep, unfit
from stageflow_es.session.commands import ACTIONS, Action
from stageflow_es.session.ids import RULE, SESSION_ID

SHORT = 200
"""Characters of a text in a rejection that is cut short."""
FEW = 20
"""Problems in a rejection that is cut short."""

INPUT_TYPE = "the type of an input is a text that is not empty, the one a stage waits for"
"""What is said of a type that is none."""

LABEL_NAME = "[^=]+"
"""The name of a label, a pattern: sessions are asked for by `name=value`."""

Labels = dict[Annotated[str, msgspec.Meta(pattern=f"^{LABEL_NAME}$")], str]

Kind = Literal["start", "input", "control"]

_A_COMMAND: dict[Kind, str] = {"start": "a start command", "input": "an input command", "control": "a control command"}


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`session` may repeat the subject's session; it must then agree."""

    session: str | None = None


class StartBody(_Body, frozen=True, kw_only=True):
    """Begin a session. `pipeline`: a definition, a registered name, or `name@digest`."""

    pipeline: dict[str, Any] | str
    payload: dict[str, Any] = {}
    labels: Labels = {}
    paused: bool = False


class ForkPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a fork begins: at event `at` of a session, its latest when not given."""

    session: str
    at: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ForkBody(_Body, frozen=True, kw_only=True):
    """Begin a session where another one stood. `pipeline`: another definition than that one's; `payload`: keys of its
    context to replace; `labels` are added to that one's."""

    fork: ForkPoint
    pipeline: dict[str, Any] | str | None = None
    payload: dict[str, Any] = {}
    labels: Labels = {}
    paused: bool = False


class InputBody(_Body, frozen=True, kw_only=True):
    """Send an input. Type `command` with `{"name": "stop"}` means the same as a control."""

    type: Annotated[str, msgspec.Meta(min_length=1)]
    payload: Any = None


class ControlBody(_Body, frozen=True, kw_only=True):
    """Pause, resume, stop, skip or retry a session. `scope` names what to skip."""

    action: Action
    scope: str | None = None
    reason: str | None = None


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a refused command, on the session's rejection subject."""

    command: dict[str, Any]
    command_seq: int
    problems: list[Problem]


AnyBody = StartBody | ForkBody | InputBody | ControlBody

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "start": msgspec.json.Decoder(StartBody),
    "input": msgspec.json.Decoder(InputBody),
    "control": msgspec.json.Decoder(ControlBody),
}


class StartGlance(_Body, frozen=True, kw_only=True):
    """A start whose definition is left as it came: most starts name one that was read before."""

    pipeline: msgspec.Raw
    payload: dict[str, Any] = {}
    labels: Labels = {}
    paused: bool = False


_fork = msgspec.json.Decoder(ForkBody)

_glance = msgspec.json.Decoder(StartGlance)


class _Fields(msgspec.Struct):
    """Whether a start is a fork."""

    fork: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_fields = msgspec.json.Decoder(_Fields)


def parse_command(kind: Kind, session: str, data: bytes) -> AnyBody | list[Problem]:
    """The body of a command on `session`'s subject, or what is wrong with it."""
    if not SESSION_ID.fullmatch(session):
        return [Problem(message=f"a session id is {RULE}")]
    try:
        decoder = _fork if kind == "start" and _is_fork(data) else _DECODERS[kind]
        body: AnyBody = decoder.decode(data)
    except msgspec.ValidationError as problem:
        return [_problem(kind, problem)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return [Problem(message=f"the body is not JSON: {problem}")]
    if may_be_deep(data) and (too_much := unfit(msgspec.json.decode(data), MAX_BYTES)):
        return [Problem(message=f"the body is too much: {too_much}")]
    if body.session is not None and body.session != session:
        message = f"the body names session {body.session!r}, the subject {session!r}"
        return [Problem(path="/session", message=message)]
    return body


def glance(session: str, data: bytes) -> StartGlance | None:
    """A start but for its definition; None for whatever needs a closer look: a fork, a name, anything wrong."""
    try:
        body = _glance.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    named = body.session is not None and body.session != session
    return None if named or not SESSION_ID.fullmatch(session) else body


def _is_fork(data: bytes) -> bool:
    return b'"fork"' in data and _fields.decode(data).fork is not msgspec.UNSET


def _problem(kind: Kind, problem: msgspec.ValidationError) -> Problem:
    path, message = located(problem)
    if path == "/action":
        message = f"{message}: one of {', '.join(ACTIONS)}"
    elif path == "/labels":
        message = f"{message}: the name of a label is a text that is not empty, without ="
    elif path == "/type":
        message = f"{message}: {INPUT_TYPE}"
    return Problem(path=path, message=f"{message} ({_A_COMMAND[kind]})")


def rejection(command: dict[str, Any], command_seq: int, problems: list[Problem]) -> bytes:
    """The bytes of a rejection."""
    return msgspec.json.encode(Rejection(command=command, command_seq=command_seq, problems=problems))


def short_rejection(command: dict[str, Any], command_seq: int, problems: list[Problem]) -> bytes:
    """The bytes of a rejection that would be too long: what it repeats of the command is cut, and its problems too."""
    texts = {name: value[:SHORT] for name, value in command.items() if isinstance(value, str)}
    told = [msgspec.structs.replace(one, path=one.path[:SHORT], message=one.message[:SHORT]) for one in problems[:FEW]]
    if len(problems) > FEW:
        told.append(Problem(message=f"there are {len(problems) - FEW:,} more problems; they are not listed"))
    return rejection(texts, command_seq, told)
