"""Every error this package raises, by whose fault it is.

- `DefinitionError`   the author of a pipeline definition: all problems at once, each with a JSON pointer.
- `CommandRejected`   the sender of a command.
- `StageError` & co.  the author of a stage, or what the stage called.
- `OperatorError`     whoever runs the service: server too old, stream recreated, file corrupt, no server.
- `Bug`               us: please report it.

This module imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a document: where (a JSON pointer) and what, with the mend if we know one."""

    path: str = ""
    message: str
    severity: str = "error"


def in_one_line(problems: Iterable[Problem]) -> str:
    """Problems as an exception says them, each with its place."""
    return "; ".join(f"{one.path}: {one.message}" if one.path else one.message for one in problems)


class StageFlowError(Exception):
    """Base of every error of this package."""


class DefinitionError(StageFlowError, ValueError):
    """A pipeline definition is wrong. `problems` has all of them, errors first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{problem.path or '/'}: {problem.message}" for problem in self.problems]
        super().__init__("\n".join(lines) or "invalid definition")


class CommandRejected(StageFlowError):
    """A command was refused. `problems` says why; `command_seq` is its place in the command log, if it has one."""

    def __init__(self, problems: Sequence[Problem], command_seq: int | None = None) -> None:
        self.problems = tuple(problems)
        self.command_seq = command_seq
        super().__init__(in_one_line(self.problems) or "rejected")


class StageError(StageFlowError):
    """A stage did something its contract does not allow."""


class PathError(StageFlowError, ValueError):
    """A context path cannot be written: it leads through a scalar, or past the end of a list."""


class RuleError(StageFlowError, ValueError):
    """A JSON Logic rule or a template is malformed, forbidden, or went over its limits."""


class SessionFailed(StageFlowError, RuntimeError):
    """A session ended in failure. `error` has type, message, node, scope and attempt. StageFlow's callers catch it as
    a RuntimeError."""

    def __init__(self, session: str, error: object) -> None:
        self.session = session
        self.error = error
        fields = error if isinstance(error, dict) else {name: getattr(error, name, "") for name in ("message", "type")}
        said = ": ".join(text for text in (fields.get("type"), fields.get("message")) if text)
        super().__init__(f"session {session} failed: {said or error}")


class MissingArtifact(SessionFailed, ValueError):
    """A session failed because a subpipeline did not leave an artifact behind; StageFlow's ValueError."""


class OperatorError(StageFlowError):
    """The installation is not as this release needs it; the message says what to do."""


class Bug(StageFlowError):
    """An invariant of ours does not hold. The message is for the log; a client sees only that it was our fault."""
