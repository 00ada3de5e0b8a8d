"""The commands to a session in this process: applied at once, or kept until it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stageflow_es.engine.local_host import LocalHost
from stageflow_es.errors import Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import commands as cmd
from stageflow_es.session.paths import copy


class LocalCommands:
    """Numbers the commands of one session, as the bus does elsewhere. What a method returns is why the session refused,
    empty: it did not. One that raises has left the command out of the log."""

    def __init__(self, host: LocalHost, pipeline: Pipeline) -> None:
        self._host = host
        self._pipeline = pipeline
        self._early: list[tuple[type[cmd.BusCommand], dict[str, Any]]] = []

    @property
    def last(self) -> int:
        """The number of the latest: each that is applied leaves an event."""
        return self._host.state.last_command

    def begin(self, payload: dict[str, Any]) -> Sequence[Problem]:
        """Start; a session stopped before it began takes no step."""
        stopped = any(fields.get("action") == "stop" for _, fields in self._early)
        return self._apply(cmd.Start, payload=payload, paused=stopped, pipeline=None)

    def catch_up(self) -> None:
        """Apply what was sent before the session began, each once."""
        while self._early:
            kind, fields = self._early[0]
            before = self.last
            try:
                self._apply(kind, **fields)
            finally:
                if self.last > before:
                    del self._early[0]

    def send(self, kind: type[cmd.BusCommand], **fields: Any) -> Sequence[Problem]:
        """Apply a command, or keep it when the session has not begun."""
        if self._host.state.n:
            self.catch_up()
            return self._apply(kind, **fields)
        self._early.append((kind, fields))
        return ()

    def early_inputs(self) -> list[dict[str, Any]]:
        """The inputs among those kept."""
        return copy([fields for kind, fields in self._early if kind is cmd.Input])  # type: ignore[no-any-return]

    def image(self) -> dict[str, Any]:
        """What a snapshot has of this, as JSON values."""
        return {"early": [{"kind": kind.__name__, **fields} for kind, fields in self._early]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from what a snapshot has of this; StageFlow's own have nothing."""
        early = copy(snapshot.get("early", []))
        self._early = [(getattr(cmd, item.pop("kind")), item) for item in early]

    def _apply(self, kind: type[cmd.BusCommand], **fields: Any) -> Sequence[Problem]:
        command: Any = kind(at=self._host.at(), by=self._host.name, seq=self.last + 1, **fields)
        return self._host.submit(command, self._pipeline if kind is cmd.Start else None)
