"""What an actor is given to do, in order: commands from the bus, fires, and reports of its own stage runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

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


class Item(msgspec.Struct, eq=False, kw_only=True):
    """One entry: a command, and which it is of those posted. `settle` is called once it has been dealt with for good:
    durable, or found to change nothing."""

    command: Command
    mark: int = 0

    def settle(self) -> None: ...

    def abandon(self) -> None: ...

    def fail(self, error_type: str, message: str) -> bool:
        """Become a refusal, or the failure of the run it reports on, when what it leads to cannot be recorded; False:
        it cannot."""
        return False


class BusItem(Item, eq=False, kw_only=True):
    """A command read from the log; `pipeline` is what a start begins."""

    bus_command: BusCommand
    handled: Callable[[], None]
    pipeline: Pipeline | None = None

    def settle(self) -> None:
        self.handled()

    def fail(self, error_type: str, message: str) -> bool:
        before, self.command = self.command, refusing(self.bus_command, (Problem(message=message),), {})
        return self.command != before


class FireItem(Item, eq=False, kw_only=True):
    """A timer's fire read from its log."""

    fire: Fire
    handled: Callable[[], None]
    checked: bool = False

    def settle(self) -> None:
        self.handled()


class ReportItem(Item, eq=False, kw_only=True):
    """A report of a stage run, which waits for it to be durable."""

    done: asyncio.Future[None] | None = None
    run: StageRun | None = None

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
