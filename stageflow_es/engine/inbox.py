"""What an actor is given to do, in order: commands from the bus, fires, and reports of its own stage runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stageflow_es.engine.ports import Fire
from stageflow_es.errors import Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.commands import BusCommand, Command

if TYPE_CHECKING:
    from stageflow_es.engine.runner import StageRun


def refusing(command: BusCommand, problems: tuple[Problem, ...], body: dict[str, Any]) -> cmd.Refuse:
    """What a command becomes when it is refused before the core sees it."""
    return cmd.Refuse(at=command.at, by=command.by, seq=command.seq, id=command.id, problems=problems, body=body)


class Item:
    """One entry: a command, and which it is of those posted. `settle` is called once it has been dealt with for good:
    durable, or found to change nothing."""

    __slots__ = ("command", "mark")

    command: Command
    mark: int

    def settle(self) -> None: ...

    def abandon(self) -> None: ...

    def fail(self, error_type: str, message: str) -> bool:
        """Become a refusal, or the failure of the run it reports on, when what it leads to cannot be recorded; False:
        it cannot."""
        return False


class BusItem(Item):
    """A command read from the log; `pipeline` is what a start begins."""

    __slots__ = ("_handled", "bus_command", "pipeline")

    def __init__(
        self,
        command: Command,
        bus_command: BusCommand,
        handled: Callable[[], None],
        pipeline: Pipeline | None = None,
    ) -> None:
        self.command = command
        self.bus_command = bus_command
        self.pipeline = pipeline
        self._handled = handled

    def settle(self) -> None:
        self._handled()

    def fail(self, error_type: str, message: str) -> bool:
        before, self.command = self.command, refusing(self.bus_command, (Problem(message=message),), {})
        return self.command != before


class FireItem(Item):
    """A timer's fire read from its log."""

    __slots__ = ("_handled", "checked", "fire")

    def __init__(self, command: Command, fire: Fire, handled: Callable[[], None]) -> None:
        self.command = command
        self.checked = False
        self.fire = fire
        self._handled = handled

    def settle(self) -> None:
        self._handled()


class ReportItem(Item):
    """A report of a stage run, which waits for it to be durable."""

    __slots__ = ("done", "run")

    def __init__(self, command: Command, done: asyncio.Future[None] | None, run: StageRun | None = None) -> None:
        self.command = command
        self.done = done
        self.run = run

    def overtaken(self, state: State) -> bool:
        """Whether another engine has taken the run to where it rests, so that this report is too late."""
        return self.run is not None and self.run.overtaken(state)

    def fail(self, error_type: str, message: str) -> bool:
        report = self.command
        if not isinstance(report, cmd.RunReport) or (
            isinstance(report, cmd.FailStage) and report.error_type == error_type
        ):
            return False
        self.command = cmd.FailStage(at=report.at, by=report.by, run=report.run, error_type=error_type, message=message)
        return True

    def settle(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def abandon(self) -> None:
        if self.done is not None:
            self.done.cancel()
